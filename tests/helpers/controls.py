"""The control of a run on the CPU, for tests that call parts of the engine."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl, never_stop


def control(should_stop: Callable[[], bool] = never_stop, **budget: int) -> RunControl:
    return RunControl(Budget(torch.device("cpu"), **budget), should_stop)
