"""Class probabilities of every pixel of a tile, evaluated only where they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.resize import reach, resize_part
from rs_textseg_plugin.engine.answers.taper import taper


class ProbabilityMap(Protocol):
    """Class probabilities of every pixel of a tile, whatever they are made of."""

    def probabilities(self, legend: Legend, part: Window) -> NDArray[np.float32]:
        """Return ``(K, part.height, part.width)`` class probabilities for a window of the tile."""


@dataclass(frozen=True)
class ClassMap:
    """Coarse word logits of sliding windows, from which every pixel's probabilities follow.

    The logits of a window are upsampled to its pixels, averaged where windows overlap, and the canvas that they
    make up is resized to the tile; the softmax comes last (the order of SegEarth-OV).

    Attributes:
        window_logits: ``(n, A, gh, gw)`` float16, scaled word logits per sliding window.
        windows: the sliding windows on the canvas.
        frame: what a grid of logits covers, relative to its sliding window: larger where that was padded.
        canvas: ``(height, width)`` of the resized tile in pixels.
        tile: ``(height, width)`` of the tile in pixels.
        overlap_px: windows fade into each other over that many pixels; 0: plain mean, as published.
    """

    window_logits: NDArray[np.float16]
    windows: tuple[Window, ...]
    frame: Window
    canvas: tuple[int, int]
    tile: tuple[int, int]
    overlap_px: int = 0

    def probabilities(self, legend: Legend, part: Window) -> NDArray[np.float32]:
        """Return ``(K, part.height, part.width)`` class probabilities for a window of the tile."""
        return legend.class_probabilities(self.logits(part))

    def logits(self, part: Window) -> NDArray[np.float32]:
        """Return ``(A, part.height, part.width)`` word logits for a window of the tile."""
        needed = reach(part, self.tile, self.canvas)
        return resize_part(self._stitched(needed), self.tile, part, within=needed, source=self.canvas)

    def _stitched(self, needed: Window) -> NDArray[np.float32]:
        """Weighted mean over the sliding windows of their upsampled logits, on a window of the canvas."""
        total = np.zeros((self.window_logits.shape[1], needed.height, needed.width), np.float32)
        weights = np.zeros((needed.height, needed.width), np.float32)
        for window, logits in zip(self.windows, self.window_logits):
            common = window.intersection(needed)
            if common.is_empty:
                continue
            rows, columns = common.relative_to(needed).slices
            inside = common.relative_to(window).relative_to(self.frame)
            weight = taper(common, window, self.overlap_px)
            total[:, rows, columns] += weight * self._upsampled(logits, inside)
            weights[rows, columns] += weight
        return total / weights

    def _upsampled(self, logits: NDArray[np.float16], inside: Window) -> NDArray[np.float32]:
        """Return a window of one grid of logits, resized to its frame."""
        size = (self.frame.height, self.frame.width)
        if logits.shape[1:] == size:  # of a map of pixels only the part that is wanted is converted
            return logits[(slice(None), *inside.slices)].astype(np.float32)
        return resize_part(logits.astype(np.float32), size, inside)
