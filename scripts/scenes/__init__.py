"""Aerial scenes that are drawn, so that the truth is known for every pixel."""
