"""Segmentation itself: numpy, rasterio, torch; never qgis, never Qt. Runs in its own process."""
