"""Which detector a folder in Hugging Face layout holds, and how it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Union

import torch

from rs_textseg_plugin.engine.models.grounding_dino import GroundingDino, load_grounding_dino
from rs_textseg_plugin.engine.models.owl import KINDS, Owl, load_owl

DetectorModel = Union[GroundingDino, Owl]


def load_detector(weights: Path, device: torch.device, dtype: torch.dtype) -> DetectorModel:
    """Load Grounding DINO, OWLv2 or OWL-ViT, as the ``model_type`` in config.json beside the weights says.

    Raises:
        ModelError: see `load_detector_parts`.
    """
    kind = _model_type(weights.with_name("config.json"))
    if kind in KINDS:
        return load_owl(weights, kind, device, dtype)
    return load_grounding_dino(weights, device, dtype)


def _model_type(config: Path) -> str:
    """Return the ``model_type`` in the file; empty where it is missing or unreadable, which loading explains."""
    try:
        return str(json.loads(config.read_text(encoding="utf-8")).get("model_type", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
