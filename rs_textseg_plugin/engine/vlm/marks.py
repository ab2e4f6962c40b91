"""Marks in a picture whose places are known, and where an answer says that they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from rs_textseg_plugin.engine.vlm.coordinates import Size
from rs_textseg_plugin.engine.vlm.instance import Instance, Point

_CELLS = 3  # marks stand in a lattice of so many columns and rows, each somewhere in its cell
RADIUS_SHARE = 1 / 24  # of the shorter side
_GROUND = (126, 132, 112)
_MARKS = (
    ("red circle", (220, 40, 40), "circle"),
    ("blue square", (40, 70, 220), "square"),
    ("yellow triangle", (245, 220, 40), "triangle"),
    ("white cross", (250, 250, 250), "cross"),
    ("black diamond", (15, 15, 15), "diamond"),
    ("purple circle", (140, 40, 170), "circle"),
    ("orange square", (250, 140, 20), "square"),
    ("cyan triangle", (30, 220, 230), "triangle"),
)
_SHAPES: dict[str, tuple[Point, ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1), (1, 1), (-1, 1)),
    "diamond": ((0, -1), (1, 0), (0, 1), (-1, 0)),
    "cross": ((-.35, -1), (.35, -1), (.35, -.35), (1, -.35), (1, .35), (.35, .35),
              (.35, 1), (-.35, 1), (-.35, .35), (-1, .35), (-1, -.35), (-.35, -.35)),
}  # fmt: skip


class Mark(NamedTuple):
    """A mark: its name, which no other has, and the centre of its bounding box in pixels of the picture."""

    name: str
    x: float
    y: float

    @property
    def place(self) -> Point:
        """Its x and y."""
        return self.x, self.y


def draw_marks(size_px: Size, seed: int) -> tuple[NDArray[np.uint8], list[Mark]]:
    """Draw marks of different colours and shapes on a plain ground with a little texture.

    Args:
        size_px: ``(width, height)``, at least 64 each.
        seed: of the places and the texture.

    Returns:
        The picture ``(H, W, 3)`` uint8 RGB, and the marks; none is nearer to a border than its own size.
    """
    chance = np.random.default_rng(seed)
    width, height = size_px
    picture = _ground(size_px, chance)
    draw, radius = ImageDraw.Draw(picture), min(size_px) * RADIUS_SHARE
    cells = chance.permutation(_CELLS * _CELLS)[: len(_MARKS)]
    marks = []
    for (name, colour, kind), cell in zip(_MARKS, cells):
        column, row = cell % _CELLS + chance.uniform(0.3, 0.7), cell // _CELLS + chance.uniform(0.3, 0.7)
        # Whole numbers, so that what Pillow chance is symmetric about the centre of that pixel.
        x, y = int(column * width / _CELLS), int(row * height / _CELLS)
        _draw_mark(draw, kind, (x, y), round(radius), colour)
        marks.append(Mark(name, x + 0.5, y + 0.5))
    return np.asarray(picture), marks


def _ground(size_px: Size, chance: np.random.Generator) -> Image.Image:
    """Return a plain ground with soft texture, as of a meadow."""
    width, height = size_px
    grain = chance.normal(0, 14, (height, width, 1))
    textured = np.clip(np.array(_GROUND) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(textured).filter(ImageFilter.GaussianBlur(1.2))


def _draw_mark(
    draw: ImageDraw.ImageDraw, kind: str, centre: tuple[int, int], radius: int, colour: tuple[int, int, int]
) -> None:
    x, y = centre
    if kind == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        draw.polygon([(x + round(dx * radius), y + round(dy * radius)) for dx, dy in _SHAPES[kind]], fill=colour)


def found_marks(instances: Sequence[Instance], marks: Sequence[Mark]) -> Iterator[tuple[Mark, Point]]:
    """Return each mark that the answer has, with where it says that it is; of several the first counts."""
    for mark in marks:
        places = [_place(instance) for instance in instances if _is_called(instance.words, mark.name)]
        if places:
            yield mark, places[0]


def _is_called(words: str, name: str) -> bool:
    """Whether words mean a mark: no two have the same colour, so that the colour alone is enough."""
    spoken = set(re.findall(r"[a-z]+", words.casefold()))
    return spoken & {mark.split()[0] for mark, *_ in _MARKS} == {name.split()[0]}


def _place(instance: Instance) -> Point:
    """Return the middle of a box, which is more precise than a point that need only lie on the mark."""
    if instance.box is not None:
        left, top, right, bottom = instance.box
        return (left + right) / 2, (top + bottom) / 2
    return instance.inside[0]
