"""Dense maps whose patches become pixels through a learned upsampler: text first, pixels second.

The released code of SegEarth-OV upsamples all channels of a window, brings every pixel to unit length and compares it
with the words. Upsampling is linear, so words are compared with the small features here and a few planes are upsampled;
only the pixels' lengths need all channels, and they do not depend on the text. The result is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.resize import resize_part
from rs_textseg_plugin.engine.answers.taper import taper_along
from rs_textseg_plugin.engine.clip.dense import (
    DenseFeatures,
    DenseSettings,
    clip_picture,
    global_bias,
    observe_dense,
)
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.upsampler import MEMORY_BYTES, Upsampler

_NO_ZERO = 1e-12  # torch's lower bound of a length that is divided by


@dataclass(frozen=True)
class UpsampledFeatures:
    """What CLIP saw of a tile, and all that upsampling needs beside the text.

    Attributes:
        dense: the small features, mixed (`Upsampler.mixed`) and with their lengths.
        canvas: ``(height, width, 3)`` uint8, the resized tile, which guides the upsampling.
        lengths: ``(n, f gh, f gw)`` float32, lengths of the upsampled features per sliding window; f is
            `Upsampler.factor`.
    """

    dense: DenseFeatures
    canvas: NDArray[np.uint8]
    lengths: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Memory that keeping this costs, in bytes."""
        return self.dense.nbytes + self.canvas.nbytes + self.lengths.nbytes


class DenseUpsampler:
    """A CLIP with the upsampler that was trained for it.

    Args:
        clip: looks at windows.
        upsampler: turns what it says of patches into what it says of pixels.
    """

    def __init__(self, clip: ClipModel, upsampler: Upsampler) -> None:
        self._clip, self._upsampler = clip, upsampler
        upsampler.fit_to(clip.patch_px)

    def observe(
        self,
        rgb: NDArray[np.uint8],
        settings: DenseSettings,
        batch: int,
        control: RunControl,
    ) -> UpsampledFeatures:
        """Run CLIP over the sliding windows of a tile ``(H, W, 3)`` uint8, and measure the upsampled features.

        Raises:
            Cancelled: the user has given up.
        """
        seen = observe_dense(self._clip, rgb, settings, batch, control, self._upsampler.mixed)
        canvas = clip_picture(rgb, settings.long_side_px, settings.resize)
        lengths = []
        for window, patches in zip(seen.windows, seen.patches):
            control.check()
            planes = self._on_device(patches).permute(2, 0, 1)
            measured = self._upsampler.lengths(planes, self._picture(canvas, window), control.batch(MEMORY_BYTES))
            lengths.append(measured.cpu().numpy())
        return UpsampledFeatures(seen, canvas, np.stack(lengths))

    def answer(
        self,
        features: UpsampledFeatures,
        words: NDArray[np.float32],
        logit_scale: float,
        control: RunControl,
    ) -> ClassMap:
        """Compare features with words, ``(A, D)`` float32 of unit length, and join the windows.

        Per window ``logits = logit_scale * (pixel . words / |pixel| - bias)``, see `dense.answer_dense`. The windows
        are joined in place, so memory does not grow with their number.

        Raises:
            Cancelled: the user has given up.
        """
        seen, (height, width) = features.dense, features.dense.canvas
        bias = global_bias(seen, words)

        def logits() -> Iterator[NDArray[np.float32]]:
            for number in range(len(seen.windows)):
                control.check()
                cosines = self._cosines(features, number, words, control)
                yield logit_scale * (cosines - bias[number][:, None, None])

        joined = join_windows(seen.windows, logits(), seen.canvas, seen.overlap_px)
        whole = Window(0, 0, width, height)
        return ClassMap(joined[None].astype(seen.patches.dtype), (whole,), whole, seen.canvas, seen.tile)

    @torch.inference_mode()
    def _cosines(
        self, features: UpsampledFeatures, number: int, words: NDArray[np.float32], control: RunControl
    ) -> NDArray[np.float32]:
        """Return every pixel's cosines with the words on one sliding window, ``(A, h, w)`` float32."""
        seen, vocabulary = features.dense, self._on_device(words)
        planes = torch.einsum("hwd,ad->ahw", self._on_device(seen.patches[number]), vocabulary)
        picture = self._picture(features.canvas, seen.windows[number])
        upsampled = self._upsampler.upsample(planes, picture, control.batch(MEMORY_BYTES))
        upsampled += (vocabulary @ self._upsampler.offset)[:, None, None]
        cosines = upsampled.cpu().numpy() / np.maximum(features.lengths[number], _NO_ZERO)
        window = Window(0, 0, seen.windows[number].width, seen.windows[number].height)
        return resize_part(cosines, (seen.frame.height, seen.frame.width), window.relative_to(seen.frame))

    def _picture(self, canvas: NDArray[np.uint8], window: Window) -> Tensor:
        return self._clip.padded_picture(canvas[window.slices])

    def _on_device(self, values: NDArray[np.float16] | NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self._upsampler.device)


def join_windows(
    windows: Sequence[Window], parts: Iterable[NDArray[np.float32]], canvas: tuple[int, int], overlap_px: int
) -> NDArray[np.float32]:
    """Return ``(A, height, width)`` float32: the mean of what windows say, weighted by their tapers, made in place.

    Each window is added once, with its share of every pixel, and touches its own pixels only: work grows with the area,
    and memory does not grow with the number of windows. The released code adds every window as a whole canvas of zeros,
    and divides at the end.

    Args:
        windows: on the canvas, all rows of a grid of windows, as `dense.sliding_windows` gives them; they cover it.
        parts: ``(A, window.height, window.width)`` float32 for each of them, one at a time.
        canvas: ``(height, width)``.
        overlap_px: windows fade into each other over that many pixels; 0: plain mean.
    """
    rows = _shares({(window.row, window.row_stop) for window in windows}, canvas[0], overlap_px)
    columns = _shares({(window.col, window.col_stop) for window in windows}, canvas[1], overlap_px)
    total = torch.zeros((0, *canvas))
    for window, part in zip(windows, parts):
        if not len(total):
            total = torch.zeros((len(part), *canvas))
        share = torch.from_numpy(rows[window.row][:, None] * columns[window.col])
        total[(slice(None), *window.slices)].addcmul_(torch.from_numpy(part), share)
    return total.numpy()


def _shares(spans: Set[tuple[int, int]], length_px: int, overlap_px: int) -> dict[int, NDArray[np.float32]]:
    """Return by its start the share that each span ``(start, stop)`` of an axis has in every pixel of it, float32."""
    tapers = {start: taper_along(start, stop, overlap_px) for start, stop in spans}
    total = np.zeros(length_px, np.float32)
    for start, stop in spans:
        total[start:stop] += tapers[start]
    return {start: tapers[start] / total[start:stop] for start, stop in spans}
