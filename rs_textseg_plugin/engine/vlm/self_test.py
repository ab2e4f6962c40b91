"""The coordinate self-test: a model is shown marks whose places are known, and asked where they are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.vlm.coordinates import Drift, Size, fit_drift
from rs_textseg_plugin.engine.vlm.instance import Instance, Point
from rs_textseg_plugin.engine.vlm.model import Convention, Reply, VisionModel
from rs_textseg_plugin.engine.vlm.parsing.answer import ParsedAnswer, read_answer
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy, ask_for

_SMALLEST_SIDE_PX = 64  # below it the marks are smaller than what models see
_SEED = 6
_CELLS = 3  # marks stand in a lattice of so many columns and rows, each somewhere in its cell
_RADIUS_SHARE = 1 / 24  # of the shorter side
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
_CLEARLY = 0.5  # a correction, another order or another convention counts if it leaves at most so much of the error
_NO_DRIFT = Drift()
_ACCURATE_PX = 1.0  # so little error needs no correction: models give whole numbers


class Mark(NamedTuple):
    """A mark: its name, which no other has, and the centre of its bounding box in pixels of the picture."""

    name: str
    x: float
    y: float

    @property
    def place(self) -> Point:
        """Its x and y."""
        return self.x, self.y


@dataclass(frozen=True)
class SelfTest:
    """How well a model says where things are.

    Attributes:
        error_px: mean distance between a mark and what was answered, over the marks that were found; infinite where
            none was.
        worst_px: the largest of these distances.
        drift: what corrects the model's places; without any effect where that would not make them clearly better.
        missed: names of the marks that the answer does not have.
        sentence: all of this in words.
    """

    error_px: float
    worst_px: float
    drift: Drift
    missed: tuple[str, ...]
    sentence: str


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
    draw, radius = ImageDraw.Draw(picture), min(size_px) * _RADIUS_SHARE
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


def run_self_test(model: VisionModel, size_px: Size, control: RunControl) -> SelfTest:
    """Show a model a picture with marks, ask for all of them, and measure where it says they are.

    Args:
        model: is asked once.
        size_px: ``(width, height)`` of the picture: that of the pictures that it will be asked about, since how far a
            model is off depends on it.
        control: goes with the question to the model.

    Raises:
        Cancelled: the user has given up.
        EngineError: the model cannot be asked.
    """
    if min(size_px) < _SMALLEST_SIDE_PX:
        return _not_tested(f"the picture is only {size_px[0]} x {size_px[1]} px")
    picture, marks = draw_marks(size_px, _SEED)
    wish = f"each of these {len(marks)} marks, labelled with its name: {', '.join(mark.name for mark in marks)}"
    policy = ClickPolicy(inside=1, outside=0, most_instances=len(marks))
    asked = ask_for(wish, model.shown_size(*size_px), model.convention, policy)
    reply = model.ask(picture, asked, control)
    if reply.refusal:
        return _not_tested("the model declined to answer", marks)
    return _judged(reply, model.convention, marks, size_px)


def _not_tested(why: str, marks: Sequence[Mark] = ()) -> SelfTest:
    names = tuple(mark.name for mark in marks)
    return SelfTest(math.inf, math.inf, Drift(), names, f"The coordinate self-test says nothing: {why}.")


def _judged(reply: Reply, convention: Convention, marks: Sequence[Mark], size_px: Size) -> SelfTest:
    def read(meant: Convention) -> ParsedAnswer:
        return read_answer(reply.text, reply.shown_px, size_px, meant)

    reading = read(convention)
    pairs = [*_pairs(reading.instances, marks)]
    hint = "".join(_hints(pairs, {meant: [*_pairs(read(meant).instances, marks)] for meant in Convention}, convention))
    if not pairs:
        why = "the answer has none of the marks" if reading.is_answer else " ".join(reading.unusable).rstrip(".")
        return _not_tested(why + hint, marks)
    errors = [*map(_distance, pairs)]
    missed = tuple(mark.name for mark in marks if mark not in [mark for mark, _ in pairs])
    drift = _drift(pairs, len(marks))
    sentence = f"{_in_words(errors, missed, len(marks))}{hint}.{_on_correction(drift, pairs)}"
    return SelfTest(float(np.mean(errors)), max(errors), drift, missed, sentence)


def _pairs(instances: Sequence[Instance], marks: Sequence[Mark]) -> Iterator[tuple[Mark, Point]]:
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


def _drift(pairs: Sequence[tuple[Mark, Point]], count: int) -> Drift:
    """Return the correction if it is needed and rests on at least half of the marks.

    It also has to halve the error of marks that it was not fitted to: four numbers fit a handful of marks well
    whatever was answered.
    """
    before = _typical(pairs)
    if before <= _ACCURATE_PX or 2 * len(pairs) < count:
        return _NO_DRIFT
    unseen = [_distance(pair, _fitted([other for other in pairs if other is not pair])) for pair in pairs]
    return _fitted(pairs) if float(np.median(unseen)) <= _CLEARLY * before else _NO_DRIFT


def _fitted(pairs: Sequence[tuple[Mark, Point]]) -> Drift:
    return fit_drift([mark.place for mark, _ in pairs], [place for _, place in pairs])


def _distance(pair: tuple[Mark, Point], drift: Drift = _NO_DRIFT) -> float:
    mark, place = pair
    return math.dist(mark.place, drift.apply(place))


def _typical(pairs: Sequence[tuple[Mark, Point]], drift: Drift = _NO_DRIFT) -> float:
    """Return the median error after a correction: one wild answer does not change it much."""
    return float(np.median([_distance(pair, drift) for pair in pairs]))


def _hints(
    pairs: Sequence[tuple[Mark, Point]],
    by_convention: dict[Convention, list[tuple[Mark, Point]]],
    convention: Convention,
) -> Iterator[str]:
    """Say what would explain a large error better than a drift."""
    error = _typical(pairs) if pairs else math.inf
    if error <= _ACCURATE_PX:
        return
    if pairs and _typical([(mark, (y, x)) for mark, (x, y) in pairs]) <= _CLEARLY * error:
        yield "; it seems to give y before x, so its places cannot be used"
    for meant, others in by_convention.items():
        is_better = len(others) >= max(len(pairs), 1) and _typical(others) <= _CLEARLY * error
        if meant is not convention and is_better:
            yield f"; its numbers fit better as {meant.value}: set convention={meant.value}"


def _in_words(errors: Sequence[float], missed: Sequence[str], count: int) -> str:
    found = f"The coordinate self-test: {len(errors)} of {count} marks were found"
    misses = f" (not the {', '.join(missed)})" if missed else ""
    return f"{found}{misses}, {np.mean(errors):.1f} px off on average and {max(errors):.1f} px at most"


def _on_correction(drift: Drift, pairs: Sequence[tuple[Mark, Point]]) -> str:
    if drift == Drift():
        return ""
    return (
        f" Places are corrected by {drift.dx_px:+.1f} px to the right and {drift.dy_px:+.1f} px downwards after "
        f"scaling by {drift.scale_x:.3f} and {drift.scale_y:.3f}; half of the marks are then within "
        f"{_typical(pairs, drift):.1f} px."
    )
