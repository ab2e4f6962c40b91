"""Widgets. They hold no decisions: those are in `query_model`."""
