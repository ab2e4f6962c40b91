"""Values that users type, read the same way on the command line, in Processing and in the dock."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Optional

from rs_textseg_plugin.contract.errors import RecipeError, SceneError, shown
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.recipe import DEVICES, PRECISIONS

_ONE_OF_SEVERAL_GPUS = re.compile(r"cuda:\d{1,3}")


def parse_bands(text: str) -> tuple[int, ...]:
    """Read one or three 1-based band numbers, separated by commas or blanks; empty text: the default bands.

    Raises:
        SceneError: no numbers, or another count of them.
    """
    words = text.replace(",", " ").split()
    bands = tuple(int(word) for word in words if word.isdecimal())
    if len(bands) != len(words) or len(bands) not in (0, 1, 3) or 0 in bands:
        raise SceneError(
            f"The bands {shown(text)} are not understood: write the numbers of the red, green and blue band, for "
            "example 4,3,2, or the number of a single band."
        )
    return bands


def parse_nodata(text: str) -> Optional[float]:
    """Read a value that marks missing pixels, ``nan`` among them; empty text: there is none.

    Raises:
        SceneError: it is no number.
    """
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise SceneError(
            f"The nodata value {shown(text)} is not understood: write a number, for example -9999."
        ) from None


def parse_resolution(text: str) -> Optional[float]:
    """Read the size of a working pixel on the ground in metres; empty text: as the raster has it.

    Raises:
        SceneError: it is no number above 0.
    """
    if not text.strip():
        return None
    try:
        metres = float(text)
    except ValueError:
        metres = math.nan
    if not 0 < metres < math.inf:
        raise SceneError(
            f"The resolution {shown(text)} is not understood: write metres on the ground, for example 0.5."
        )
    return metres


def parse_extent(text: str) -> Optional[Extent]:
    """Read ``xmin,ymin,xmax,ymax`` in the raster's CRS; empty text: all of the raster.

    Raises:
        SceneError: these are not four numbers, or nothing lies between them.
    """
    if not text:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(text)
        extent = Extent(*numbers)
    except (TypeError, ValueError):
        raise SceneError(f"The extent {shown(text)} is not understood: write xmin,ymin,xmax,ymax.") from None
    if extent.xmin >= extent.xmax or extent.ymin >= extent.ymax:
        raise SceneError(f"The extent {shown(text)} is empty: xmin must be below xmax, and ymin below ymax.")
    return extent


def split_parameters(text: str) -> list[str]:
    """Return the entries of ``key=value;key=value``."""
    return [part for part in text.split(";") if part.strip()]


def parse_parameters(entries: Iterable[str]) -> dict[str, str]:
    """Read entries ``key=value``; the values are checked where the recipe is.

    Raises:
        RecipeError: an entry is no ``key=value``, or a key is given twice.
    """
    values: dict[str, str] = {}
    for entry in entries:
        key, equals, value = (part.strip() for part in entry.partition("="))
        if not key or not equals:
            raise RecipeError(f"The parameter {shown(entry.strip())} is not understood: write key=value.")
        if key in values:
            raise RecipeError(f"The parameter {shown(key)} is given twice: keep one.")
        values[key] = value
    return values


def parse_device(text: str) -> str:
    """Read a device's name.

    Raises:
        RecipeError: there is none of that name.
    """
    if text not in DEVICES and not _ONE_OF_SEVERAL_GPUS.fullmatch(text):
        raise RecipeError(f"There is no device {shown(text)}: choose {', '.join(DEVICES)}, or cuda:1 for a second GPU.")
    return text


def parse_precision(text: str) -> str:
    """Read the name of a precision.

    Raises:
        RecipeError: there is none of that name.
    """
    if text not in PRECISIONS:
        raise RecipeError(f"There is no precision {shown(text)}: choose {', '.join(PRECISIONS)}.")
    return text
