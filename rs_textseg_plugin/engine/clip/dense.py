"""Dense open-vocabulary maps: CLIP over sliding windows, then text, then probabilities per pixel.

The order is SegEarth-OV's: word logits per window, upsampled, averaged where windows overlap, resized to the
tile, and only then the softmax. Everything before the text is an observation that can be kept. Here patches become
pixels bilinearly; `dense_upsampled` does it with a learned upsampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.resize import resize_part
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel

_LONE_CLASS_THRESHOLD, _THRESHOLD = 0.6, 0.1  # SegEarth-OV's released thresholds, see the tables of the contract


@dataclass(frozen=True)
class DenseSettings:
    """How CLIP looks at a tile.

    Attributes:
        long_side_px: the tile is resized so that its long side has this many pixels; 0: not resized.
        window_px, stride_px: the sliding window on the resized tile.
        attention: of the last block, see `models.attention.run_blocks`.
        cls_weight: share of the global answer that is subtracted (SegEarth-OV's lambda, there written negative).
        fades: whether windows fade into each other where they overlap; else their plain mean is taken.
        kept: type in which features and logits are kept; float16 halves their memory.
        resize: how the tile is resized, see `clip_picture`.
        positions: how the positional embedding is interpolated, see `models.clip.patch_features`.
    """

    long_side_px: int
    window_px: int
    stride_px: int
    attention: str
    cls_weight: float
    fades: bool
    kept: type[np.floating[Any]] = np.float16
    resize: str = "smooth"
    positions: str = "bicubic"

    parameter_names: ClassVar[tuple[str, ...]] = (
        "clip_long_side_px", "clip_window_px", "clip_stride_px", "attention", "cls_weight", "window_blend",
        "clip_resize", "clip_positions",
    )  # fmt: skip

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> DenseSettings:
        """Take the settings out of the values of a method's parameters, those of `parameter_names`."""
        return cls(
            long_side_px=values["clip_long_side_px"],
            window_px=values["clip_window_px"],
            stride_px=values["clip_stride_px"],
            attention=values["attention"],
            cls_weight=values["cls_weight"],
            fades=values["window_blend"] == "taper",
            resize=values["clip_resize"],
            positions=values["clip_positions"],
        )


@dataclass(frozen=True)
class DenseFeatures:
    """What CLIP saw of a tile before any text; float16 (or `DenseSettings.kept`) to be small.

    Attributes:
        patches: ``(n, gh, gw, D)`` float16 per sliding window, of unit length (but see `dense_upsampled`).
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

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        return self.patches.nbytes + self.globals.nbytes


def observe_dense(
    clip: ClipModel,
    rgb: NDArray[np.uint8],
    settings: DenseSettings,
    batch: int,
    control: RunControl,
    mixing: Callable[[Tensor], Tensor] | None = None,
) -> DenseFeatures:
    """Run CLIP over the sliding windows of a tile, ``(H, W, 3)`` uint8.

    Args:
        clip: looks.
        rgb: the tile.
        settings: how it looks.
        batch: windows that go through it at once.
        control: is asked before each batch.
        mixing: done to the patches ``(N, gh, gw, D)``, which then keep their lengths.

    Raises:
        Cancelled: the user has given up.
    """
    canvas = clip_picture(rgb, settings.long_side_px, settings.resize)
    height, width = canvas.shape[:2]
    windows = sliding_windows(width, height, settings.window_px, settings.stride_px)
    patches, global_features = [], []
    for start in range(0, len(windows), batch):
        control.check()
        pictures = np.stack([canvas[window.slices] for window in windows[start : start + batch]])
        grid, cls = clip.dense_features(
            pictures, settings.attention, unit_length=mixing is None, positions=settings.positions
        )
        patches.append((mixing(grid) if mixing else grid).cpu().numpy().astype(settings.kept))
        global_features.append(cls.cpu().numpy().astype(settings.kept))
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
    logits = logit_scale * (local - global_bias(features, words)[:, :, None, None])
    return ClassMap(
        logits.astype(features.patches.dtype),
        features.windows,
        features.frame,
        features.canvas,
        features.tile,
        features.overlap_px,
    )


def global_bias(features: DenseFeatures, words: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share of the <CLS> answer that every pixel of a window loses, ``(n, A)`` float32."""
    bias: NDArray[np.float32] = features.cls_weight * (features.globals.astype(np.float32) @ words.T)
    return bias


def least_probability(wanted: float | None, stands_alone: bool) -> float:
    """Return how probable a pixel's best class has to be: as wanted, or as SegEarth-OV's configurations have it."""
    if wanted is not None:
        return wanted
    return _LONE_CLASS_THRESHOLD if stands_alone else _THRESHOLD


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


def clip_picture(rgb: NDArray[np.uint8], long_side_px: int, resize: str) -> NDArray[np.uint8]:
    """Return the picture that CLIP sees of a tile ``(H, W, 3)`` uint8, with a long side of that many pixels.

    Args:
        rgb: the tile.
        long_side_px: 0: the tile as it is.
        resize: ``smooth`` is bilinear over all pixels that one stands for; ``plain`` bilinear between the nearest ones,
            as OpenCV and with it SegEarth-OV's released configuration does; ``square`` bicubic to a square, whatever
            the shape of the tile, as CLIP Surgery's code prepares pictures.
    """
    height, width = rgb.shape[:2]
    if long_side_px == 0:
        return rgb
    if resize == "square":
        return _resized_by_pillow(rgb, (long_side_px, long_side_px), Image.Resampling.BICUBIC)
    if long_side_px == max(height, width):
        return rgb
    scale = long_side_px / max(height, width)
    if resize == "plain":
        return _resized_plainly(rgb, (_half_up(width * scale), _half_up(height * scale)))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return _resized_by_pillow(rgb, size, Image.Resampling.BILINEAR)


def _resized_by_pillow(
    rgb: NDArray[np.uint8], size: tuple[int, int], resampling: Image.Resampling
) -> NDArray[np.uint8]:
    """Return ``(height, width, 3)`` uint8 for a size of ``(width, height)``."""
    return np.asarray(Image.fromarray(rgb).resize(size, resampling))


def _resized_plainly(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return ``(height, width, 3)`` uint8 for a size of ``(width, height)``: of the four pixels around each centre."""
    planes = np.moveaxis(rgb, 2, 0).astype(np.float32)
    resized = resize_part(planes, (size[1], size[0]), Window(0, 0, *size))
    return np.ascontiguousarray(np.moveaxis(np.floor(resized + 0.5), 0, 2).clip(0, 255).astype(np.uint8))


def _half_up(length: float) -> int:
    """Return a length rounded as mmcv rounds the side of a picture, at least 1."""
    return max(1, int(length + 0.5))
