"""What the service asks of a pipeline. Pipelines share this shape, not a base class."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.answers.answer import Answer
from rs_textseg_plugin.engine.compute.device import Budget
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

    def observation_key(self, parameters: Mapping[str, ParameterValue]) -> Hashable:
        """Return what an observation depends on beside the pixels and the models."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""

    def observe(self, image: TileImage, budget: Budget, should_stop: Callable[[], bool]) -> ObservationT:
        """Learn of a tile what can be learnt before the text is known."""

    def answer(self, observation: ObservationT, budget: Budget, should_stop: Callable[[], bool]) -> Answer:
        """Answer the query for that tile; models may run once more."""


@runtime_checkable
class AsksModel(Protocol):
    """A pipeline that asks somebody for places: it says what that costs, and what came of it."""

    @property
    def answered(self) -> Sequence[Instance]:
        """The places, on the working grid."""

    def before(self, views: Sequence[Window]) -> list[str]:
        """Return what the user should know before the first view is asked about."""

    def after(self) -> list[str]:
        """Return what the user should know after the last one.

        Raises:
            EngineError: nothing that could be used was answered.
        """
