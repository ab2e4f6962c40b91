#!/usr/bin/env python3
"""Writes the two TorchScript archives in tests/data, which the tests read without torch.jit.

scripts/make_torchscript_archives.py [FOLDER]

``openai_layout.pt`` is laid out as OpenAI publishes CLIP. ``writes_a_file.pt`` writes a file ``it_ran`` into the
working directory when torch.jit.load opens it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

DATA = Path(__file__).parents[1] / "tests" / "data"
NUMBERS = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}


class Tower(nn.Module):
    """Weights in two precisions, a shared storage, and a mask that is no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Parameter(torch.arange(12.0).reshape(3, 4).t().half())
        layers = [nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)]
        for number, layer in enumerate(layers):
            layer.weight = nn.Parameter(torch.arange(6.0).reshape(tuple(layer.weight.shape)) + number)
        self.layers = nn.ModuleList(layers)
        self.mask = torch.ones(5)
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor([0.5, 0.25]))

    def forward(self, x: Tensor) -> Tensor:
        """Use everything once, or it would not be written."""
        for layer in self.layers:
            x = layer(x)
        return x + self.mean + self.mask[0] + self.proj[0, 0]


class Archived(nn.Module):
    """A tower, a scale, and three numbers among the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = Tower()
        self.logit_scale = nn.Parameter(torch.tensor(2.5))
        for name, value in NUMBERS.items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        """Use everything once."""
        return self.visual(x) * self.logit_scale


class WritesAFile(nn.Module):
    """Its state is set by code of its own, which writes a file."""

    def __init__(self) -> None:
        super().__init__()
        self.weight: Tensor = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        """Add the weight."""
        return x + self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        torch.save(torch.ones(1), "it_ran")
        self.weight = state[0]
        self.training = state[1]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in (("openai_layout", Archived()), ("writes_a_file", WritesAFile())):
        script = torch.jit.script(module)
        torch.jit.save(script, str(folder / f"{name}.pt"))
        print(folder / f"{name}.pt", sorted(script.state_dict()))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
