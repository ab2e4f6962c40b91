"""The coordinate self-test: a model is shown marks whose places are known, and asked where they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.vlm.coordinates import Drift, Size, fit_drift
from rs_textseg_plugin.engine.vlm.instance import Point
from rs_textseg_plugin.engine.vlm.marks import RADIUS_SHARE, Mark, draw_marks, found_marks
from rs_textseg_plugin.engine.vlm.model import Convention, Reply, VisionModel
from rs_textseg_plugin.engine.vlm.parsing.answer import read_answer
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy, ask_for

SMALLEST_SIDE_PX = 64  # below it the marks are smaller than what models see
_SEED = 6
_CLEARLY = 0.5  # a correction, another order or another convention counts if it leaves at most so much of the error
_NO_DRIFT = Drift()
_ACCURATE_PX = 1.0  # so little error needs no correction: models give whole numbers
_FITS_SHARE = 2 * RADIUS_SHARE  # of the shorter side; places that are farther off, in the median, do not fit
_GRID_PX, _TOO_NEAR_PX = 1000, 250  # pixels and thousandths are hardly told apart on a picture of about 1000 pixels
_TOLD_APART_SHARE = 0.75  # so such a picture is made that much flatter where the test has to tell them apart
_CHOICES = ", ".join(meant.value for meant in Convention)
_WHAT_TO_SET = (
    f"so places may be wrong: set convention to one of {_CHOICES} if you know which is right, or take another model."
)


@dataclass(frozen=True)
class SelfTest:
    """How well a model says where things are.

    Attributes:
        error_px: mean distance between a mark and what was answered, over the marks that were found; infinite where
            none was.
        worst_px: the largest of these distances.
        drift: what corrects the model's places; without any effect where that would not make them clearly better.
        missed: names of the marks that the answer does not have.
        convention: what its numbers are best taken for.
        is_settled: whether the marks show that places taken so are right, but for the correction.
        sentence: all of this in words.
        reply: what the model replied; None: it was not asked.
    """

    error_px: float
    worst_px: float
    drift: Drift
    missed: tuple[str, ...]
    convention: Convention
    is_settled: bool
    sentence: str
    reply: Reply | None = None


@dataclass(frozen=True)
class _Reading:
    """The marks of an answer, with its numbers taken by one convention.

    Attributes:
        pairs: each mark that it has, with where it says that it is.
        count: of all marks.
    """

    convention: Convention
    pairs: list[tuple[Mark, Point]]
    count: int

    @property
    def typical_px(self) -> float:
        """The median error; infinite where the answer has less than half of the marks."""
        return math.inf if 2 * len(self.pairs) < self.count else _typical(self.pairs)


def drawn_size_px(size_px: Size, decides: bool) -> Size:
    """Return the ``(width, height)`` of the picture of the test.

    Args:
        size_px: of the pictures that the model will be asked about, since how far it is off depends on it.
        decides: whether the test has to tell conventions apart, which it could not on a picture of 1000 x 1000.
    """
    width, height = size_px
    is_near = all(abs(side - _GRID_PX) <= _TOO_NEAR_PX for side in size_px)
    return (width, round(_TOLD_APART_SHARE * height)) if decides and is_near else (width, height)


def run_self_test(model: VisionModel, size_px: Size, control: RunControl, decides: bool = False) -> SelfTest:
    """Show a model a picture with marks, ask for all of them, and measure where it says they are.

    Args:
        model: is asked once.
        size_px: ``(width, height)`` of the pictures that it will be asked about.
        control: goes with the question to the model.
        decides: whether another convention than the model's is taken where that fits the marks clearly best.

    Raises:
        Cancelled: the user has given up.
        EngineError: the model cannot be asked.
    """
    size_px = drawn_size_px(size_px, decides)
    if min(size_px) < SMALLEST_SIDE_PX:
        return _not_tested(f"the picture is only {size_px[0]} x {size_px[1]} px", model.convention, decides)
    picture, marks = draw_marks(size_px, _SEED)
    wish = f"each of these {len(marks)} marks, labelled with its name: {', '.join(mark.name for mark in marks)}"
    policy = ClickPolicy(inside=1, outside=0, most_instances=len(marks))
    asked = ask_for(wish, model.shown_size(*size_px), model.convention, policy)
    reply = model.ask(picture, asked, control)
    if reply.refusal:
        return _not_tested("the model declined to answer", model.convention, decides, marks, reply)
    return _judged(reply, model.convention, marks, size_px, decides)


def _not_tested(
    why: str, convention: Convention, decides: bool, marks: Sequence[Mark] = (), reply: Reply | None = None
) -> SelfTest:
    names = tuple(mark.name for mark in marks)
    guess = f" The model's numbers are taken as {convention.value}, which is a guess, {_WHAT_TO_SET}" if decides else ""
    sentence = f"The coordinate self-test says nothing: {why}.{guess}"
    return SelfTest(math.inf, math.inf, Drift(), names, convention, False, sentence, reply)


def _judged(reply: Reply, convention: Convention, marks: Sequence[Mark], size_px: Size, decides: bool) -> SelfTest:
    answers = {meant: read_answer(reply.text, reply.shown_px, size_px, meant) for meant in Convention}
    readings = [_Reading(meant, [*found_marks(said.instances, marks)], len(marks)) for meant, said in answers.items()]
    own = next(reading for reading in readings if reading.convention is convention)
    most_px = _FITS_SHARE * min(size_px)
    taken = _best(own, readings, most_px) if decides else own
    hint = "" if taken is not own else "".join(_hints(own, readings))
    if not taken.pairs:
        said = answers[convention]
        why = "the answer has none of the marks" if said.is_answer else " ".join(said.unusable).rstrip(".")
        return _not_tested(why + hint, convention, decides, marks, reply)
    errors = [*map(_distance, taken.pairs)]
    missed = tuple(mark.name for mark in marks if mark not in [mark for mark, _ in taken.pairs])
    drift = _drift(taken.pairs, len(marks))
    is_settled = 2 * len(taken.pairs) >= len(marks) and _typical(taken.pairs, drift) <= most_px
    verdict = _verdict(taken, own, is_settled) if decides else "."
    sentence = f"{_in_words(errors, missed, len(marks))}{hint}{verdict}{_on_correction(drift, taken.pairs)}"
    worst_px = max(errors)
    return SelfTest(float(np.mean(errors)), worst_px, drift, missed, taken.convention, is_settled, sentence, reply)


def _best(own: _Reading, readings: Sequence[_Reading], most_px: float) -> _Reading:
    """Return the reading that fits the marks clearly best; the model's own where none does."""
    best = min((reading for reading in readings if reading is not own), key=lambda reading: reading.typical_px)
    is_right = best.typical_px <= most_px and own.typical_px > _ACCURATE_PX
    is_clear = all(best.typical_px <= _CLEARLY * other.typical_px for other in readings if other is not best)
    return best if is_right and is_clear else own


