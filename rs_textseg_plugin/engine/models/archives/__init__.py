"""Archives of tensors as torch writes them, read as data."""
