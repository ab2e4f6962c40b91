"""Resampling that gives a pixel the same value whatever window it is read in.

Along each axis a working pixel is a weighted sum of source pixels, and the weights depend on the pixel's number alone:
an area average where working pixels are coarser, linear interpolation where they are finer. Missing source pixels
carry no weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.floating[Any]]
Resampled = tuple[Floats, NDArray[np.bool_]]

# Weights sum to one but for rounding: only a clear lack of weight means that source pixels were missing.
_FULL_WEIGHT = 1.0 - 1e-5
_ENOUGH_WEIGHT = 0.5 - 1e-5


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """How the pixels of one axis are made.

    Attributes:
        start, stop: the source pixels that are needed.
        matrix: (working pixels, source pixels) weights; None: they are the same pixels.
    """

    start: int
    stop: int
    matrix: sparse.csr_array | None


def axis_weights(start: int, stop: int, scale: float, source_px: int) -> AxisWeights:
    """Return the weights for working pixels `start` to `stop` of an axis.

    Args:
        start: first working pixel.
        stop: first working pixel after the last one.
        scale: source pixels per working pixel.
        source_px: length of the source's axis; working pixels may stick out of it by less than one.
    """
    if scale == 1.0:
        return AxisWeights(start, stop, None)
    numbers = np.arange(start, stop)
    taps, weights = _area_taps(numbers, scale) if scale > 1 else _linear_taps(numbers, scale)
    weights = np.where((taps >= 0) & (taps < source_px), weights, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    taps = np.clip(taps, 0, source_px - 1)
    first, last = int(taps[weights > 0].min()), int(taps[weights > 0].max())
    rows = np.repeat(np.arange(len(numbers)), taps.shape[1])
    entries = (weights.ravel().astype(np.float32), (rows, np.clip(taps - first, 0, last - first).ravel()))
    matrix = sparse.coo_array(entries, shape=(len(numbers), last - first + 1)).tocsr()
    return AxisWeights(first, last + 1, matrix)


def _area_taps(numbers: NDArray[np.int_], scale: float) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    left, right = numbers * scale, (numbers + 1) * scale
    taps = np.floor(left).astype(int)[:, None] + np.arange(int(np.ceil(scale)) + 1)
    covered = np.minimum(taps + 1, right[:, None]) - np.maximum(taps, left[:, None])
    return taps, np.clip(covered, 0.0, None)


def _linear_taps(numbers: NDArray[np.int_], scale: float) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    centre = (numbers + 0.5) * scale - 0.5
    before = np.floor(centre).astype(int)
    share = centre - before
    return np.stack([before, before + 1], axis=1), np.stack([1.0 - share, share], axis=1)


def resample(values: Floats, valid: NDArray[np.bool_], rows: AxisWeights, cols: AxisWeights) -> Resampled:
    """Resample a patch of source pixels.

    Args:
        values: (bands, source rows, source columns) float; ignored where not valid.
        valid: (source rows, source columns) bool.
        rows: weights of the rows.
        cols: weights of the columns.

    Returns:
        ``(values, valid)`` on the working grid, in the same axis order and dtype; a working pixel is valid when at
        least half of its weight comes from valid source pixels.
    """
    if rows.matrix is None and cols.matrix is None:
        return values, valid
    if valid.all():
        mixed = _weighted(values, rows, cols)
        return mixed, np.ones(mixed.shape[1:], bool)
    total = _weighted(np.where(valid, values, values.dtype.type(0)), rows, cols)
    weight = _weighted(valid[None].astype(values.dtype), rows, cols)
    lacking = (weight < _FULL_WEIGHT) & (weight > 0)
    return total / np.where(lacking, weight, values.dtype.type(1)), weight[0] >= _ENOUGH_WEIGHT


def _weighted(values: Floats, rows: AxisWeights, cols: AxisWeights) -> Floats:
    return np.stack([_along_rows(_along_rows(band, rows).T, cols).T for band in values])


def _along_rows(band: Floats, axis: AxisWeights) -> Floats:
    if axis.matrix is None:
        return band
    mixed: Floats = axis.matrix.astype(band.dtype) @ band
    return mixed
