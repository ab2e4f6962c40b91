"""What a vision-language model is to the engine: it is shown a picture, asked a question, and replies in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.engine.compute.run_control import RunControl


class Convention(Enum):
    """What the numbers mean that a model gives for a place; x to the right, y downwards, (0, 0) the upper left corner.

    Attributes:
        PIXELS: of the picture as the model saw it, x before y (Qwen2.5-VL).
        GRID_1000: thousandths of its width and height, x before y (Qwen3-VL).
        GRID_1000_YX: thousandths of its height and width, y before x (Gemini).
    """

    PIXELS = "pixels"
    GRID_1000 = "grid-1000"
    GRID_1000_YX = "grid-1000-yx"

    @property
    def is_y_first(self) -> bool:
        """Whether y stands before x: a box is then top, left, bottom, right."""
        return self is Convention.GRID_1000_YX


class Decider(Enum):
    """Who says what a model's numbers mean; the value is how a sentence names it."""

    USER = "the parameter convention"
    FAMILY = "the model's family"
    SELF_TEST = "the coordinate self-test"
    NOBODY = "nobody: it is a guess"


@dataclass(frozen=True)
class ModelQuestion:
    """A question as it goes to a model.

    Attributes:
        system: what the model is told about its task.
        question: the question, with what is needed to answer it.
        schema: JSON schema of the answer.
    """

    system: str
    question: str
    schema: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """What a model replied.

    Attributes:
        text: its words; empty where it refused.
        shown_px: ``(width, height)`` of the picture as the model saw it, which `Convention.PIXELS` refers to.
        tokens_in, tokens_out: as counted by the model or its server; None where it does not say.
        is_truncated: whether the answer was cut off at the limit of tokens.
        refusal: the model's words where it declined to answer.
        hidden_tokens: tokens of reasoning that are not in `text`; None where nobody says.
    """

    text: str
    shown_px: tuple[int, int]
    tokens_in: int | None = None
    tokens_out: int | None = None
    is_truncated: bool = False
    refusal: str = ""
    hidden_tokens: int | None = None


class VisionModel(Protocol):
    """A local model or an endpoint."""

    @property
    def name(self) -> str:
        """What provenance calls it; nothing secret in it."""

    @property
    def convention(self) -> Convention:
        """What its numbers mean."""

    @property
    def decider(self) -> Decider:
        """Who says so."""

    @property
    def way(self) -> str:
        """What pictures do on their way to it, as a sentence about them ends; nothing secret in it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What it turned out not to understand, in sentences for the result."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move a model that runs here."""

    def shown_size(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return width and height at which the model sees a picture of that size."""

    def estimate_s(self, width_px: int, height_px: int, new_tokens: int) -> float | None:
        """Return about how many seconds an answer takes; None: it runs elsewhere."""

    def tokens_of(self, width_px: int, height_px: int) -> int:
        """Return about how many tokens a picture of that size costs."""

    def ask(self, picture: NDArray[np.uint8], asked: ModelQuestion, control: RunControl) -> Reply:
        """Show a picture ``(H, W, 3)`` uint8 and ask.

        Raises:
            Cancelled: the user has given up, which is looked for at least twice a second.
            EngineError: no reply could be had; in words that say why and what to do.
        """
