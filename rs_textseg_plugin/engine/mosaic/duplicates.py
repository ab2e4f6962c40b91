"""Masks that two tiles drew differently of one object: non-maximum suppression of each class across tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from rs_textseg_plugin.contract.grid import Tile, Window
from rs_textseg_plugin.engine.answers.answer import NO_CLASS, Segment


def are_alike(first: Tile, segment: Segment, second: Tile, other: Segment, duplicate_iou: float) -> bool:
    """Whether segments of two tiles have one class, and boxes in the scene with a larger IoU than that."""
    if segment.label == NO_CLASS or segment.label != other.label:
        return False
    boxes = (segment.window.moved(t.window.col, t.window.row) for t, segment in ((first, segment), (second, other)))
    return box_iou(*boxes) > duplicate_iou


def box_iou(first: Window, second: Window) -> float:
    """Return the intersection over union of two boxes."""
    common = first.intersection(second)
    shared_px = common.width * common.height
    return shared_px / (first.width * first.height + second.width * second.height - shared_px)


def find_duplicates(pairs: Sequence[tuple[int, int]], rank: Callable[[int], Any]) -> list[int]:
    """Return the numbers that a better one makes superfluous; greedily, the best first.

    Args:
        pairs: numbers of which only the better one may stay.
        rank: key of a number, the lower the better; all are different.
    """
    rivals: dict[int, list[int]] = defaultdict(list)
    for first, second in pairs:
        rivals[first].append(second)
        rivals[second].append(first)
    dropped: set[int] = set()
    for number in sorted(rivals, key=rank):
        if number not in dropped:
            dropped.update(rivals[number])
    return sorted(dropped)
