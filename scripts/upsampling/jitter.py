"""Random views of a picture that can be taken of its features as well: flipped, moved and zoomed in.

Source: FeatUp (ICLR 2024) with SegEarth-OV's values: a margin of 20 px of a picture of 224 px, and in half of the
cases a zoom of 1 to 2. The publication names no axis of its flips: pictures from above have no top, so both are
flipped. A view is given in shares of the picture's sides, so that it is the same for features of any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor

_MARGIN = 20 / 224  # of the picture's side, reflected around it
_LARGEST_ZOOM = 2.0
_ZOOMED = 0.5  # share of the views


@dataclass(frozen=True)
class AxisView:
    """One axis of a view.

    Attributes:
        start: where it begins, as a share of the picture's side; beyond 0..1 the picture is reflected.
        zoom: the view covers ``1 / zoom`` of the side.
        is_flipped: whether it is read backwards.
    """

    start: float = 0.0
    zoom: float = 1.0
    is_flipped: bool = False

    def places(self, length: int) -> NDArray[np.float64]:
        """Return where the ``length`` samples of the view lie: -1 and 1 are the outer edges of the picture."""
        shares = (np.arange(length) + 0.5) / length
        places = self.start + (1 - shares if self.is_flipped else shares) / self.zoom
        return 1 - 2 * np.abs(1 - places % 2)  # reflected at the edges


@dataclass(frozen=True)
class Jitter:
    """A view of each picture of a batch: its rows and its columns."""

    views: tuple[tuple[AxisView, AxisView], ...]

    @classmethod
    def draw(cls, count: int, size_px: int, rng: np.random.Generator) -> Jitter:
        """Draw views of as many pictures of `size_px` by `size_px` pixels."""
        return cls(tuple(_draw_view(size_px, rng) for _ in range(count)))

    def apply(self, values: Tensor) -> Tensor:
        """Return the views of ``(B, C, H, W)``, in the same shape: of the pictures, or of what was made of them.

        Bilinear between samples; beyond the outermost ones they are repeated.
        """
        height, width = values.shape[2:]
        rows, columns = (self._places(axis, length).to(values) for axis, length in ((0, height), (1, width)))
        grid = torch.stack([columns[:, None].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)], dim=-1)
        return F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _places(self, axis: int, length: int) -> Tensor:
        return torch.from_numpy(np.stack([view[axis].places(length) for view in self.views]))


def _draw_view(size_px: int, rng: np.random.Generator) -> tuple[AxisView, AxisView]:
    zoom = float(rng.uniform(1.0, _LARGEST_ZOOM)) if rng.random() < _ZOOMED else 1.0
    return _draw_axis(size_px, zoom, rng), _draw_axis(size_px, zoom, rng)


def _draw_axis(size_px: int, zoom: float, rng: np.random.Generator) -> AxisView:
    margin_px = round(_MARGIN * size_px)
    last_px = size_px + margin_px - int(np.ceil(size_px / zoom))
    start_px = int(rng.integers(-margin_px, last_px + 1))  # whole pixels: a view that is only moved is not blurred
    return AxisView(start_px / size_px, zoom, bool(rng.random() < 0.5))
