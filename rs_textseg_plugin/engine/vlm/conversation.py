"""Asking a model about one view after the other, and keeping account of what it said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.vlm.coordinates import Drift
from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.model import Decider, Reply, VisionModel
from rs_textseg_plugin.engine.vlm.parsing.answer import read_answer
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy, ask_for
from rs_textseg_plugin.engine.vlm.self_test import SMALLEST_SIDE_PX, drawn_size_px, run_self_test

_ANSWER_TOKENS = 60  # of one object with a box, three points and a label, about
_FRUITLESS_VIEWS = 3  # so many views in a row without an answer, and no other is asked about
_SHOWN_CHARACTERS = 120  # of an answer that cannot be used
_UNUSABLE_SHOWN = 5  # of the things in one answer that cannot be used


@dataclass
class _Account:
    """What was asked and answered so far."""

    asked: int = 0
    usable: int = 0
    failed: int = 0
    fruitless_in_a_row: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    has_tested: bool = False
    problem: str = ""

    def count_tokens(self, reply: Reply) -> None:
        """Add what a reply cost."""
        self.tokens_in += reply.tokens_in or 0
        self.tokens_out += reply.tokens_out or 0


class Conversation:
    """One question to one model.

    Args:
        model: is asked.
        phrase: the question.
        policy: what it is asked for.
        tests_itself: whether it is shown known marks first, and a systematic shift is corrected; None: where nobody
            says what its numbers mean, which the marks then decide.
    """

    def __init__(self, model: VisionModel, phrase: str, policy: ClickPolicy, tests_itself: bool | None) -> None:
        self._model, self._phrase, self._policy = model, phrase, policy
        self._convention, self._decider = model.convention, model.decider
        self._tests_itself = self._is_unknown if tests_itself is None else tests_itself
        self._drift = Drift()
        self._account = _Account()
        self._known: dict[Window, list[Instance]] = {}

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move a model that runs here."""
        self._model.to(device, dtype)

    @property
    def record(self) -> dict[str, str]:
        """Who answered, what its numbers were taken for, and who says so: for the files of the result."""
        return {
            "model": self._model.name,
            "convention": self._convention.value,
            "convention_by": self._decider.value,
        }

    @property
    def _is_unknown(self) -> bool:
        return self._decider is Decider.NOBODY

    def announce(self, views: Sequence[Window]) -> list[str]:
        """Return who is asked, how often, and what that costs about; and whether it is tested before."""
        tokens = sum(self._model.tokens_of(view.width, view.height) for view in views)
        largest = max(views, key=lambda view: view.width * view.height)
        pictures = "1 picture" if len(views) == 1 else f"{len(views)} pictures"
        size = f"{largest.width} x {largest.height} px"
        note = f"{self._model.name} is asked about {pictures} of up to {size}: about {tokens} tokens of pictures"
        each_s = self._model.estimate_s(largest.width, largest.height, _ANSWER_TOKENS)
        if each_s is None:
            return [f"{note}, which {self._model.way}.", *self._on_test(views[0])]
        return [f"{note}, and about {_duration(each_s)} for each one that shows one object.", *self._on_test(views[0])]

    def _on_test(self, first: Window) -> list[str]:
        """Say that one question more is asked, why, what it holds and costs, and how to leave it out."""
        drawn_px = drawn_size_px((first.width, first.height), self._is_unknown)
        if not self._tests_itself or min(drawn_px) < SMALLEST_SIDE_PX:
            return []
        tokens = self._model.tokens_of(*drawn_px)
        because = ", since nothing public settles what its numbers mean" if self._is_unknown else ""
        return [
            f"It is shown a drawn picture with known marks before them{because}: about {tokens} tokens more, and "
            "nothing of the raster. self_test=false leaves that out."
        ]

    def conclude(self) -> list[str]:
        """Return notes on how many answers could be used.

        Raises:
            EngineError: no view had an answer that could be used.
        """
        account = self._account
        if account.asked and not account.usable:
            raise EngineError(f"No answer of {self._model.name} could be used. {account.problem}")
        notes = [f"{self._model.name}: {account.usable} of {account.asked} pictures answered{self._spent}."]
        if account.failed:
            notes.append(
                f"{account.failed} views have no answer, so nothing was looked for there: run again over these parts. "
                f"The last reason: {account.problem}"
            )
        return [*notes, *self._model.notes]

    @property
    def _spent(self) -> str:
        account = self._account
        if not account.tokens_in and not account.tokens_out:
            return ""
        test = ", the self-test's included" if account.has_tested else ""
        return f", with {account.tokens_in} tokens in and {account.tokens_out} out{test}"

    def ask(self, rgb: NDArray[np.uint8], view: Window, control: RunControl) -> list[Instance]:
        """Return the instances that the model finds in a view ``(H, W, 3)`` uint8, in the view's pixels.

        A view is asked about once, whatever memory does to those who draw.

        Args:
            rgb: the picture.
            view: where it lies on the working grid.
            control: is asked at least twice a second; what the user should know is added to its notes.

        Raises:
            Cancelled: the user has given up.
            EngineError: the model cannot be asked, or has not given one usable answer after some views.
        """
        if view not in self._known:
            self._test(rgb, control)
            found = [] if self._has_given_up else self._instances(rgb, view, control)
            self._account.failed += self._has_given_up
            self._known[view] = found
        return self._known[view]

    @property
    def _has_given_up(self) -> bool:
        return self._account.fruitless_in_a_row >= _FRUITLESS_VIEWS

    def _test(self, rgb: NDArray[np.uint8], control: RunControl) -> None:
        """Before the first view, see whether the model's places are where it says, and what its numbers mean."""
        if not self._tests_itself or self._account.asked:
            return
        self._tests_itself = False
        result = run_self_test(self._model, (rgb.shape[1], rgb.shape[0]), control, decides=self._is_unknown)
        control.notes.append(result.sentence)
        self._drift, self._convention = result.drift, result.convention
        if self._is_unknown and result.is_settled:
            self._decider = Decider.SELF_TEST
        if result.reply:
            self._account.has_tested = True
            self._account.count_tokens(result.reply)

    def _instances(self, rgb: NDArray[np.uint8], view: Window, control: RunControl) -> list[Instance]:
        self._account.asked += 1
        height, width = rgb.shape[:2]
        asked = ask_for(self._phrase, self._model.shown_size(width, height), self._convention, self._policy)
        try:
            reply = self._model.ask(rgb, asked, control)
        except EngineError as error:
            if not self._account.usable:
                raise  # it will hardly be better with the next view
            self._note_fruitless(str(error), view, control.notes)
            return []
        self._account.count_tokens(reply)
        return self._understood(reply, view, control.notes)

    def _understood(self, reply: Reply, view: Window, notes: list[str]) -> list[Instance]:
        """Read a reply, and note what of it cannot be used."""
        if reply.refusal:
            self._note_fruitless(f"It declined to answer: {_shortened(reply.refusal)}", view, notes)
            return []
        reading = read_answer(reply.text, reply.shown_px, (view.width, view.height), self._convention)
        if not reading.is_answer:
            self._note_fruitless(" ".join(reading.unusable), view, notes)
            return []
        self._account.usable += 1
        self._account.fruitless_in_a_row = 0
        problems = [*reading.remarks, *reading.unusable]
        if reply.is_truncated:
            problems.append(_on_cut(reply))
        if problems:
            notes.append(f"{_place(view)}: {_some(problems)}")
        return [self._drift.correct(instance, (view.width, view.height)) for instance in reading.instances]

    def _note_fruitless(self, problem: str, view: Window, notes: list[str]) -> None:
        account = self._account
        account.problem = problem
        account.failed += 1
        account.fruitless_in_a_row += 1
        notes.append(f"{_place(view)} has no usable answer. {problem}")
        if self._has_given_up and not account.usable:
            raise EngineError(
                f"The first {account.asked} answers of {self._model.name} cannot be used, so it was not asked again. "
                f"{problem}"
            )


def _on_cut(reply: Reply) -> str:
    hidden = f", of which {reply.hidden_tokens} were hidden reasoning" if reply.hidden_tokens else ""
    return f"It was cut off at the limit of tokens{hidden}: raise max_tokens, or take smaller views."


def _place(view: Window) -> str:
    return f"The view at column {view.col}, row {view.row}"


def _some(problems: Sequence[str]) -> str:
    more = len(problems) - _UNUSABLE_SHOWN
    return " ".join(problems[:_UNUSABLE_SHOWN]) + (f" And {more} more." if more > 0 else "")


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return repr(words if len(words) <= _SHOWN_CHARACTERS else words[: _SHOWN_CHARACTERS - 3] + "...")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
