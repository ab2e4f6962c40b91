"""What a run may use and must obey: how much at once and where, the stop flag, and what the result has to say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.engine.compute.device import Budget


def never_stop() -> bool:
    """Let a run go on to its end."""
    return False


@dataclass(frozen=True)
class RunControl:
    """Goes with a run through all rooms of the engine.

    Attributes:
        budget: where models run, and how much is computed at once; shrinks where memory runs out.
        should_stop: whether the user has given up; polled from the run's own thread.
    """

    budget: Budget
    should_stop: Callable[[], bool] = never_stop

    def check(self) -> None:
        """Let the run go on, unless the user has given up.

        Raises:
            Cancelled: the user has.
        """
        if self.should_stop():
            raise Cancelled("The run was cancelled; nothing was written.")

    def batch(self, wanted: int) -> int:
        """Return the batch size to use where `wanted` was asked for, at least 1."""
        return self.budget.batch(wanted)

    @property
    def notes(self) -> list[str]:
        """Sentences for the result, in the order in which they came up; callers append theirs."""
        return self.budget.notes

    @property
    def device(self) -> torch.device:
        """Where models run now."""
        return self.budget.device

    @property
    def dtype(self) -> torch.dtype:
        """The autocast type of models now."""
        return self.budget.dtype
