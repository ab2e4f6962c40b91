"""One thing that a vision-language model found."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def moved(self, x_px: float, y_px: float) -> Instance:
        """Return the same instance in a frame whose corner lies that far to the left and above."""
        box = self.box and (self.box[0] + x_px, self.box[1] + y_px, self.box[2] + x_px, self.box[3] + y_px)
        inside, outside = (tuple((x + x_px, y + y_px) for x, y in points) for points in (self.inside, self.outside))
        return replace(self, box=box, inside=inside, outside=outside)
