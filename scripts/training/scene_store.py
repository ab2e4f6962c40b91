"""Drawn scenes on disk, as arrays that are read in pieces."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scenes.drawing import draw

SCENE_PX = 512
# Far from the seeds of tests and evaluations, so that those are never seen in training.
TRAINING_SEEDS, VALIDATION_SEEDS = 1_000_000, 2_000_000
_RESOLUTIONS_M = (0.22, 0.28)


class SceneStore:
    """Scenes of `SCENE_PX` by `SCENE_PX` pixels, drawn once.

    Attributes:
        rgb: ``(N, S, S, 3)`` uint8.
        classes: ``(N, S, S)`` uint8, as in `DrawnScene`.
        objects: ``(N, S, S)`` uint16, as in `DrawnScene`.
    """

    def __init__(self, folder: Path, count: int, first_seed: int) -> None:
        self.folder, self.count, self.first_seed = folder, count, first_seed
        folder.mkdir(parents=True, exist_ok=True)
        self.rgb = self._open("rgb", (SCENE_PX, SCENE_PX, 3), np.uint8)
        self.classes = self._open("classes", (SCENE_PX, SCENE_PX), np.uint8)
        self.objects = self._open("objects", (SCENE_PX, SCENE_PX), np.uint16)
        self._drawn = self._open("drawn", (), np.bool_)

    def _open(self, name: str, shape: tuple[int, ...], kind: type) -> NDArray[np.generic]:
        path = self.folder / f"{name}.npy"
        if path.is_file():
            array = np.lib.format.open_memmap(path, mode="r+")
            if len(array) == self.count:
                return array
            path.unlink()
        return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(self.count, *shape))

    def fill(self, processes: int) -> None:
        """Draw the scenes that are missing."""
        missing = np.flatnonzero(~self._drawn).tolist()
        arguments = (self.folder, self.count, self.first_seed)
        with ProcessPoolExecutor(processes, initializer=_open_in_process, initargs=arguments) as pool:
            steps = pool.map(_draw_one, missing, chunksize=4)
            for _ in tqdm(steps, desc=f"Scenes from {self.first_seed}", total=len(missing), mininterval=5):
                pass

    def draw_one(self, index: int) -> None:
        """Draw one scene into its place."""
        seed = self.first_seed + index
        resolution_m = np.random.default_rng(seed).uniform(*_RESOLUTIONS_M)
        scene = draw(seed, SCENE_PX, float(resolution_m))
        self.rgb[index], self.classes[index] = scene.rgb, scene.classes
        self.objects[index] = scene.objects
        self._drawn[index] = True


_store: SceneStore | None = None


def _open_in_process(folder: Path, count: int, first_seed: int) -> None:
    global _store
    os.nice(5)
    _store = SceneStore(folder, count, first_seed)


def _draw_one(index: int) -> None:
    assert _store is not None
    _store.draw_one(index)
