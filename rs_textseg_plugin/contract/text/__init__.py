"""What users type, read the same way for every face of the product."""
