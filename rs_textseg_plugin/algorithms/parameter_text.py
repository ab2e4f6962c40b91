"""Values that are written as text in Processing."""

from __future__ import annotations

from rs_textseg_plugin.contract.errors import RecipeError, SceneError


def parse_parameters(text: str) -> dict[str, str]:
    """Read ``key=value;key=value``; the values are checked where the recipe is.

    Raises:
        RecipeError: an entry is no ``key=value``, or a key is given twice.
    """
    values: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        key, equals, value = (part.strip() for part in entry.partition("="))
        if not key or not equals:
            raise RecipeError(f"The parameter {entry!r} is not understood: write key=value;key=value.")
        if key in values:
            raise RecipeError(f"The parameter {key!r} is given twice: keep one.")
        values[key] = value
    return values


def parse_bands(text: str) -> tuple[int, ...]:
    """Read one or three 1-based band numbers, separated by commas or blanks; empty text: the default bands.

    Raises:
        SceneError: no numbers, or another count of them.
    """
    words = text.replace(",", " ").split()
    bands = tuple(int(word) for word in words if word.isdecimal())
    if len(bands) != len(words) or len(bands) not in (0, 1, 3) or 0 in bands:
        raise SceneError(
            f"The bands {text!r} are not understood: write the numbers of the red, green and blue band, for example "
            "3,2,1, or the number of a single band."
        )
    return bands
