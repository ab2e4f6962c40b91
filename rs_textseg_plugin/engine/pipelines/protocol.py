"""What a run asks of a method. Methods share this shape, not a base class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import Answer
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.vlm.instance import Instance


class Kept(Protocol):
    """An observation that can be held for the next query."""

    @property
    def nbytes(self) -> int:
        """Memory that keeping it costs, in bytes."""


ObservationT = TypeVar("ObservationT", bound=Kept)


class Pipeline(Protocol[ObservationT]):
    """A method, loaded for one query.

    Attributes:
        prob_threshold: a pixel under no segment keeps its class only if it is at least that probable.
        duplicate_iou: of two masks of a class that two tiles drew differently only the better one stays if the
            intersection over union of their boxes is larger; 1: both. Where there is a class map, it decides instead.
    """

    prob_threshold: float
    duplicate_iou: float

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""

    def observe(self, image: TileImage, control: RunControl) -> ObservationT:
        """Learn of a tile what can be learnt before the text is known.

        What it depends on beside pixels and models is marked in the method's table (`Parameter.is_text_side`).
        """

    def answer(self, observation: ObservationT, control: RunControl) -> Answer:
        """Answer the query for that tile; models may run once more."""


@runtime_checkable
class AsksModel(Protocol):
    """A method whose table says that it asks a vision-language model: what that costs, and what came of it."""

    @property
    def instances(self) -> Sequence[Instance]:
        """What the model found, on the working grid."""

    @property
    def answered_by(self) -> Mapping[str, str]:
        """Who answered, and how its numbers were read; empty: nobody was asked."""

    def announce(self, views: Sequence[Window]) -> list[str]:
        """Return notes for the user before the first view is asked about."""

    def conclude(self) -> list[str]:
        """Return notes for the user after the last view.

        Raises:
            EngineError: nothing that could be used was answered.
        """
