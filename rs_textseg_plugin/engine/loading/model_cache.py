"""The models of a warm engine: one of each role in memory, kept for the next query."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rs_textseg_plugin.engine.loading.files import Checkpoint
from rs_textseg_plugin.engine.models.kinds import Model
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import weight_files
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import QwenVl, load_qwen_vl

_VLM = "vlm"


@dataclass(frozen=True)
class _Held:
    """A model in memory, and what tells it from others."""

    identity: Hashable
    model: Any


class ModelCache:
    """One copy of each model in memory; another one of the same role takes its place."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._in_use: set[str] = set()

    def begin_run(self) -> None:
        """Forget which models the last run used; they stay until there is no room for them."""
        self._in_use.clear()

    @property
    def in_use(self) -> frozenset[str]:
        """The roles of the models that the current run has asked for."""
        return frozenset(self._in_use)

    def release_unused(self) -> bool:
        """Drop the models that the current run has not asked for; return whether there was any."""
        unused = set(self._held) - self._in_use
        for role in unused:
            del self._held[role]
        return bool(unused)

    def get(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Any:
        """Return the model of a checkpoint on that device and in that precision.

        Raises:
            ModelError: see `Checkpoint.load`.
        """
        return self._get(checkpoint.role, checkpoint.identity, lambda: checkpoint.load(device, dtype), device, dtype)

    def get_vlm(self, folder: Path, adapter: Path | None, device: torch.device, dtype: torch.dtype) -> QwenVl:
        """Return that vision-language model, with that adapter, on that device and in that precision.

        Raises:
            ModelError: see `load_qwen_vl`.
        """
        # Its weights are held rounded to a precision and stay so, which makes another one another model.
        identity = (dtype, *(_fingerprint(path) for path in weight_files(folder, adapter)))
        model: QwenVl = self._get(_VLM, identity, lambda: load_qwen_vl(folder, adapter, device, dtype), device, dtype)
        return model

    def _get(
        self, role: str, identity: Hashable, load: Callable[[], Model], device: torch.device, dtype: torch.dtype
    ) -> Any:
        self._in_use.add(role)
        held = self._held.get(role)
        if held is None or held.identity != identity:
            self._held.pop(role, None)  # the old one makes room before the new one is loaded
            del held
            self._held[role] = _Held(identity, load())
        model = self._held[role].model
        model.to(device, dtype)
        return model


def _fingerprint(path: Path) -> tuple[Path, int, int]:
    """Return path, size and time of a file, which tell its versions apart without reading gigabytes."""
    status = path.stat()
    return path.resolve(), status.st_size, status.st_mtime_ns
