"""How published models lay out their weights, and what the files beside them say."""
