"""Segmentation itself: numpy, rasterio, torch; never qgis, never Qt. Runs in its own process."""

import os

# Threads that wait for each other sleep. By default they spin: where other programs need the same cores, every small
# step then waits until the system gives a core to the last thread, and whole runs take five times as long. OpenMP
# reads this once, when torch loads it, so it stands before anything of the engine that imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
