"""The words that QGIS's process and the engine's process share. Standard library only."""
