"""CLIP over whole tiles and over objects."""
