"""Objects that tiles found twice: non-maximum suppression of each class across tiles."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.engine.segments import NO_CLASS


def find_duplicates(
    corners: NDArray[np.int64],
    labels: NDArray[np.int64],
    scores: NDArray[np.float32],
    pairs: NDArray[np.int64],
    duplicate_iou: float,
) -> NDArray[np.bool_]:
    """Return which objects a better one of their class makes superfluous, ``(N,)``; greedily, the best first.

    Args:
        corners: ``(N, 4)`` left, top, right, bottom of each object in the scene.
        labels: ``(N,)`` its class, or `NO_CLASS`.
        scores: ``(N,)`` how sure its class is; of equals the first is better.
        pairs: ``(M, 2)`` objects that lie over each other; no others are compared.
        duplicate_iou: two are the same if the intersection over union of their boxes is larger.
    """
    first, second = pairs.T
    alike = (first != second) & (labels[first] == labels[second]) & (labels[first] != NO_CLASS)
    alike[alike] = _overlap_ratios(corners[first[alike]], corners[second[alike]]) > duplicate_iou
    rivals: dict[int, list[int]] = defaultdict(list)
    for one, other in pairs[alike].tolist():
        rivals[one].append(other)
        rivals[other].append(one)
    dropped = np.zeros(len(labels), bool)
    for number in sorted(rivals, key=lambda number: (-scores[number], number)):
        if not dropped[number]:
            dropped[rivals[number]] = True
    return dropped


def _overlap_ratios(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the intersection over union of pairs of boxes ``(M, 4)``; none is empty."""
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    common = np.maximum(sides, 0).prod(axis=1)
    areas = (one[:, 2:] - one[:, :2]).prod(axis=1) + (other[:, 2:] - other[:, :2]).prod(axis=1)
    ratios: NDArray[np.float64] = common / (areas - common)
    return ratios
