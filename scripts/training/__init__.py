"""Trains the demo models on drawn scenes."""
