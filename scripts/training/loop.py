"""What the trainings share: a schedule by the clock or by steps, checkpoints that a run goes on from, and a log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from rs_textseg_plugin.engine.compute.device import choose_dtype

_WARM_UP_STEPS = 150
_LOWEST = 0.02  # of the highest learning rate, at the end
_SAVE_EVERY_S = 120.0
_VALIDATE_EVERY = 250  # steps


@dataclass(frozen=True)
class Gate:
    """What a training must have reached after a share of its time; otherwise it is not worth the rest.

    Attributes:
        fraction: of the time, 0..1.
        figure: name in the log.
        least: its lowest value.
    """

    fraction: float
    figure: str
    least: float


@dataclass(frozen=True)
class Course:
    """How a training goes from its start to its end.

    Attributes:
        rate: highest learning rate.
        small_share: of the time that is spent on small windows, which cost a quarter, 0..1.
        gates: what has to be reached on the way.
    """

    rate: float
    small_share: float
    gates: tuple[Gate, ...] = ()


class TrainingStuck(Exception):
    """A gate was missed; the message says which."""


class Training:
    """A model, its optimiser, and how far they are.

    The schedule follows the time spent, not the steps: the same command fits a laptop and a GPU. Where a number of
    steps is said, it follows these.

    Args:
        name: of the files in `folder`.
        folder: where the state and the log are kept.
        model: what is trained, with everything that is thrown away afterwards.
        rate: highest learning rate.
        minutes: of training in all, over all runs.
        gates: checked with every line of the log.
        make_optimizer: makes the optimiser from model and rate; `adamw` by default.
        warm_up_steps: in which the learning rate rises.
        most_steps: after which it ends, in place of `minutes`.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        model: nn.Module,
        rate: float,
        minutes: float,
        gates: tuple[Gate, ...] = (),
        make_optimizer: Callable[[nn.Module, float], torch.optim.Optimizer] | None = None,
        warm_up_steps: int = _WARM_UP_STEPS,
        most_steps: int | None = None,
    ) -> None:
        self.name, self.model, self.minutes, self.most_steps = name, model, minutes, most_steps
        self.spent_s, self.steps = 0.0, 0
        self._rate, self._gates, self._warm_up_steps = rate, gates, warm_up_steps
        self._state = folder / f"{name}.state.pt"
        self._log = folder / f"{name}.log.jsonl"
        self.optimizer = (make_optimizer or adamw)(model, rate)
        self.resumed = self._resume()

    @property
    def fraction(self) -> float:
        """Share of the time that is spent, or of the steps that are taken, 0..1."""
        done, total = self._progress
        return min(done / total, 1.0) if total else 1.0

    @property
    def _progress(self) -> tuple[float, float]:
        return (self.spent_s, 60 * self.minutes) if self.most_steps is None else (self.steps, self.most_steps)

    def _resume(self) -> bool:
        if not self._state.is_file():
            return False
        state = torch.load(self._state, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.spent_s, self.steps = state["spent_s"], state["steps"]
        return True

    def save(self) -> None:
        """Write the state; an interruption leaves the one before."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "spent_s": self.spent_s,
            "steps": self.steps,
        }
        unfinished = self._state.with_suffix(".part")
        torch.save(state, unfinished)
        unfinished.replace(self._state)

    def run(self) -> Iterator[int]:
        """Yield the number of each step until time or steps are used up; saves now and then and at the end."""
        last_saved = last = time.monotonic()
        with self._bar() as bar:
            while self.fraction < 1:
                self._set_rate()
                yield self.steps
                self.steps += 1
                now = time.monotonic()
                self.spent_s, last = self.spent_s + now - last, now
                bar.update(round(self._progress[0]) - bar.n)
                if now - last_saved > _SAVE_EVERY_S:
                    self.save()
                    last_saved = now
        self.save()

    def train(self, losses: Callable[[], dict[str, torch.Tensor]], validate: Callable[[], dict[str, Any]]) -> None:
        """Take steps down the sum of the losses to the end, and log their means with what `validate` says.

        Raises:
            TrainingStuck: see `log`.
        """
        running: list[dict[str, float]] = []
        for step in self.run():
            parts = losses()
            self.descend(torch.stack(list(parts.values())).sum())
            running.append({name: part.item() for name, part in parts.items()})
            if step % _VALIDATE_EVERY == _VALIDATE_EVERY - 1:
                self.log(losses=_means(running), **validate())
                running = []
        self.log(losses=_means(running), **validate())

    def _bar(self) -> Any:
        done, total = self._progress
        unit = "s" if self.most_steps is None else " steps"
        return tqdm(total=round(total), initial=round(done), desc=self.name, unit=unit, mininterval=5)

    def _set_rate(self) -> None:
        """Warm up, then follow half a cosine down to `_LOWEST`."""
        warm = min((self.steps + 1) / self._warm_up_steps, 1.0)
        falling = _LOWEST + (1 - _LOWEST) * 0.5 * (1 + math.cos(math.pi * self.fraction))
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate * warm * falling

    def descend(self, loss: torch.Tensor) -> None:
        """Take one step down; a step without a finite gradient is left out."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.follow_gradients()

    def follow_gradients(self, longest: float = 1.0) -> None:
        """Take one step down the gradients that are there, shortened to that length; not if they are not finite."""
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), longest)
        if torch.isfinite(norm):
            self.optimizer.step()

    def log(self, **figures: Any) -> None:
        """Add a line of figures.

        Raises:
            TrainingStuck: a gate was missed; the state is saved.
        """
        line = {"step": self.steps, "spent_s": round(self.spent_s, 1), **figures}
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for gate in self._gates:
            if self.fraction >= gate.fraction and figures[gate.figure] < gate.least:
                self.save()
                raise TrainingStuck(
                    f"After {self.fraction:.0%} of the time {self.name} reached {gate.figure} "
                    f"{figures[gate.figure]:.3f}, less than the {gate.least} that make the rest worth while: "
                    "find out why before you go on."
                )


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(sum(row[name] for row in rows) / len(rows), 4) for name in rows[0]} if rows else {}


def training_dtype(device: torch.device) -> torch.dtype:
    """Return the autocast type: bf16 where the processor multiplies it, fp32 where it would have to be imitated."""
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return choose_dtype("auto", device)


def autocast(device: torch.device) -> torch.autocast:
    """Return the context in which a training computes."""
    dtype = training_dtype(device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def adamw(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return the optimiser of the demo models: weights decay, biases and the like do not."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def read_log(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the figures of a training, oldest first."""
    path = folder / f"{name}.log.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
