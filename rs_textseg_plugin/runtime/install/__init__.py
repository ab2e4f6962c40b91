"""Builds the engine's Python environment; standard library only."""
