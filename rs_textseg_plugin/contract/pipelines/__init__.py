"""The methods that exist: one table a file, found by its name."""
