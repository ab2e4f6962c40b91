"""Connected pixels that will be one polygon, numbered across the cores of all tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label as label_components

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.mosaic.painting import Painted
from rs_textseg_plugin.engine.mosaic.remarks import RemarkCounts

_OBJECT_KEYS = 256  # keys below are label-raster values, keys from here on are objects


@dataclass(frozen=True)
class Components:
    """The scene's polygons before they are traced; row 0 stands for "nothing".

    Attributes:
        final: ``(n,)`` int64, row of the provisional numbers that the component raster holds.
        labels: ``(N,)`` uint8, label-raster value.
        pixels: ``(N,)`` int64, number of pixels.
        scores: ``(N, K)`` float32, mean class probabilities over those pixels.
        first: ``(N, 2)`` int64, smallest column and row.
        stop: ``(N, 2)`` int64, largest column and row, plus one.
        remarks: ``(N,)`` str, what is said of most of those pixels; None: nothing is said of any component.
    """

    final: NDArray[np.int64]
    labels: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    scores: NDArray[np.float32]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]
    remarks: NDArray[np.object_] | None = None


class ComponentTable:
    """Numbers the components of one core after the other, and joins those that meet at a seam."""

    def __init__(self, classes: int, instances: bool) -> None:
        self._instances = instances
        self._count = 1  # provisional number 0: nothing
        self._links: list[NDArray[np.int64]] = []
        self._labels = [np.zeros(1, np.uint8)]
        self._pixels = [np.zeros(1, np.int64)]
        self._sums = [np.zeros((1, classes), np.float32)]
        self._boxes = [np.zeros((1, 4), np.int64)]
        self._remarks = RemarkCounts()
        # Keys and numbers along the lower and right edges of the cores that later ones will meet.
        self._below: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._beside: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def add(self, painted: Painted) -> NDArray[np.uint32]:
        """Number a core's components; return the provisional numbers ``(h, w)``, 0 where there is nothing.

        Cores come row by row, from left to right.
        """
        keys = self._keys(painted)
        numbers = label_components(keys, background=0, connectivity=1).astype(np.int64)
        self._measure(painted, numbers)
        numbers[numbers > 0] += self._count - 1
        self._count = max(self._count, int(numbers.max(initial=0)) + 1)
        self._link_seams(painted.window, keys, numbers)
        if painted.remarks is not None:
            self._remarks.add(numbers, painted.remarks)
        return numbers.astype(np.uint32)

    def _keys(self, painted: Painted) -> NDArray[np.int64]:
        """Pixels with the same key belong together where they touch."""
        labels = painted.labels.astype(np.int64)
        if not self._instances:
            return labels
        return np.where((painted.objects > 0) & (labels > 0), painted.objects + _OBJECT_KEYS, labels)

    def _measure(self, painted: Painted, numbers: NDArray[np.int64]) -> None:
        boxes = find_objects(numbers)
        flat = numbers.ravel()
        first_pixels = np.zeros(len(boxes) + 1, np.int64)
        first_pixels[flat[::-1]] = np.arange(flat.size)[::-1]
        self._labels.append(painted.labels.ravel()[first_pixels[1:]])
        self._pixels.append(np.bincount(flat, minlength=len(boxes) + 1)[1:])
        sums = [
            np.bincount(flat, weights=plane.ravel(), minlength=len(boxes) + 1)[1:] for plane in painted.probabilities
        ]
        self._sums.append(np.stack(sums, axis=1).astype(np.float32))
        col, row = painted.window.col, painted.window.row
        corners = [(c.start + col, r.start + row, c.stop + col, r.stop + row) for r, c in boxes]
        self._boxes.append(np.array(corners, np.int64).reshape(-1, 4))

    def _link_seams(self, window: Window, keys: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        """Join with the cores above and to the left; the edges wait under the corner of the core that meets them."""
        above = self._below.pop((window.row, window.col), None)
        if above is not None:
            self._link(*above, keys[0], numbers[0])
        left = self._beside.pop((window.row, window.col), None)
        if left is not None:
            self._link(*left, keys[:, 0], numbers[:, 0])
        # Copies: a view would keep the whole core in memory.
        self._below[window.row_stop, window.col] = (keys[-1].copy(), numbers[-1].copy())
        self._beside = {(window.row, window.col_stop): (keys[:, -1].copy(), numbers[:, -1].copy())}

    def _link(
        self,
        keys_a: NDArray[np.int64],
        numbers_a: NDArray[np.int64],
        keys_b: NDArray[np.int64],
        numbers_b: NDArray[np.int64],
    ) -> None:
        same = (keys_a == keys_b) & (keys_a > 0)
        self._links.append(np.unique(np.stack([numbers_a[same], numbers_b[same]], axis=1), axis=0))

    def resolve(self, texts: tuple[str, ...] = ("",)) -> Components:
        """Join what met at seams and sum up.

        Args:
            texts: of the remarks, by number.
        """
        links = np.concatenate([np.empty((0, 2), np.int64), *self._links])
        graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(self._count, self._count))
        total, final = connected_components(graph, directed=False)
        final = final.astype(np.int64)  # number 0 is linked to nothing and comes first, so row 0 stays "nothing"
        pixels = np.bincount(final, weights=np.concatenate(self._pixels), minlength=total)
        sums = np.concatenate(self._sums)
        scores = np.stack([np.bincount(final, weights=sums[:, k], minlength=total) for k in range(sums.shape[1])], 1)
        labels = np.zeros(total, np.uint8)
        labels[final] = np.concatenate(self._labels)
        boxes = np.concatenate(self._boxes)
        first = np.full((total, 2), np.iinfo(np.int64).max)
        stop = np.zeros((total, 2), np.int64)
        np.minimum.at(first, final, boxes[:, :2])
        np.maximum.at(stop, final, boxes[:, 2:])
        means = (scores / np.maximum(pixels, 1)[:, None]).astype(np.float32)
        remarks = self._remarks.resolve(final, total, texts) if len(texts) > 1 else None
        return Components(final, labels, pixels.astype(np.int64), means, first, stop, remarks)
