"""A single object as CLIP is shown it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def object_picture(
    crop: NDArray[np.uint8], inside: NDArray[np.bool_], size_px: int, fill: tuple[int, int, int], shows_around: bool
) -> NDArray[np.uint8]:
    """Return one object, ``(size, size, 3)`` uint8: padded to a square, so that nothing is cut off, and resized.

    CLIP's own preprocessing would cut the ends off a long object (a road, a ship); the padding is our choice.

    Args:
        crop: ``(h, w, 3)`` uint8, the object's bounding box.
        inside: ``(h, w)`` bool, the object.
        size_px: side of the result.
        fill: colour of the padding, and of what is around the object.
        shows_around: whether the crop is left as it is around the object.
    """
    side = max(crop.shape[:2])
    square = np.full((side, side, 3), fill, np.uint8)
    top, left = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
    shown = np.where((inside | shows_around)[..., None], crop, np.array(fill, np.uint8))
    square[top : top + crop.shape[0], left : left + crop.shape[1]] = shown
    return np.asarray(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.BICUBIC))
