"""What the service asks of a pipeline. Pipelines share this shape, not a base class."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Protocol, TypeVar

import torch

from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.device import Budget
from rs_textseg_plugin.engine.raster import TileImage
from rs_textseg_plugin.engine.segments import Answer


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
    """

    prob_threshold: float

    def observation_key(self, parameters: Mapping[str, ParameterValue]) -> Hashable:
        """Return what an observation depends on beside the pixels and the models."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the models."""

    def observe(self, image: TileImage, budget: Budget, should_stop: Callable[[], bool]) -> ObservationT:
        """Learn of a tile what can be learnt before the text is known."""

    def answer(self, observation: ObservationT, budget: Budget, should_stop: Callable[[], bool]) -> Answer:
        """Answer the query for that tile; models may run once more."""
