"""Widgets for a run and its result."""
