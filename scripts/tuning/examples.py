"""What a model is taught with: a picture, a phrase, and where what the phrase means is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import label as number_regions

from rs_textseg_plugin.contract.errors import SceneError

Mask = NDArray[np.bool_]

TRAIN, VALIDATION, TEST = "train", "val", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
WHOLE, APART = "whole", "apart"
_SMALLEST_PX = 16  # of a region that is a thing of its own


@dataclass(frozen=True)
class Shown:
    """A picture with what is to be found in it.

    Attributes:
        rgb: ``(H, W, 3)`` uint8.
        objects: ``(H, W)`` bool each, one thing each; none: nothing in the picture fits the phrase.
    """

    rgb: NDArray[np.uint8]
    objects: tuple[Mask, ...]

    @property
    def target(self) -> Mask:
        """``(H, W)`` bool, all things together."""
        together = np.zeros(self.rgb.shape[:2], np.bool_)
        for mask in self.objects:
            together |= mask
        return together


@dataclass(frozen=True)
class Example:
    """A question with its answer.

    Attributes:
        key: tells it from all others of its data, and stays the same.
        phrase: what is asked for.
        label: what it is, in a few words.
        read: returns the picture and the masks; raises SceneError where a file is missing or damaged.
    """

    key: str
    phrase: str
    label: str
    read: Callable[[], Shown] = field(repr=False, compare=False)


def coarser(shown: Shown, longest_px: int) -> Shown:
    """Return a picture made smaller so that its long side fits.

    Colours are averaged, masks take the nearest pixel; of a thing that would vanish, every pixel that it touches stays,
    so that it does not become one that is not there.
    """
    height, width = shown.rgb.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return shown
    size = max(1, round(width * scale)), max(1, round(height * scale))
    rgb = np.array(Image.fromarray(shown.rgb).resize(size, Image.Resampling.BOX))
    return Shown(rgb, tuple(_coarser_mask(mask, size) for mask in shown.objects))


def _coarser_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    nearest = np.asarray(Image.fromarray(mask.view(np.uint8)).resize(size, Image.Resampling.NEAREST), np.bool_)
    if nearest.any():
        return nearest
    shares = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    touched: Mask = np.asarray(shares) > 0
    return touched


def things_in(mask: Mask, regions: str) -> tuple[Mask, ...]:
    """Return the things that a mask shows, largest first.

    Args:
        mask: ``(H, W)`` bool.
        regions: `WHOLE`: all of it is one thing; `APART`: regions that do not touch are things of their own, but for
            those of less than 16 pixels, which are left out unless there is nothing else.
    """
    if not mask.any():
        return ()
    if regions == WHOLE:
        return (mask,)
    numbers = number_regions(mask, connectivity=2)
    areas = np.bincount(numbers.ravel())[1:]
    order = np.argsort(-areas, kind="stable")
    kept = [index for index in order if areas[index] >= _SMALLEST_PX] or order[:1]
    return tuple(numbers == index + 1 for index in kept)


def in_split(keys: Sequence[str], split: str, held_out: float) -> list[bool]:
    """Return which keys belong to a split, where the data does not say; the same key always to the same one.

    A share of `held_out` goes to validation and as much to test; told from the key alone, so that data that is added
    moves nothing.
    """
    places = [zlib.crc32(key.encode("utf-8")) / 2**32 for key in keys]
    borders = {VALIDATION: (0.0, held_out), TEST: (held_out, 2 * held_out), TRAIN: (2 * held_out, 1.0)}
    first, last = borders[split]
    return [first <= place < last for place in places]


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture ``(H, W, 3)`` uint8.

    Raises:
        SceneError: missing or damaged.
    """
    with _opened(path) as image:
        return np.array(image.convert("RGB"))


def read_mask(path: Path) -> Mask:
    """Return a mask ``(H, W)``: every pixel that is not 0, of any band.

    Raises:
        SceneError: missing or damaged.
    """
    with _opened(path) as image:
        values = np.asarray(image)
    is_set: Mask = values != 0
    return is_set.any(axis=2) if is_set.ndim == 3 else is_set


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except OSError as error:
        raise SceneError(f"The picture {path} cannot be read ({error}): add it, or take its rows out.") from error
    return image


def require_same_size(rgb: NDArray[np.uint8], mask: Mask, path: Path) -> None:
    """Check that a mask belongs to a picture.

    Raises:
        SceneError: it has another size.
    """
    if mask.shape != rgb.shape[:2]:
        raise SceneError(
            f"The mask {path} has {mask.shape[1]} x {mask.shape[0]} pixels, its picture {rgb.shape[1]} x "
            f"{rgb.shape[0]}: take the mask that was made for it."
        )
