"""How an engine is reached from QGIS's process. Standard library only: no Qt, no qgis."""
