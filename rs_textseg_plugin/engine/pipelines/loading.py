"""From a pipeline's name to the loaded pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rs_textseg_plugin.contract.recipe import (
    GROUNDING_SAM,
    SAM_CLIP,
    SEGEARTH_OV,
    SURGERY_SAM,
    TEXT2SEG,
    ParameterValue,
)
from rs_textseg_plugin.engine.legend import Legend
from rs_textseg_plugin.engine.pipelines.grounding_sam import GroundingSam
from rs_textseg_plugin.engine.pipelines.protocol import Pipeline
from rs_textseg_plugin.engine.pipelines.sam_clip import SamClip
from rs_textseg_plugin.engine.pipelines.segearth_ov import SegEarthOv
from rs_textseg_plugin.engine.pipelines.surgery_sam import SurgerySam
from rs_textseg_plugin.engine.pipelines.text2seg import Text2Seg
from rs_textseg_plugin.engine.shelf import ModelShelf
from rs_textseg_plugin.engine.weights import ResolvedSet


@dataclass(frozen=True)
class Order:
    """What a pipeline is made of."""

    shelf: ModelShelf
    models: ResolvedSet
    parameters: Mapping[str, ParameterValue]
    legend: Legend
    device: torch.device
    dtype: torch.dtype


Loader = Callable[[Order], Pipeline[Any]]


def load_sam_clip(order: Order) -> Pipeline[Any]:
    """Load ``sam-clip``."""
    sam = order.shelf.sam(order.models.checkpoints["sam"], order.device, order.dtype)
    clip = order.shelf.clip(order.models.checkpoints["clip"], order.device, order.dtype)
    return SamClip(sam, clip, order.parameters, order.legend)


def load_segearth_ov(order: Order) -> Pipeline[Any]:
    """Load ``segearth-ov``, with the upsampler where the set has one."""
    clip = order.shelf.clip(order.models.checkpoints["clip"], order.device, order.dtype)
    found = order.models.checkpoints.get("upsampler")
    upsampler = order.shelf.upsampler(found, order.device, order.dtype) if found else None
    return SegEarthOv(clip, upsampler, order.parameters, order.legend)


def load_grounding_sam(order: Order) -> Pipeline[Any]:
    """Load ``grounding-sam``."""
    sam = order.shelf.sam(order.models.checkpoints["sam"], order.device, order.dtype)
    detector = order.shelf.detector(order.models.checkpoints["detector"], order.device, order.dtype)
    return GroundingSam(sam, detector, order.parameters, order.legend)


def load_surgery_sam(order: Order) -> Pipeline[Any]:
    """Load ``surgery-sam``."""
    sam = order.shelf.sam(order.models.checkpoints["sam"], order.device, order.dtype)
    clip = order.shelf.clip(order.models.checkpoints["clip"], order.device, order.dtype)
    return SurgerySam(sam, clip, order.parameters, order.legend)


def load_text2seg(order: Order) -> Pipeline[Any]:
    """Load ``text2seg``, with the detector where the set has one."""
    sam = order.shelf.sam(order.models.checkpoints["sam"], order.device, order.dtype)
    clip = order.shelf.clip(order.models.checkpoints["clip"], order.device, order.dtype)
    found = order.models.checkpoints.get("detector")
    detector = order.shelf.detector(found, order.device, order.dtype) if found else None
    return Text2Seg(sam, clip, detector, order.parameters, order.legend)


LOADERS: Mapping[str, Loader] = {
    SAM_CLIP.name: load_sam_clip,
    SEGEARTH_OV.name: load_segearth_ov,
    GROUNDING_SAM.name: load_grounding_sam,
    SURGERY_SAM.name: load_surgery_sam,
    TEXT2SEG.name: load_text2seg,
}
