"""What a warm engine keeps between queries: models, and what they saw of tiles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import torch

from rs_textseg_plugin.engine.loading.files import Checkpoint
from rs_textseg_plugin.engine.models.clip import ClipModel, load_clip
from rs_textseg_plugin.engine.models.detector import DetectorModel, load_detector
from rs_textseg_plugin.engine.models.sam import SamModel, load_sam
from rs_textseg_plugin.engine.models.upsampler import Upsampler, load_upsampler
from rs_textseg_plugin.engine.pipelines.protocol import Kept
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import weight_files
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import QwenVl, load_qwen_vl

KeptT = TypeVar("KeptT", bound=Kept)

# About 200 tiles of a 1024 px grid; a second question about them costs no network pass.
_OBSERVATIONS_BYTES = 512 * 2**20


class ModelShelf:
    """One copy of each model in memory; a set that is not asked for any more makes room."""

    def __init__(self) -> None:
        self._sam: dict[str, SamModel] = {}
        self._clip: dict[tuple[str, str], ClipModel] = {}
        self._upsampler: dict[str, Upsampler] = {}
        self._detector: dict[str, DetectorModel] = {}
        self._vlm: dict[Hashable, QwenVl] = {}

    def sam(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> SamModel:
        """Return that SAM on that device and in that precision."""
        if checkpoint.sha256 not in self._sam:
            self._sam.clear()
            self._sam[checkpoint.sha256] = load_sam(checkpoint.path, device, dtype)
        model = self._sam[checkpoint.sha256]
        model.to(device, dtype)
        return model

    def clip(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> ClipModel:
        """Return that CLIP on that device and in that precision."""
        key = (checkpoint.sha256, checkpoint.architecture)
        if key not in self._clip:
            self._clip.clear()
            self._clip[key] = load_clip(checkpoint.path, checkpoint.architecture, device, dtype)
        model = self._clip[key]
        model.to(device, dtype)
        return model

    def upsampler(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Upsampler:
        """Return that upsampler on that device and in that precision."""
        if checkpoint.sha256 not in self._upsampler:
            self._upsampler.clear()
            self._upsampler[checkpoint.sha256] = load_upsampler(checkpoint.path, device, dtype)
        model = self._upsampler[checkpoint.sha256]
        model.to(device, dtype)
        return model

    def detector(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> DetectorModel:
        """Return that detector on that device and in that precision."""
        if checkpoint.sha256 not in self._detector:
            self._detector.clear()
            self._detector[checkpoint.sha256] = load_detector(checkpoint.path, device, dtype)
        model = self._detector[checkpoint.sha256]
        model.to(device, dtype)
        return model

    def vlm(self, folder: Path, adapter: Path | None, device: torch.device, dtype: torch.dtype) -> QwenVl:
        """Return that vision-language model, with that adapter, on that device and in that precision.

        Raises:
            ModelError: see `load_qwen_vl`.
        """
        key = tuple(_fingerprint(path) for path in weight_files(folder, adapter))
        if key not in self._vlm or self._vlm[key].dtype != dtype:  # its weights are held rounded, and stay so
            self._vlm.clear()
            self._vlm[key] = load_qwen_vl(folder, adapter, device, dtype)
        model = self._vlm[key]
        model.to(device, dtype)
        return model


def _fingerprint(path: Path) -> tuple[Path, int, int]:
    """Return what changes when a file does; gigabytes are not read for it."""
    status = path.stat()
    return path.resolve(), status.st_size, status.st_mtime_ns


class ObservationCache:
    """The observations used last, up to a number of bytes."""

    def __init__(self, limit_bytes: int = _OBSERVATIONS_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = 0

    def get_or_make(self, key: Hashable, make: Callable[[], KeptT]) -> KeptT:
        """Return what is held under that key, or make and hold it."""
        if key in self._held:
            self._held.move_to_end(key)
            held: KeptT = self._held[key]
            return held
        made = make()
        self._held[key] = made
        self._bytes += made.nbytes
        while self._bytes > self._limit_bytes and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= dropped.nbytes
        return made
