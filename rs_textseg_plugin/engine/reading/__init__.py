"""The parts that a scene is read with; `engine.raster` puts them together."""
