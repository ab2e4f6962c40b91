"""Bilinear resizing as two small matrices, so that any part of the result can be had without the rest."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window


@lru_cache(maxsize=64)
def bilinear_matrix(length_in: int, length_out: int) -> NDArray[np.float32]:
    """Return the matrix ``(length_out, length_in)`` float32 of a bilinear resize along one axis.

    The convention is that of ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``: pixel
    centres at half integers, and the outermost samples repeated beyond the border. Rows sum to 1. Do not write
    to the result: it is shared.
    """
    centres = (np.arange(length_out, dtype=np.float64) + 0.5) * (length_in / length_out) - 0.5
    centres = np.clip(centres, 0, length_in - 1)
    lower = np.minimum(centres.astype(np.int64), max(length_in - 2, 0))
    upper = np.minimum(lower + 1, length_in - 1)
    fraction = centres - lower
    matrix = np.zeros((length_out, length_in), np.float32)
    rows = np.arange(length_out)
    np.add.at(matrix, (rows, lower), 1 - fraction)
    np.add.at(matrix, (rows, upper), fraction)
    matrix.setflags(write=False)
    return matrix


def resize_part(
    planes: NDArray[np.float32],
    size: tuple[int, int],
    part: Window,
    within: Window | None = None,
    source: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Return a window of ``resize(picture, size)`` at the cost of that window only.

    Args:
        planes: ``(C, h, w)`` float32: the picture, or the part of it that is at hand.
        size: ``(height, width)`` of the whole resized picture.
        part: the window of the resized picture that is wanted.
        within: where `planes` lies in the picture; None: it is all of it.
        source: ``(height, width)`` of the picture; None: that of `planes`.
    """
    height, width = source or planes.shape[1:]
    at_hand = within or Window(0, 0, width, height)
    if (height, width) == size:  # nothing to interpolate
        return planes[(slice(None), *part.relative_to(at_hand).slices)]
    vertical = bilinear_matrix(height, size[0])[part.row : part.row_stop, at_hand.row : at_hand.row_stop]
    horizontal = bilinear_matrix(width, size[1])[part.col : part.col_stop, at_hand.col : at_hand.col_stop]
    return np.matmul(np.matmul(vertical, planes), horizontal.T)


def reach(part: Window, size: tuple[int, int], source: tuple[int, int]) -> Window:
    """Return the window of a picture of shape `source` that `part` of its resized form depends on."""
    if size == source:
        return part
    rows = np.flatnonzero(bilinear_matrix(source[0], size[0])[part.row : part.row_stop].any(axis=0))
    cols = np.flatnonzero(bilinear_matrix(source[1], size[1])[part.col : part.col_stop].any(axis=0))
    col, row = int(cols[0]), int(rows[0])
    return Window(col, row, int(cols[-1]) + 1 - col, int(rows[-1]) + 1 - row)
