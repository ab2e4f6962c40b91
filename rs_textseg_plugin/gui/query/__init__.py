"""Widgets for what is asked, of which raster, and how."""
