"""A colour for every class: the one that maps use for the thing where there is one, else the next free one."""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Iterable, Iterator, Sequence

_USUAL = {
    "building": "#d7301f",
    "roof": "#d7301f",
    "house": "#d7301f",
    "road": "#6b6b6b",
    "street": "#6b6b6b",
    "pavement": "#8c8c8c",
    "car park": "#a88fb5",
    "parking lot": "#a88fb5",
    "bridge": "#8c510a",
    "water": "#2b83ba",
    "river": "#2b83ba",
    "lake": "#2b83ba",
    "sea": "#2b6cba",
    "swimming pool": "#41d6e0",
    "pool": "#41d6e0",
    "tree": "#1a9641",
    "forest": "#00682b",
    "grass": "#a6d96a",
    "lawn": "#a6d96a",
    "meadow": "#a6d96a",
    "vegetation": "#4daf4a",
    "cropland": "#e6c229",
    "field": "#e6c229",
    "agriculture": "#e6c229",
    "bare soil": "#c49a6c",
    "soil": "#c49a6c",
    "sand": "#ead9a0",
    "car": "#ff7f00",
    "vehicle": "#ff7f00",
    "ship": "#984ea3",
    "boat": "#984ea3",
    "solar panel": "#1f2a8a",
    "storage tank": "#f781bf",
    "shadow": "#333333",
}
# Tableau's ten, which stay apart for most kinds of colour blindness when drawn with outlines.
_OTHERS = (
    "#4e79a7",
    "#f28e2b",
    "#e15759",
    "#76b7b2",
    "#59a14f",
    "#edc948",
    "#b07aa1",
    "#ff9da7",
    "#9c755f",
    "#17becf",
)


_MOST_FURTHER = 4000  # the circle of hues has some 2000 colours in 8 bits; then they come again


class Palette:
    """Hands out colours, each of them once for as long as there are any.

    Args:
        taken: colours that are not handed out.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._further = _further_colours()

    def pick(self, words: Iterable[str]) -> str:
        """Return ``#rrggbb`` for a class with these words."""
        usual = (_USUAL.get(word.casefold()) for word in words)
        # What was passed over stays taken, so the further colours never have to be begun again.
        candidates = itertools.chain(filter(None, usual), _OTHERS, self._further)
        colour = next((colour for colour in candidates if colour not in self._taken), _OTHERS[0])
        self._taken.add(colour)
        return colour


def pick_colour(words: Sequence[str], taken: Iterable[str]) -> str:
    """Return ``#rrggbb`` for a class with these words, different from the colours `taken`."""
    return Palette(taken).pick(words)


def _further_colours() -> Iterator[str]:
    """Yield colours: hues a golden section of the circle apart, so that neighbours in a list differ."""
    for number in range(_MOST_FURTHER):
        lightness = (0.35, 0.5, 0.65)[number % 3]
        red, green, blue = colorsys.hls_to_rgb(number * 0.618034 % 1, lightness, 0.55)
        yield f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
