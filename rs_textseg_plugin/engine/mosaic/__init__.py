"""Tiles back into one scene."""
