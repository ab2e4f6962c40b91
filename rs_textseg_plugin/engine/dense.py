"""Dense open-vocabulary maps: CLIP over sliding windows, then text, then probabilities per pixel.

The order is SegEarth-OV's: word logits per window, upsampled, averaged where windows overlap, resized to the
tile, and only then the softmax. Everything before the text is an observation that can be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.class_map import ClassMap
from rs_textseg_plugin.engine.models.clip import ClipModel


@dataclass(frozen=True)
class DenseSettings:
    """How CLIP looks at a tile.

    Attributes:
        long_side_px: the tile is resized so that its long side has this many pixels; 0: not resized.
        window_px, stride_px: the sliding window on the resized tile.
        attention: of the last block, see `ClipModel.dense_features`.
        cls_weight: share of the global answer that is subtracted (SegEarth-OV's lambda, there written negative).
        fades: whether windows fade into each other where they overlap; else their plain mean is taken.
    """

    long_side_px: int
    window_px: int
    stride_px: int
    attention: str
    cls_weight: float
    fades: bool


@dataclass(frozen=True)
class DenseFeatures:
    """What CLIP saw of a tile before any text; float16 to be small.

    Attributes:
        patches: ``(n, gh, gw, D)`` float16, unit length, per sliding window.
        globals: ``(n, D)`` float16, unit length, the windows' <CLS> tokens.
        windows: the sliding windows on the canvas.
        frame: what a grid of patches covers, relative to its sliding window: larger where that was padded.
        canvas: ``(height, width)`` of the resized tile in pixels.
        tile: ``(height, width)`` of the tile in pixels.
        cls_weight: as in `DenseSettings`.
        overlap_px: as in `ClassMap`.
    """

    patches: NDArray[np.float16]
    globals: NDArray[np.float16]
    windows: tuple[Window, ...]
    frame: Window
    canvas: tuple[int, int]
    tile: tuple[int, int]
    cls_weight: float
    overlap_px: int


def observe_dense(
    clip: ClipModel, rgb: NDArray[np.uint8], settings: DenseSettings, batch: int, should_stop: Callable[[], bool]
) -> DenseFeatures:
    """Run CLIP over the sliding windows of a tile, ``(H, W, 3)`` uint8.

    Raises:
        Cancelled: `should_stop` said so between two batches.
    """
    canvas = _resize_long_side(rgb, settings.long_side_px)
    height, width = canvas.shape[:2]
    windows = sliding_windows(width, height, settings.window_px, settings.stride_px)
    patches, global_features = [], []
    for start in range(0, len(windows), batch):
        if should_stop():
            raise Cancelled("The run was cancelled.")
        pictures = np.stack([canvas[window.slices] for window in windows[start : start + batch]])
        grid, cls = clip.dense_features(pictures, settings.attention)
        patches.append(grid.to(torch.float16).cpu().numpy())
        global_features.append(cls.to(torch.float16).cpu().numpy())
    return DenseFeatures(
        np.concatenate(patches),
        np.concatenate(global_features),
        tuple(windows),
        clip.padded_frame(windows[0]),
        (height, width),
        (rgb.shape[0], rgb.shape[1]),
        settings.cls_weight,
        max(settings.window_px - settings.stride_px, 0) if settings.fades else 0,
    )


def answer_dense(features: DenseFeatures, words: NDArray[np.float32], logit_scale: float) -> ClassMap:
    """Compare dense features with words, ``(A, D)`` float32 of unit length.

    SegEarth-OV, eq. for the global-bias subtraction, in logit space after separate normalisation:
    ``logits = patches . words - cls_weight * cls . words``, times `logit_scale`.
    """
    patches = features.patches.astype(np.float32)
    local = np.einsum("nhwd,ad->nahw", patches, words, optimize=True)
    bias = features.globals.astype(np.float32) @ words.T
    logits = logit_scale * (local - features.cls_weight * bias[:, :, None, None])
    return ClassMap(
        logits.astype(np.float16),
        features.windows,
        features.frame,
        features.canvas,
        features.tile,
        features.overlap_px,
    )


def sliding_windows(width: int, height: int, window_px: int, stride_px: int) -> list[Window]:
    """Return windows of one size that cover the picture; the last of each row and column is shifted inwards.

    A side shorter than `window_px` gives windows of that side.
    """

    def starts(length: int, size: int) -> list[int]:
        inner = list(range(0, length - size, stride_px))
        return [*inner, length - size]

    window_width, window_height = min(window_px, width), min(window_px, height)
    return [
        Window(col, row, window_width, window_height)
        for row in starts(height, window_height)
        for col in starts(width, window_width)
    ]


def _resize_long_side(rgb: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    if long_side_px in (0, max(height, width)):
        return rgb
    scale = long_side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
