"""What the tests of pipelines share: small models of the real architectures, one tile, and a small scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rasters import north_up, texture, write_raster
from tiny_models import open_clip, tiny_clip, tiny_sam

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.recipe import Recipe, find_pipeline
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.pipelines.settings import make_settings
from rs_textseg_plugin.engine.raster.reader import TileImage

CPU = torch.device("cpu")


def never() -> bool:
    return False


def values_of(pipeline: str, preset: str = "", **given) -> dict:
    """All parameters of a method, checked."""
    return Recipe(pipeline, parameters=given, preset=preset).checked_parameters()


def settings_of(pipeline: str, kind: type, preset: str = "", **given):
    """A method's typed settings."""
    return make_settings(find_pipeline(pipeline), kind, values_of(pipeline, preset, **given))


def small_clip() -> ClipModel:
    return ClipModel(tiny_clip(7), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.float32)


def firm_sam() -> SamModel:
    """A SAM with a stronger decoder: its masks have pixels, and outlines that rounding does not move."""
    sam = tiny_sam(4)
    with torch.no_grad():
        for parameter in sam.mask_decoder.parameters():
            parameter.mul_(2)
    return SamModel(sam, CPU, torch.float32)


def tile_of(height: int, width: int, valid: np.ndarray | None = None) -> TileImage:
    rgb = np.ascontiguousarray(texture(height, width).transpose(1, 2, 0))
    valid = np.ones((height, width), bool) if valid is None else valid
    return TileImage(rgb, valid, Window(0, 0, width, height))


def answered(method, tile: TileImage):
    return method.answer(method.observe(tile, RunControl(Budget(CPU))), RunControl(Budget(CPU)))


def whole(segment, size: tuple[int, int]) -> np.ndarray:
    """A segment's mask on the whole tile."""
    mask = np.zeros(size, bool)
    mask[segment.window.slices] = segment.mask.unpack()
    return mask


def small_scene(path: Path, height: int = 110, width: int = 150) -> Path:
    """Pixels of 0.5 m."""
    return write_raster(path, texture(height, width), transform=north_up(0.5))
