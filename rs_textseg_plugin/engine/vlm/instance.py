"""One thing that a vision-language model found."""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Instance:
    """One thing that a model found, in pixels of the picture that it was asked about (not of what it saw of it).

    Attributes:
        words: what the model says of it; may be empty.
        box: left, top, right, bottom; None: it gave none. With a width and a height, inside the picture.
        inside: x and y of points on it, inside the picture.
        outside: x and y of points beside it, inside the picture.
        confidence: 0..1, as the model says; None: it does not say.
    """

    words: str
    box: Box | None
    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    confidence: float | None = None
