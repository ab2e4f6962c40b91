"""Masks as COCO writes them: polygons, runs of pixels, and runs packed into letters.

Runs go down the columns, left to right, and the first counts pixels outside. Packed, a run is written five bits a
letter, least first, letters counted from "0" on; the sixth bit says that the run goes on with the next letter, and the
last letter's fifth bit is its sign. From the fourth run on it is the difference to the run two places earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

Mask = NDArray[np.bool_]


def decode(segmentation: Any, height_px: int, width_px: int) -> Mask:
    """Return the mask ``(H, W)`` of an annotation's ``segmentation``.

    Args:
        segmentation: runs, a list of runs, or a list of polygons; what is in a list is joined.
        height_px: of the picture.
        width_px: of the picture.

    Raises:
        ValueError: it is none of these, or of another size.
    """
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    mask = np.zeros((height_px, width_px), np.bool_)
    for part in parts:
        mask |= _decode_runs(part) if isinstance(part, Mapping) else _decode_polygon(part, mask.shape)
    return mask


def _decode_runs(part: Mapping[str, Any]) -> Mask:
    height, width = part["size"]
    counts = part["counts"]
    runs = list(_unpacked(counts)) if isinstance(counts, (str, bytes)) else [int(count) for count in counts]
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"runs of {sum(runs)} pixels in a picture of {height} x {width}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def _unpacked(letters: str | bytes) -> Iterator[int]:
    """Yield the runs that letters stand for."""
    codes = letters.encode("ascii") if isinstance(letters, str) else letters
    earlier: list[int] = []
    value, bits = 0, 0
    for code in codes:
        digit = code - ord("0")
        value |= (digit & 0b11111) << bits
        bits += 5
        if digit & 0b100000:
            continue
        if digit & 0b10000:
            value -= 1 << bits
        earlier.append(value + (earlier[-2] if len(earlier) > 2 else 0))
        yield earlier[-1]
        value, bits = 0, 0


def _decode_polygon(corners: Sequence[float], shape: tuple[int, ...]) -> Mask:
    points = np.asarray(corners, np.float64).reshape(-1, 2)
    mask: Mask = polygon2mask(shape, points[:, ::-1] - 0.5)  # COCO counts from the corner of a pixel
    return mask
