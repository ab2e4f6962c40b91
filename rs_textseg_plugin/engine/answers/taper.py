"""Weights that let overlapping pictures fade into each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window


def taper(part: Window, whole: Window, overlap_px: int) -> NDArray[np.float32]:
    """Return weights ``(part.height, part.width)`` float32, falling from 1 to almost 0 towards the borders of `whole`.

    They fall over `overlap_px` pixels, so that across an overlap of that size the weights of two neighbours sum
    to 1. An overlap of 0 gives weights of 1 everywhere.
    """
    rows = _ramp(part.row, part.height, whole.row, whole.row_stop, overlap_px)
    columns = _ramp(part.col, part.width, whole.col, whole.col_stop, overlap_px)
    return rows[:, None] * columns[None, :]


def taper_along(start: int, stop: int, overlap_px: int) -> NDArray[np.float32]:
    """Return the weights of `taper` along one axis for the whole span, ``(stop - start,)`` float32."""
    return _ramp(start, stop - start, start, stop, overlap_px)


def _ramp(first: int, length: int, start: int, stop: int, overlap_px: int) -> NDArray[np.float32]:
    centres = np.arange(first, first + length) + 0.5
    distance = np.minimum(centres - start, stop - centres)
    if overlap_px == 0:
        return np.ones(length, np.float32)
    return np.clip(distance / overlap_px, 1e-6, 1).astype(np.float32)
