"""The kinds of model that a checkpoint can be, one row each.

A new kind is an adapter, a module in this folder, and a row here. Files are recognised, named, loaded and cached
by these rows alone. Adapters are imported when they load something, since each brings its own packages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import Shapes, first_names
from rs_textseg_plugin.engine.models.layouts.marks import (
    is_original_grounding_dino,
    is_transformers_clip,
    is_transformers_sam,
)

UPSAMPLER_PREFIX = "upsampler."  # before every name, where a training saved it

_SAM_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")  # segment_anything
_UPSAMPLERS = ("up.range_temp", "up1.range_temp")  # SimFeatUp's and FeatUp's JBU stack
_DETECTOR_PARTS = ("model.backbone.", "model.text_backbone.", "model.decoder.")  # transformers' Grounding DINO
_OWL_PARTS = ("class_head.", "box_head.", "owl")  # transformers' OWLv2 and OWL-ViT
_CLIP_TEXT = ("token_embedding.weight", "text.")  # open_clip
# What a folder of Hugging Face holds beside the weights; not every folder has all of them.
_HUGGING_FACE = (
    "config.json", "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model",
    "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip
_OPEN_CLIP = ("open_clip_config.json", *_HUGGING_FACE)


class Model(Protocol):
    """A loaded model."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to another device and precision."""


Load = Callable[[Path, str, torch.device, torch.dtype], Any]


def _no_notes(path: Path, architecture: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class ModelKind:
    """A kind of model.

    Attributes:
        role: its name in manifests and in the tables of methods.
        title: its name in sentences.
        recognises: whether names and shapes of weights are in a published layout of it.
        load: from file, open_clip's name of the architecture (may be empty), device and autocast type to the model.
        files_beside: names of files that belong to it in the same folder, as far as they exist.
        notes: from file and open_clip's name of the architecture to sentences on what could not be told for certain.
    """

    role: str
    title: str
    recognises: Callable[[Shapes], bool]
    load: Load
    files_beside: tuple[str, ...] = ()
    notes: Callable[[Path, str], tuple[str, ...]] = _no_notes


def _begins(shapes: Shapes, *parts: str) -> bool:
    """Whether each of the parts is the beginning of some name."""
    return all(any(key.startswith(part) for key in shapes) for part in parts)


def _is_sam(shapes: Shapes) -> bool:
    return _begins(shapes, *_SAM_PARTS) or is_transformers_sam(shapes)


def _is_upsampler(shapes: Shapes) -> bool:
    return any(name in shapes or UPSAMPLER_PREFIX + name in shapes for name in _UPSAMPLERS)


def _is_detector(shapes: Shapes) -> bool:
    return _begins(shapes, *_DETECTOR_PARTS) or _begins(shapes, *_OWL_PARTS) or is_original_grounding_dino(shapes)


def _is_clip(shapes: Shapes) -> bool:
    is_open_clip = _begins(shapes, "visual.") and any(key.startswith(_CLIP_TEXT) for key in shapes)
    return is_open_clip or is_transformers_clip(shapes)


def _load_sam(path: Path, architecture: str, device: torch.device, dtype: torch.dtype) -> Model:
    from rs_textseg_plugin.engine.models.sam import load_sam

    return load_sam(path, device, dtype)


def _load_clip(path: Path, architecture: str, device: torch.device, dtype: torch.dtype) -> Model:
    from rs_textseg_plugin.engine.models.clip import load_clip

    return load_clip(path, architecture, device, dtype)


def _notes_on_clip(path: Path, architecture: str) -> tuple[str, ...]:
    from rs_textseg_plugin.engine.models.clip import notes_on_clip

    return notes_on_clip(path, architecture)


def _load_upsampler(path: Path, architecture: str, device: torch.device, dtype: torch.dtype) -> Model:
    from rs_textseg_plugin.engine.models.upsampler import load_upsampler

    return load_upsampler(path, device, dtype)


def _load_detector(path: Path, architecture: str, device: torch.device, dtype: torch.dtype) -> Model:
    from rs_textseg_plugin.engine.models.detector import load_detector

    return load_detector(path, device, dtype)


_ROWS = (
    ModelKind("sam", "SAM", _is_sam, _load_sam, _HUGGING_FACE[:2]),
    ModelKind("upsampler", "SimFeatUp or FeatUp", _is_upsampler, _load_upsampler),
    ModelKind("detector", "Grounding DINO or OWLv2", _is_detector, _load_detector, _HUGGING_FACE),
    ModelKind("clip", "CLIP", _is_clip, _load_clip, _OPEN_CLIP, _notes_on_clip),
)
KINDS = {kind.role: kind for kind in _ROWS}


def kind_of(shapes: Shapes) -> ModelKind | None:
    """Return the first kind that recognises weights by their names and shapes; None: none does."""
    return next((kind for kind in KINDS.values() if kind.recognises(shapes)), None)


def checkpoint_role(shapes: Shapes) -> str | None:
    """Return the role of weights by their names and shapes; None: they are of no kind that is known."""
    kind = kind_of(shapes)
    return kind.role if kind else None


def require_role(shapes: Shapes, role: str, path: Path) -> None:
    """Check that weights are of that role.

    Raises:
        ModelError: they are of another model.
    """
    found = kind_of(shapes)
    if found is None or found.role != role:
        content = f"holds a {found.title} model" if found else f"holds {first_names(shapes)}"
        raise ModelError(
            f"The file {path} is not a {KINDS[role].title} checkpoint, it {content}: choose another file or model set."
        )


def kinds_in_words() -> str:
    """Return the titles of all kinds, for sentences: ``SAM, ... or CLIP``."""
    *first, last = (kind.title for kind in KINDS.values())
    return f"{', '.join(first)} or {last}"
