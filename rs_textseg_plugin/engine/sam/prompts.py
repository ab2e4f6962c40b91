"""One mask for each prompt that was meant for one object: boxes, and sets of points on it and beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rs_textseg_plugin.engine.answers.answer import PackedMask
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.sam.mask_blocks import CoarseFrame, find_stable_masks
from rs_textseg_plugin.engine.sam.proposals import Proposal

_STABILITY_OFFSET = 1.0  # as in segment_anything; here stability is measured and nothing is dropped for it


@dataclass(frozen=True)
class PointSet:
    """Points that describe one object together.

    Attributes:
        points_px: ``(P, 2)`` float64, x and y in the tile's pixels, P of at least 1 unless a box goes with them.
        is_inside: ``(P,)`` bool, whether a point lies on the object or beside it.
    """

    points_px: NDArray[np.float64]
    is_inside: NDArray[np.bool_]


@dataclass(frozen=True)
class Drawing:
    """How prompts are answered.

    Attributes:
        multimask: SAM draws three masks and the one that it rates best is taken; else it draws a single one.
        batch: prompts that go through the decoder at once.
        control: is asked before every batch.
    """

    multimask: bool
    batch: int
    control: RunControl


def draw_boxes(
    boxes_px: NDArray[np.float64], model: SamModel, embedding: SamEmbedding, drawing: Drawing
) -> list[Proposal | None]:
    """Return the mask in each box ``(N, 4)`` (left, top, right, bottom in the tile's pixels); None: it has no pixel.

    Raises:
        Cancelled: the user has given up.
    """
    frame = _frame(model, embedding)
    drawn: list[Proposal | None] = []
    for batch in _batches(boxes_px, drawing):
        drawn += _best_masks(*model.decode_boxes(embedding, batch, drawing.multimask), frame)
    return drawn


def draw_middles(
    boxes_px: NDArray[np.float64], model: SamModel, embedding: SamEmbedding, drawing: Drawing
) -> list[Proposal | None]:
    """Return the mask at the middle of each box ``(N, 4)``: of SAM's three the one that fits the box best.

    Raises:
        Cancelled: the user has given up.
    """
    frame = _frame(model, embedding)
    drawn: list[Proposal | None] = []
    for batch in _batches(boxes_px, drawing):
        logits, ratings = model.decode_points(embedding, (batch[:, :2] + batch[:, 2:]) / 2)
        drawn += _best_masks(logits, ratings, frame, _box_fits(logits, batch, frame))
    return drawn


def _batches(boxes_px: NDArray[np.float64], drawing: Drawing) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(boxes_px), drawing.batch):
        drawing.control.check()
        yield boxes_px[start : start + drawing.batch]


@torch.inference_mode()
def _box_fits(logits: Tensor, boxes_px: NDArray[np.float64], frame: CoarseFrame) -> Tensor:
    """Return ``(N, M)``: the IoU of the rectangle around each mask ``(N, M, h, w)`` with its own box ``(N, 4)``."""
    cells = logits.shape[-1] / frame.model_px * frame.input_size[1] / frame.tile_size[1]
    boxes = torch.as_tensor(boxes_px * cells, dtype=torch.float32, device=logits.device)[:, None]
    inside = logits > 0
    (left, right), (top, bottom) = _span(inside.any(dim=2)), _span(inside.any(dim=3))
    width = torch.minimum(right, boxes[..., 2]) - torch.maximum(left, boxes[..., 0])
    height = torch.minimum(bottom, boxes[..., 3]) - torch.maximum(top, boxes[..., 1])
    common = width.clamp(min=0) * height.clamp(min=0)
    of_box = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
    fits: Tensor = common / ((right - left) * (bottom - top) + of_box - common)
    return fits


def _span(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the first True of each row ``(..., n)`` begins and the last one ends; both 0 where there is none."""
    flags = occupied.float()
    start, stop = flags.argmax(dim=-1), flags.shape[-1] - flags.flip(-1).argmax(dim=-1)
    return start * occupied.any(dim=-1), stop * occupied.any(dim=-1)


def draw_point_sets(
    sets: Sequence[PointSet], model: SamModel, embedding: SamEmbedding, drawing: Drawing
) -> list[Proposal | None]:
    """Return the mask that each set of points describes; None: it has no pixel.

    Sets of one length share a call; padding shorter ones would change their masks.

    Raises:
        Cancelled: the user has given up.
    """
    frame = _frame(model, embedding)
    drawn: list[Proposal | None] = [None] * len(sets)
    for numbers in _alike(sets, drawing.batch):
        drawing.control.check()
        points = np.stack([sets[number].points_px for number in numbers])
        is_inside = np.stack([sets[number].is_inside for number in numbers])
        masks = _best_masks(*model.decode_point_sets(embedding, points, is_inside, drawing.multimask), frame)
        for number, mask in zip(numbers, masks):
            drawn[number] = mask
    return drawn


def draw_together(
    box_px: NDArray[np.float64] | None, points: PointSet, model: SamModel, embedding: SamEmbedding, multimask: bool
) -> Proposal | None:
    """Return the mask of one object that a box ``(4,)`` and points (which may be none) describe; None: no pixel."""
    decoded = model.decode_together(embedding, box_px, points.points_px, points.is_inside, multimask)
    return _best_masks(*decoded, _frame(model, embedding))[0]


def _alike(sets: Sequence[PointSet], batch: int) -> list[list[int]]:
    """Return the numbers of the sets in batches of one length."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, point_set in enumerate(sets):
        by_length[len(point_set.points_px)].append(number)
    return [numbers[i : i + batch] for numbers in by_length.values() for i in range(0, len(numbers), batch)]


def _frame(model: SamModel, embedding: SamEmbedding) -> CoarseFrame:
    return CoarseFrame(model.input_px, embedding.input_size, embedding.original_size)


@torch.inference_mode()
def _best_masks(
    logits: Tensor, ratings: Tensor, frame: CoarseFrame, fits: Tensor | None = None
) -> list[Proposal | None]:
    """Cut the best of each prompt's masks ``(N, M, h, w)`` out at the tile's resolution.

    The best is the one with the highest of `fits` ``(N, M)``, or, without them, of `ratings` ``(N, M)``.
    """
    best = (ratings if fits is None else fits).argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    own_ratings = ratings[rows, best].tolist()
    drawn: list[Proposal | None] = [None] * len(own_ratings)
    for stable in find_stable_masks(logits[rows, best], rows, frame, _STABILITY_OFFSET, 0.0):
        mask = PackedMask.of(stable.inside)
        drawn[stable.index] = Proposal(stable.window, mask, own_ratings[stable.index], stable.stability)
    return drawn
