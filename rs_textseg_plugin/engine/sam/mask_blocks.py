"""SAM's coarse logits at a tile's resolution, computed only where the outline of a mask runs.

SAM draws on a coarse grid, for example 256 x 256 cells. segment_anything resizes every mask of every point to the
model's square and from there to the tile, and asks only then which masks are any good. Both resizes are bilinear, so
a pixel is a weighted mean of a few cells around it. The tile is therefore cut into blocks of pixels: where all cells
around a block are low the block is empty, where all are high it is full, and only the others are computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor

from rs_textseg_plugin.contract.grid import Window

BLOCK_PX = 32  # side of a block; 16 and 64 were no faster
# Masks that are worked on at once: on the CPU what stays in its cache, elsewhere enough to keep the device busy.
_MASKS_ON_CPU, _MASKS_ELSEWHERE = 16, 256
_BLOCKS_PER_MASK = 64  # so many times more blocks are computed at once


@dataclass(frozen=True)
class CoarseFrame:
    """How coarse logits lie over a tile.

    Attributes:
        model_px: side of the square that the whole coarse grid covers, in pixels of the model's input.
        input_size: ``(height, width)`` of the tile inside that square, from its upper left corner.
        tile_size: ``(height, width)`` of the tile in its own pixels.
    """

    model_px: int
    input_size: tuple[int, int]
    tile_size: tuple[int, int]


@dataclass(frozen=True)
class StableMask:
    """A mask that hardly depends on where its logits are cut.

    Attributes:
        index: which of the coarse masks it is.
        window: its bounding box on the tile.
        inside: bool, of the window's shape.
        stability: pixels above the upper cut as a share of those above the lower cut, 0..1.
    """

    index: int
    window: Window
    inside: NDArray[np.bool_]
    stability: float


@dataclass(frozen=True)
class _Axis:
    """One axis of a tile in B blocks.

    Attributes:
        cells: ``(B, T)`` int64, the coarse cells that a block depends on.
        weights: ``(B, BLOCK_PX, T)`` float32, how its pixels depend on them; NaN for pixels beyond the tile.
        lengths: ``(B,)`` int64, pixels of a block that lie on the tile.
    """

    cells: Tensor
    weights: Tensor
    lengths: Tensor


def find_stable_masks(
    coarse: Tensor, which: Tensor, frame: CoarseFrame, offset: float, min_stability: float
) -> list[StableMask]:
    """Cut masks out at the tile's resolution, those that pass the stability test and have a pixel.

    Equal to segment_anything's ``postprocess_masks``, ``calculate_stability_score`` and threshold at 0, up to
    rounding in float32. On a GPU this needs true float32 products (TF32 off, torch's default).

    Args:
        coarse: ``(K, h, w)`` float32 logits.
        which: ``(N,)`` int64 indices of the masks to look at.
        frame: how they lie over the tile.
        offset: the cuts of the test are at + and - this logit; not negative.
        min_stability: masks below are dropped; 0: none is.
    """
    coarse = coarse.contiguous()
    height, width = coarse.shape[1:]
    rows = _axis(height, frame.model_px, frame.input_size[0], frame.tile_size[0], coarse.device)
    columns = _axis(width, frame.model_px, frame.input_size[1], frame.tile_size[1], coarse.device)
    at_once = _MASKS_ON_CPU if coarse.device.type == "cpu" else _MASKS_ELSEWHERE
    found: list[StableMask] = []
    with _one_cpu_thread():
        for some in which.split(at_once):
            blocks = _Blocks.of(coarse, some, rows, columns, offset)
            found += blocks.cut_out(some.tolist(), min_stability, frame.tile_size)
    return found


@contextmanager
def _one_cpu_thread() -> Iterator[None]:
    """Keep torch from sharing these many small steps out to threads.

    It gains little on idle cores, and where others work on them every step waits for the last thread: with two of two
    cores busy, two threads were 4 to 10 times slower than one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=8)
