"""From the name of a model set to verified files and loaded models."""