def _verdict(taken: _Reading, own: _Reading, is_settled: bool) -> str:
    """Say what numbers are taken for, and why."""
    if not is_settled:
        return f". Read as {taken.convention.value} they do not fit, {_WHAT_TO_SET}"
    meant = f", with the model's numbers read as {taken.convention.value}"
    if taken is own:
        return f"{meant}. So they are taken in this run."
    is_near = math.isfinite(own.typical_px)
    otherwise = f"half of them are {own.typical_px:.0f} px off or more" if is_near else "most of them are lost"
    return f"{meant}; read as {own.convention.value}, {otherwise}. So {taken.convention.value} is taken in this run."


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


def _hints(own: _Reading, readings: Sequence[_Reading]) -> Iterator[str]:
    """Say what would explain a large error better than a drift."""
    error = _typical(own.pairs) if own.pairs else math.inf
    if error <= _ACCURATE_PX:
        return
    if own.pairs and _typical([(mark, (y, x)) for mark, (x, y) in own.pairs]) <= _CLEARLY * error:
        yield "; it seems to give y before x, so its places cannot be used"
    for other in readings:
        is_better = len(other.pairs) >= max(len(own.pairs), 1) and _typical(other.pairs) <= _CLEARLY * error
        if other is not own and is_better:
            yield f"; its numbers fit better as {other.convention.value}: set convention={other.convention.value}"


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
