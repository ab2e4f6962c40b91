"""Files that are written whole or not at all, and disks that run full, in words."""
