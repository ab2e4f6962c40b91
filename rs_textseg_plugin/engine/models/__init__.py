"""Thin adapters around published model packages."""
