"""How fast a device multiplies with the weights of a layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_ROWS = 128  # as many make a product limited by arithmetic; a single one is limited by reading the weights
_RUNS = 3


@dataclass(frozen=True)
class LinearSpeed:
    """Seconds for each weight and row.

    Attributes:
        many_s: where many rows are multiplied at once.
        single_s: where there is one row only, as for each new token of an answer.
    """

    many_s: float
    single_s: float


@torch.inference_mode()
def measure(layer: nn.Module, device: torch.device) -> LinearSpeed:
    """Multiply rows with each weight matrix of a layer, with many rows and with one; takes a moment.

    Args:
        layer: large enough not to fit a processor's cache, as those of language models are.
        device: where it is.
    """
    linear = [module for module in layer.modules() if isinstance(module, nn.Linear)]
    weights = sum(module.weight.numel() for module in linear)
    many_s, single_s = (_best_s(linear, rows, device) for rows in (_ROWS, 1))
    return LinearSpeed(many_s / _ROWS / weights, single_s / weights)


def _best_s(linear: Sequence[nn.Linear], rows: int, device: torch.device) -> float:
    inputs = [torch.ones(rows, layer.in_features, dtype=layer.weight.dtype, device=device) for layer in linear]
    return min(_run_s(linear, inputs, device) for _ in range(_RUNS))


def _run_s(linear: Sequence[nn.Linear], inputs: Sequence[Tensor], device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    for module, rows in zip(linear, inputs):
        nn.functional.linear(rows, module.weight)
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
