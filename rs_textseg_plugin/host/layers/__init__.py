"""Layers of QGIS: what an engine can read of them, and results as layers."""
