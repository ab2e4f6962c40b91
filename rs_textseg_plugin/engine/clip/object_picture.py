"""A single object as CLIP is shown it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def object_picture(
    crop: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    size_px: int,
    fill: tuple[int, int, int],
    shows_around: bool,
    shape: str = "padded",
) -> NDArray[np.uint8]:
    """Return one object, ``(size, size, 3)`` uint8: made a square in which nothing is cut off, and resized.

    CLIP's own preprocessing would cut the ends off a long object (a road, a ship). Text2Seg's released code prepares
    crops with CLIP Surgery's, which squashes them to a square; padding keeps their shape, and is our choice.

    Args:
        crop: ``(h, w, 3)`` uint8, the object's bounding box.
        inside: ``(h, w)`` bool, the object.
        size_px: side of the result.
        fill: colour of what is around the object, and of the padding.
        shows_around: whether the crop is left as it is around the object.
        shape: ``padded`` or ``squashed``.
    """
    shown = np.where((inside | shows_around)[..., None], crop, np.array(fill, np.uint8))
    whole = _padded(shown, fill) if shape == "padded" else shown
    return np.asarray(Image.fromarray(whole).resize((size_px, size_px), Image.Resampling.BICUBIC))


def _padded(crop: NDArray[np.uint8], fill: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a crop ``(h, w, 3)`` in the middle of a square of one colour."""
    side = max(crop.shape[:2])
    square = np.full((side, side, 3), fill, np.uint8)
    top, left = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
    square[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return square
