"""Masks by SAM: proposals on a grid, and prompts that mean one object."""
