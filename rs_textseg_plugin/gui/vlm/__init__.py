"""Widgets for the vision-language model."""
