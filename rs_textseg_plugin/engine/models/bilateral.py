"""Joint bilateral upsampling by two, with weights that a small network learns from the picture.

Sources: FeatUp (ICLR 2024), its module for one step of the JBU stack; SegEarth-OV (CVPR 2025) with a radius of 5. The
names of the parameters are those of the published checkpoints.

For a source ``S`` and a picture ``g`` of twice its size, with ``d = 2 * radius + 1``::

    P    = range_proj(g)
    Kr   = softmax over the d x d neighbours of exp(range_temp) * <P[neighbour], P[pixel]>
    Ks   = exp(-(x^2 + y^2) / (2 * sigma_spatial^2)), x and y from -1 to 1
    K    = Kr * Ks / sum(Kr * Ks);  K = K + 0.1 * fixup_proj([K, g])
    out[pixel] = sum over the neighbours of K[neighbour] * bicubic(S)[neighbour]

Borders are reflected. ``K`` does not depend on ``S``, and ``out`` is linear in it: channels may be mixed before or
after. The d * d weights of every pixel exist for a few rows at a time only, and neither ``P`` nor ``S`` is unfolded:
in blocks of a few neighbouring pixels, both the products of ``P`` and the weighted sums are products of small
matrices with a band in them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

_BLOCK_PX = 16  # pixels whose neighbourhoods share one matrix product; 16 wastes 60 % of it and fills the registers
_FIXUP_WEIGHT = 0.1
_NO_ZERO = 1e-7  # the published lower bound of a sum that is divided by
_COLDEST, _HOTTEST = 1e-4, 1e4  # published bounds of the temperature


class Bilateral(nn.Module):
    """One step of upsampling by two.

    Args:
        radius: of the neighbourhood in pixels of the result.
        keys: channels of the projected picture.
    """

    def __init__(self, radius: int, keys: int = 32) -> None:
        super().__init__()
        taps = (2 * radius + 1) ** 2
        self.radius = radius
        self.range_temp = nn.Parameter(torch.tensor(0.0))
        self.range_proj = nn.Sequential(nn.Conv2d(3, keys, 1), nn.GELU(), nn.Dropout2d(0.1), nn.Conv2d(keys, keys, 1))
        self.fixup_proj = nn.Sequential(
            nn.Conv2d(taps + 3, taps, 1), nn.GELU(), nn.Dropout2d(0.1), nn.Conv2d(taps, taps, 1)
        )
        self.sigma_spatial = nn.Parameter(torch.tensor(1.0))

    def forward(self, source: Tensor, picture: Tensor, limit_bytes: int, dtype: torch.dtype) -> Tensor:
        """Return ``(C, 2h, 2w)`` float32, see `rows`."""
        return torch.cat([part for _, part in self.rows(source, picture, limit_bytes, dtype)]).permute(2, 0, 1)

    def rows(
        self, source: Tensor, picture: Tensor, limit_bytes: int, dtype: torch.dtype
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield the result a few rows at a time, from top to bottom: which rows, and ``(rows, 2w, C)`` float32.

        Args:
            source: ``(C, h, w)`` float32.
            picture: ``(3, H, W)`` float32, normalised as the image tower wants it; it is averaged to twice the size
                of the source.
            limit_bytes: about how much memory the rows in work may take; one row is always taken.
            dtype: of the weighted sums.
        """
        size = (source.shape[1] * 2, source.shape[2] * 2)
        guide = F.adaptive_avg_pool2d(picture, size)
        keys = _Neighbours(self.range_proj(guide[None])[0].permute(1, 2, 0), self.radius)
        channels_last = source[None].contiguous(memory_format=torch.channels_last)  # so that nothing is reordered
        upsampled = F.interpolate(channels_last, size, mode="bicubic", align_corners=False)[0]
        values = _Neighbours(upsampled.permute(1, 2, 0).to(dtype), self.radius)
        count = max(1, limit_bytes // self._bytes_of_a_row(size[1], len(source)))
        for start in range(0, size[0], count):
            rows = slice(start, min(start + count, size[0]))
            weights = self._weights(keys, guide[:, rows].permute(1, 2, 0), rows)
            yield rows, values.weighted_sums(weights, rows)

    def _weights(self, keys: _Neighbours, guide: Tensor, rows: slice) -> Tensor:
        """Return ``K`` of some rows, ``(rows, W, d * d)``; `guide` is ``(rows, W, 3)``."""
        temperature = self.range_temp.exp().clamp(_COLDEST, _HOTTEST)
        weights = F.softmax(temperature * keys.products(rows), dim=-1) * self._nearness()
        weights /= weights.sum(dim=-1, keepdim=True).clamp(min=_NO_ZERO)
        correction = self.fixup_proj(torch.cat([weights, guide], dim=-1).permute(2, 0, 1)[None])[0]
        return weights.add_(correction.permute(1, 2, 0), alpha=_FIXUP_WEIGHT)

    def _nearness(self) -> Tensor:
        """Return ``Ks``, ``(d * d,)``."""
        steps = torch.linspace(-1, 1, 2 * self.radius + 1, device=self.sigma_spatial.device)
        distance2 = steps[:, None].square() + steps.square()
        return torch.exp(-distance2.flatten() / (2 * self.sigma_spatial**2))

    def _bytes_of_a_row(self, width_px: int, channels: int) -> int:
        """Return about what a row costs while it is in work: weights with their copies, and its neighbours."""
        taps = (2 * self.radius + 1) ** 2
        return 4 * width_px * (4 * taps + channels * (2 + 2 * self.radius // _BLOCK_PX + 1))


class _Neighbours:
    """An array ``(H, W, C)`` whose pixels are combined with their ``d * d`` neighbours, borders reflected."""

    def __init__(self, values: Tensor, radius: int) -> None:
        height, self._width, _ = values.shape
        self._radius, self._diameter = radius, 2 * radius + 1
        self._blocks = -(-self._width // _BLOCK_PX)
        rows, columns = (_reflected(length, radius).to(values.device) for length in (height, self._width))
        spare = self._blocks * _BLOCK_PX - self._width  # the last block is filled up with zeros
        self._padded = F.pad(values[rows][:, columns], (0, 0, 0, spare))

    def products(self, rows: slice) -> Tensor:
        """Return the scalar products of every pixel with its neighbours, ``(rows, W, d * d)``."""
        centre = self._padded[rows.start + self._radius : rows.stop + self._radius, self._radius :]
        centre = centre[:, : self._blocks * _BLOCK_PX].unflatten(1, (self._blocks, _BLOCK_PX))
        bands = [_band(centre @ self._around(rows, dy).transpose(-1, -2)) for dy in range(self._diameter)]
        return torch.stack(bands, dim=-2).flatten(1, 2)[:, : self._width].flatten(2)

    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        """Return the sums of every pixel's neighbours with weights ``(rows, W, d * d)``: ``(rows, W, C)`` float32."""
        spare = self._blocks * _BLOCK_PX - self._width
        weights = F.pad(weights, (0, 0, 0, spare)).to(self._padded.dtype)
        weights = weights.unflatten(1, (self._blocks, _BLOCK_PX)).unflatten(-1, (self._diameter, self._diameter))
        matrix = weights.new_zeros((*weights.shape[:3], _BLOCK_PX + 2 * self._radius))
        total = torch.zeros((*weights.shape[:3], self._padded.shape[-1]), device=weights.device)
        for dy in range(self._diameter):
            _band(matrix).copy_(weights[..., dy, :])  # the same places every time: all others stay 0
            total += matrix @ self._around(rows, dy)
        return total.flatten(1, 2)[:, : self._width]

    def _around(self, rows: slice, dy: int) -> Tensor:
        """Return the pixels `dy` below the upper border of blocks in some rows: ``(rows, blocks, block + 2r, C)``."""
        return self._padded[rows.start + dy : rows.stop + dy].unfold(1, _BLOCK_PX + 2 * self._radius, _BLOCK_PX).mT


def _band(matrices: Tensor) -> Tensor:
    """Return the view ``(..., n, d)`` of contiguous ``(..., n, n + d - 1)`` that holds the entries [i, i + k]."""
    *outer, n, wide = matrices.shape
    *strides, row, column = matrices.stride()
    return matrices.as_strided((*outer, n, wide - n + 1), (*strides, row + column, column))


def _reflected(length: int, margin: int) -> Tensor:
    """Return the indices of an axis with `margin` more on both sides, reflected at the outermost samples.

    As torch's padding ``reflect``, and defined where the margin is larger than the axis too: reflected again.
    """
    period = max(2 * (length - 1), 1)
    places = torch.arange(-margin, length + margin) % period
    return torch.minimum(places, period - places) if length > 1 else torch.zeros_like(places)
