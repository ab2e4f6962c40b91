"""Where models run, and what a run may use and must obey."""
