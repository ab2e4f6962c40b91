"""Random pieces of drawn scenes, turned, mirrored and lit in another way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes.words import CLASSES
from training.scene_store import SCENE_PX, SceneStore

_STEP_PX = 3  # pixels that may become anchors lie that far apart
_PER_CLASS = 30  # anchors of one class in one scene


@dataclass(frozen=True)
class Crop:
    """A square piece of a scene: ``(S, S, 3)`` uint8, ``(S, S)`` uint8 and ``(S, S)`` int32, as in `DrawnScene`."""

    rgb: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    objects: NDArray[np.int32]


class Cutter:
    """Cuts crops; rare classes are looked for as often as common ones.

    Args:
        store: filled.
        rng: its source of chance.
        anchored: share of the crops that hold a class drawn uniformly; the others lie anywhere.
        weights: ``(K,)`` how often each class is looked for; None: all alike.
    """

    def __init__(
        self, store: SceneStore, rng: np.random.Generator, anchored: float, weights: NDArray[np.float64] | None = None
    ) -> None:
        self._store, self._rng, self.anchored = store, rng, anchored
        self._anchors = find_anchors(store)
        present = np.array([float(len(places) > 0) for places in self._anchors])
        chances = present * (weights if weights is not None else 1.0)
        self._chances = chances / chances.sum()

    def cut(self, size_px: int) -> Crop:
        """Return a crop of ``size_px`` squared."""
        scene, row, col = self._place(size_px)
        rows, columns = slice(row, row + size_px), slice(col, col + size_px)
        crop = Crop(
            np.asarray(self._store.rgb[scene, rows, columns]),
            np.asarray(self._store.classes[scene, rows, columns]),
            np.asarray(self._store.objects[scene, rows, columns]).astype(np.int32),
        )
        return self._relit(self._turned(crop))

    def _place(self, size_px: int) -> tuple[int, int, int]:
        most = SCENE_PX - size_px
        if self._rng.random() >= self.anchored:
            row, col = self._rng.integers(0, most + 1, 2)
            return int(self._rng.integers(self._store.count)), int(row), int(col)
        places = self._anchors[self._rng.choice(len(CLASSES), p=self._chances)]
        scene, row, col = places[self._rng.integers(len(places))]
        # The anchor lies anywhere in the crop, not too near its border.
        margin = size_px // 8
        row, col = (np.array([row, col]) - self._rng.integers(margin, size_px - margin, 2)).clip(0, most)
        return int(scene), int(row), int(col)

    def _turned(self, crop: Crop) -> Crop:
        quarters, mirrored = self._rng.integers(4), self._rng.random() < 0.5

        def turn(plane: NDArray[np.generic]) -> NDArray[np.generic]:
            turned = np.rot90(plane, quarters)
            return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)

        return Crop(turn(crop.rgb), turn(crop.classes), turn(crop.objects))  # type: ignore[arg-type]

    def _relit(self, crop: Crop) -> Crop:
        gain = self._rng.uniform(0.88, 1.12) * self._rng.uniform(0.97, 1.03, 3)
        gamma = self._rng.uniform(0.88, 1.14)
        table = (np.linspace(0, 1, 256)[:, None] ** gamma * gain * 255).clip(0, 255).astype(np.uint8)
        rgb = np.stack([table[crop.rgb[..., band], band] for band in range(3)], axis=-1)
        return Crop(rgb, crop.classes, crop.objects)


def find_anchors(store: SceneStore) -> list[NDArray[np.int32]]:
    """Return for each class places where it lies, ``(n, 3)`` scene, row and column; kept beside the scenes."""
    path = Path(store.folder) / "anchors.npz"
    if path.is_file():
        with np.load(path) as kept:
            if int(kept["count"]) == store.count:
                return [kept[str(index)] for index in range(len(CLASSES))]
    anchors = _search_anchors(store)
    np.savez(path, count=store.count, **{str(index): places for index, places in enumerate(anchors)})
    return anchors


def _search_anchors(store: SceneStore) -> list[NDArray[np.int32]]:
    rng = np.random.default_rng(store.first_seed)
    found: list[list[NDArray[np.int32]]] = [[] for _ in CLASSES]
    for scene in range(store.count):
        thinned = store.classes[scene, 1::_STEP_PX, 1::_STEP_PX]
        for index in range(len(CLASSES)):
            rows, columns = np.nonzero(thinned == index + 1)
            if len(rows):
                chosen = rng.choice(len(rows), min(_PER_CLASS, len(rows)), replace=False)
                at = [rows[chosen] * _STEP_PX + 1, columns[chosen] * _STEP_PX + 1]
                places = np.stack([np.full(len(chosen), scene), *at], axis=1)
                found[index].append(places.astype(np.int32))
    return [np.concatenate(parts) if parts else np.empty((0, 3), np.int32) for parts in found]
