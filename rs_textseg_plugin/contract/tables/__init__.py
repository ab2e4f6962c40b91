"""What the table of a method is made of."""
