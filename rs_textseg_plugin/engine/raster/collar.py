"""The black frame that warping leaves around an image where nobody declared it as missing.

Black alone proves nothing: shadows and deep water are black too. A collar is exactly 0 in all bands, touches the
raster's edge, and is large. Where it lies is decided once for the whole raster, on a small picture of it; the exact
border is found pixel by pixel when a part is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.raster.bands import BandSource, Patch

Bools = NDArray[np.bool_]

_SMALLEST_SHARE = 0.001  # of the picture
_SMALLEST_PX = 64  # of the picture
_PICTURE_REACH_PX = 2  # the picture shows the border to about a pixel
# JPEG works in blocks of up to 16 px. In a block that the border crosses, the black side is not quite black:
# in an orthophoto of quality 75 nine in ten of the border pixels are above 0 and nearly all of them are below 12.
_LOSSY_REACH_PX = 16
_LOSSY_DARKEST = 12
_GAP_PX = 5  # narrower gaps inside the collar are compression noise


def find_collar(black: Bools) -> Bools:
    """Return which pixels of a small picture of the raster belong to its collar.

    Args:
        black: (rows, columns) bool: valid, and 0 in all bands.

    Returns:
        Same shape; all False where there is no collar.
    """
    labels, count = ndimage.label(black, structure=np.ones((3, 3), bool))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    is_collar = np.zeros(count + 1, bool)
    is_collar[np.unique(edge)] = True
    is_collar &= sizes >= max(_SMALLEST_PX, _SMALLEST_SHARE * black.size)
    is_collar[0] = False
    collar: Bools = is_collar[labels]
    return collar


@dataclass(frozen=True, eq=False)
class Collar:
    """Where the collar is, roughly.

    Attributes:
        picture: (rows, columns) bool, from `find_collar`, grown by a little.
        step_px: the raster's own pixels per pixel of the picture.
        darkest: values up to this one near the collar belong to it; 0 where there is no lossy compression to expect.
    """

    picture: Bools
    step_px: int
    darkest: int

    @classmethod
    def grown(cls, collar: Bools, step_px: int, darkest: int) -> Collar:
        """Make one from what `find_collar` returned."""
        return cls(_any_near(collar, _PICTURE_REACH_PX), step_px, darkest)

    def read(self, source: BandSource, window: Window) -> Patch:
        """Read a window of `source`; collar pixels are not valid.

        Every pixel is judged with all of its neighbourhood, also beyond the window: it is the same in any window.
        """
        reach = self._reach_px(source)
        around = _grown_by(window, reach + _GAP_PX, Window(0, 0, source.width, source.height))
        near = self._near(source, around)
        if not near.any():
            return source.read(window)
        patch = source.read(around)
        cut = window.relative_to(around).slices
        valid = patch.valid & ~self._covered(patch, near, reach)
        return Patch(patch.values[(slice(None), *cut)], valid[cut])

    def _reach_px(self, source: BandSource) -> int:
        is_overview = source.factor_col > 1 or source.factor_row > 1
        lossy = math.ceil(_LOSSY_REACH_PX / min(source.factor_col, source.factor_row)) if self.darkest else 0
        return max(lossy, int(is_overview))

    def _near(self, source: BandSource, window: Window) -> Bools:
        """Whether the picture shows the collar about here, for each pixel of `window`."""
        rows = (np.arange(window.row, window.row_stop) + 0.5) * source.factor_row // self.step_px
        cols = (np.arange(window.col, window.col_stop) + 0.5) * source.factor_col // self.step_px
        height, width = self.picture.shape
        near: Bools = self.picture[
            np.ix_(np.minimum(rows, height - 1).astype(int), np.minimum(cols, width - 1).astype(int))
        ]
        return near

    def _covered(self, patch: Patch, near: Bools, reach: int) -> Bools:
        black = near & patch.valid & (patch.values == 0).all(axis=0)
        if reach and self.darkest:
            black |= _any_near(black, reach) & (patch.values <= self.darkest).all(axis=0)
        elif reach:  # an overview's pixels on the border are mixed with black
            black = _any_near(black, reach)
        return _without_gaps(black)


def expected_darkest(source: BandSource) -> int:
    """Return how dark lossy compression leaves the collar: 8-bit images only, and not where there is a palette."""
    is_image = source.choice.dtype == np.uint8 and source.choice.palette is None
    return _LOSSY_DARKEST if is_image else 0


def _grown_by(window: Window, margin: int, limit: Window) -> Window:
    larger = Window(window.col - margin, window.row - margin, window.width + 2 * margin, window.height + 2 * margin)
    return larger.intersection(limit)


def _any_near(mask: Bools, reach: int) -> Bools:
    """Grow by a square of `reach` pixels to each side."""
    grown: NDArray[np.uint8] = ndimage.maximum_filter(mask.view(np.uint8), 2 * reach + 1, mode="nearest")
    return grown.view(bool)


def _without_gaps(mask: Bools) -> Bools:
    closed: NDArray[np.uint8] = ndimage.grey_closing(mask.view(np.uint8), (_GAP_PX, _GAP_PX), mode="nearest")
    return closed.view(bool)
