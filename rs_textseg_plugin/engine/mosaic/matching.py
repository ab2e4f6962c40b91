"""Which masks of two overlapping tiles are the same object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Tile, Window
from rs_textseg_plugin.engine.answers.answer import Segment

MIN_STRIP_IOU = 0.5  # of two masks inside the strip that both tiles see; our choice
MOSTLY = 0.5  # of a mask inside that strip
# SAM's masks often stop a few pixels short of the picture's border; such a mask is cut by it all the same.
BORDER_REACH_PX = 8

LEFT, RIGHT, TOP, BOTTOM = 1, 2, 4, 8


def touched_borders(segment: Segment, tile: Window) -> int:
    """Return the borders of its tile that a segment reaches, as a sum of `LEFT`, `RIGHT`, `TOP`, `BOTTOM`."""
    window = segment.window
    borders = LEFT * (window.col <= BORDER_REACH_PX)
    borders += RIGHT * (window.col_stop >= tile.width - BORDER_REACH_PX)
    borders += TOP * (window.row <= BORDER_REACH_PX)
    return int(borders + BOTTOM * (window.row_stop >= tile.height - BORDER_REACH_PX))


@dataclass(frozen=True)
class _Part:
    """The part of a segment inside a strip: its number, place in the scene, pixels and their count."""

    number: int
    window: Window
    mask: NDArray[np.bool_]
    area_px: int


def match_masks(
    first: Tile, first_segments: tuple[Segment, ...], second: Tile, second_segments: tuple[Segment, ...]
) -> list[tuple[int, int]]:
    """Pair the segments of two tiles one to one, the best agreement first.

    Two segments agree when the intersection over union of their parts inside the strip that both tiles see is at
    least `MIN_STRIP_IOU`. Classes play no part: the answer does not depend on the text.
    """
    strip = first.window.intersection(second.window)
    if strip.is_empty:
        return []
    ours, theirs = _parts(first, first_segments, strip), _parts(second, second_segments, strip)
    agreements = [(iou, a.number, b.number) for a in ours for b in theirs if (iou := _iou(a, b)) >= MIN_STRIP_IOU]
    return _best_pairs(agreements)


def find_overlaps(
    first: Tile, first_segments: tuple[Segment, ...], second: Tile, second_segments: tuple[Segment, ...]
) -> list[tuple[int, int, bool, bool]]:
    """Return segments of two tiles that lie over each other in the strip that both tiles see.

    Returns:
        For each pair their numbers, whether most of the first one's part lies in the second, and the reverse.
    """
    strip = first.window.intersection(second.window)
    if strip.is_empty:
        return []
    ours, theirs = _parts(first, first_segments, strip), _parts(second, second_segments, strip)
    shared = ((a, b, _shared_px(a, b)) for a in ours for b in theirs)
    return [(a.number, b.number, px >= MOSTLY * a.area_px, px >= MOSTLY * b.area_px) for a, b, px in shared if px]


def _parts(tile: Tile, segments: tuple[Segment, ...], strip: Window) -> list[_Part]:
    parts = []
    for number, segment in enumerate(segments):
        placed = segment.window.moved(tile.window.col, tile.window.row)
        common = placed.intersection(strip)
        if not common.is_empty:
            mask = segment.mask.unpack()[common.relative_to(placed).slices]
            area_px = int(np.count_nonzero(mask))
            if area_px:
                parts.append(_Part(number, common, mask, area_px))
    return parts


def _iou(a: _Part, b: _Part) -> float:
    # The areas alone bound the IoU; most pairs end here, without looking at a pixel.
    if min(a.area_px, b.area_px) < MIN_STRIP_IOU * max(a.area_px, b.area_px):
        return 0.0
    shared = _shared_px(a, b)
    return shared / (a.area_px + b.area_px - shared)


def _shared_px(a: _Part, b: _Part) -> int:
    common = a.window.intersection(b.window)
    if common.is_empty:
        return 0
    both = a.mask[common.relative_to(a.window).slices] & b.mask[common.relative_to(b.window).slices]
    return int(np.count_nonzero(both))


def _best_pairs(agreements: list[tuple[float, int, int]]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    taken_first: set[int] = set()
    taken_second: set[int] = set()
    for _, a, b in sorted(agreements, key=lambda row: (-row[0], row[1], row[2])):
        if a not in taken_first and b not in taken_second:
            taken_first.add(a)
            taken_second.add(b)
            pairs.append((a, b))
    return pairs