def _axis(coarse_px: int, model_px: int, input_px: int, tile_px: int, device: torch.device) -> _Axis:
    matrix = _resize_matrix(coarse_px, model_px, input_px, tile_px)
    count = -(-tile_px // BLOCK_PX)
    blocks = F.pad(matrix, (0, 0, 0, count * BLOCK_PX - tile_px)).view(count, BLOCK_PX, coarse_px)
    used = (blocks > 0).any(dim=1).int()
    first, last = used.argmax(dim=1), coarse_px - 1 - used.flip(1).argmax(dim=1)
    span = int((last - first).max()) + 1
    cells = first.clamp(max=coarse_px - span)[:, None] + torch.arange(span)
    weights = blocks.gather(2, cells[:, None].expand(-1, BLOCK_PX, -1))
    lengths = (tile_px - torch.arange(count) * BLOCK_PX).clamp(max=BLOCK_PX)
    weights[torch.arange(BLOCK_PX) >= lengths[:, None]] = torch.nan
    return _Axis(cells.to(device), weights.to(device), lengths.to(device))


def _resize_matrix(coarse_px: int, model_px: int, input_px: int, tile_px: int) -> Tensor:
    """Return both resizes along one axis as a matrix ``(tile_px, coarse_px)`` float32, rows summing to 1.

    It comes from resizing an identity in float32, so that positions are rounded as when a mask is resized.
    """
    square = F.interpolate(torch.eye(coarse_px)[None], model_px, mode="linear", align_corners=False)
    return F.interpolate(square[..., :input_px], tile_px, mode="linear", align_corners=False)[0].T


@dataclass(frozen=True)
class _Blocks:
    """K masks in R x C blocks.

    Attributes:
        touched: ``(K, R, C)`` bool, blocks that may hold a pixel above the lower cut.
        full: ``(K, R, C)`` bool, blocks that are above the upper cut everywhere.
        outline: ``(N, 3)`` int64, mask, row and column of the blocks that were computed; those touched and not full.
        inside: ``(N, BLOCK_PX, BLOCK_PX)`` bool, their pixels above 0.
        stability: ``(K,)`` float32; NaN without a pixel above the lower cut.
    """

    touched: Tensor
    full: Tensor
    outline: Tensor
    inside: Tensor
    stability: Tensor

    @classmethod
    def of(cls, coarse: Tensor, which: Tensor, rows: _Axis, columns: _Axis, offset: float) -> _Blocks:
        """Compute what the outlines of some masks, ``which`` ``(n,)`` of the logits ``(N, h, w)``, run through."""
        lowest, highest = _extremes(coarse, which, rows, columns)
        touched, full = highest > -offset, lowest > offset
        outline = (touched & ~full).nonzero()
        above_upper = (full * (rows.lengths[:, None] * columns.lengths)).sum(dim=(1, 2))
        above_lower = above_upper.clone()
        inside = [torch.empty((0, BLOCK_PX, BLOCK_PX), dtype=torch.bool, device=coarse.device)]
        for part in outline.split(_BLOCKS_PER_MASK * len(which)):
            logits = _interpolate(coarse, which, part, rows, columns)
            above_upper.index_add_(0, part[:, 0], _count_above(logits, offset))
            above_lower.index_add_(0, part[:, 0], _count_above(logits, -offset))
            inside.append(logits > 0)
        stability = above_upper.float() / above_lower.float()
        return cls(touched, full, outline, torch.cat(inside), stability)

    def cut_out(self, indices: Sequence[int], min_stability: float, tile_size: tuple[int, int]) -> Iterator[StableMask]:
        """Yield the masks that are stable enough and have a pixel, with their `indices` in the caller's order."""
        stable = self.stability >= min_stability if min_stability > 0 else torch.ones_like(self.stability) > 0
        wanted = stable[self.outline[:, 0]]
        outline, inside = self.outline[wanted].cpu().numpy(), self.inside[wanted].cpu().numpy()
        touched, full, stability = (values.cpu().numpy() for values in (self.touched, self.full, self.stability))
        starts = np.searchsorted(outline[:, 0], np.arange(len(stability) + 1))
        for i in stable.nonzero()[:, 0].tolist():
            own = slice(starts[i], starts[i + 1])
            cut = _cut(touched[i], full[i], outline[own, 1:], inside[own], tile_size)
            if cut is not None:
                yield StableMask(indices[i], *cut, float(stability[i]))


def _extremes(coarse: Tensor, which: Tensor, rows: _Axis, columns: _Axis) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest cell that each block depends on, ``(K, R, C)`` each."""
    height, width = coarse.shape[1:]
    lines = (which[:, None] * height + rows.cells.flatten()).flatten()
    strips = coarse.view(-1, width).index_select(0, lines).view(-1, *rows.cells.shape, width)
    # What is taken together lies in the last but one dimension, where torch reduces fastest.
    lowest, highest = (extreme.transpose(1, 2).contiguous() for extreme in (strips.amin(dim=2), strips.amax(dim=2)))
    cells, shape = columns.cells.flatten(), columns.cells.shape
    lowest = lowest.index_select(1, cells).unflatten(1, shape).amin(dim=2)
    highest = highest.index_select(1, cells).unflatten(1, shape).amax(dim=2)
    return lowest.transpose(1, 2), highest.transpose(1, 2)


def _interpolate(coarse: Tensor, which: Tensor, places: Tensor, rows: _Axis, columns: _Axis) -> Tensor:
    """Return the logits of N blocks, ``(N, BLOCK_PX, BLOCK_PX)``; NaN, which is above nothing, beyond the tile."""
    mask, row, column = places.unbind(dim=1)
    height, width = coarse.shape[1:]
    first_cells = (which[mask, None] * height + rows.cells[row]) * width
    cells = coarse.take(first_cells[:, :, None] + columns.cells[column][:, None])
    return rows.weights[row] @ (cells @ columns.weights[column].mT)


def _count_above(logits: Tensor, cut: float) -> Tensor:
    """Return how many pixels of each block lie above a cut, ``(N,)`` int64."""
    # torch counts ones in float32, exact up to 2 ** 24, several times faster than truths.
    return torch.gt(logits, cut, out=torch.empty_like(logits)).sum(dim=(1, 2)).long()


def _cut(
    touched: NDArray[np.bool_],
    full: NDArray[np.bool_],
    places: NDArray[np.int64],
    blocks: NDArray[np.bool_],
    tile_size: tuple[int, int],
) -> tuple[Window, NDArray[np.bool_]] | None:
    """Put the blocks of one mask together; return it with its bounding box, or None where it has no pixel."""
    if not touched.any():
        return None
    top, bottom = _range(touched.any(axis=1))
    left, right = _range(touched.any(axis=0))
    canvas = np.zeros((bottom - top, right - left, BLOCK_PX, BLOCK_PX), np.bool_)
    canvas[full[top:bottom, left:right]] = True
    canvas[places[:, 0] - top, places[:, 1] - left] = blocks
    flat = canvas.transpose(0, 2, 1, 3).reshape((bottom - top) * BLOCK_PX, (right - left) * BLOCK_PX)
    return _trim(flat[: tile_size[0] - top * BLOCK_PX, : tile_size[1] - left * BLOCK_PX], left, top)


def _trim(mask: NDArray[np.bool_], left: int, top: int) -> tuple[Window, NDArray[np.bool_]] | None:
    """Cut a mask that begins at that block to its pixels; None where it has none."""
    occupied_rows = mask.any(axis=1)
    if not occupied_rows.any():
        return None
    row, row_stop = _range(occupied_rows)
    col, col_stop = _range(mask.any(axis=0))
    window = Window(left * BLOCK_PX + col, top * BLOCK_PX + row, col_stop - col, row_stop - row)
    return window, mask[row:row_stop, col:col_stop]


def _range(occupied: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the first true position and the one after the last."""
    return int(occupied.argmax()), len(occupied) - int(occupied[::-1].argmax())
