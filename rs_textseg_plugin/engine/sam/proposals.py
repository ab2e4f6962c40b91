"""Every object of a tile that SAM can find from a grid of points, before anything is known of what it is.

The masks are those of segment_anything's ``SamAutomaticMaskGenerator`` (without crops and without the removal of
small regions), at a fraction of its cost: masks that SAM itself rates low are dropped before anything is resized,
and the others are resized only where their outline runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import PackedMask
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.models.torchvision_ops import greedy_nms
from rs_textseg_plugin.engine.sam.mask_blocks import CoarseFrame, find_stable_masks


@dataclass(frozen=True)
class ProposalSettings:
    """What is asked of SAM; names and defaults are those of ``SamAutomaticMaskGenerator``.

    Attributes:
        points_per_side: point prompts along each side of a tile.
        points_per_batch: point prompts that go through the decoder at once.
        pred_iou_thresh: masks that SAM rates no higher are dropped, 0..1; 0: none is.
        stability_score_thresh: masks that are less stable are dropped, 0..1; 0: none is.
        stability_score_offset: cut of that test in logits, at or above 0.
        box_nms_thresh: of masks whose boxes overlap more (IoU), the best rated stays, 0..1.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7

    def with_batch(self, points_per_batch: int) -> ProposalSettings:
        """Return the same settings with another batch, which changes nothing but time and memory."""
        return replace(self, points_per_batch=points_per_batch)


@dataclass(frozen=True)
class Proposal:
    """One object that SAM found.

    Attributes:
        window: bounding box of the mask on the tile, tight.
        mask: the object inside that window.
        predicted_iou: SAM's own rating, about 0..1.
        stability: how little the mask depends on where its logits are cut, 0..1.
    """

    window: Window
    mask: PackedMask
    predicted_iou: float
    stability: float


def propose(
    model: SamModel,
    embedding: SamEmbedding,
    settings: ProposalSettings,
    valid: NDArray[np.bool_] | None,
    control: RunControl,
) -> list[Proposal]:
    """Find the objects of a tile from a grid of points, best rated first.

    Args:
        model: a loaded SAM.
        embedding: of the tile.
        settings: grid, thresholds and batch.
        valid: ``(H, W)`` bool, pixels that hold data; points elsewhere are not asked. None: all hold data.
        control: is asked before every batch of points.

    Raises:
        Cancelled: the user has given up.
    """
    points = _without_data_gaps(grid_points(settings.points_per_side, embedding.original_size), valid)
    return propose_at(points, model, embedding, settings, control)


@torch.inference_mode()
def propose_at(
    points_px: NDArray[np.float64],
    model: SamModel,
    embedding: SamEmbedding,
    settings: ProposalSettings,
    control: RunControl,
) -> list[Proposal]:
    """Find the objects of a tile at points ``(N, 2)``, x and y in the tile's pixels, best rated first.

    The other arguments and the errors are those of `propose`; the grid of `settings` is not used.
    """
    frame = CoarseFrame(model.input_px, embedding.input_size, embedding.original_size)
    candidates: list[Proposal] = []
    for start in range(0, len(points_px), settings.points_per_batch):
        control.check()
        batch = points_px[start : start + settings.points_per_batch]
        logits, ratings = model.decode_points(embedding, batch, settings.pred_iou_thresh or None)
        candidates += _good_masks(logits.flatten(0, 1), ratings.flatten(), frame, settings)
    return without_duplicates(candidates, settings.box_nms_thresh)


def grid_points(points_per_side: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the centres of a regular grid of cells over a tile, ``(N * N, 2)`` x and y in pixels, row by row."""
    height, width = size
    centres = np.linspace(0.5, points_per_side - 0.5, points_per_side) / points_per_side
    y, x = np.meshgrid(centres * height, centres * width, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _without_data_gaps(points_px: NDArray[np.float64], valid: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    if valid is None:
        return points_px
    columns, rows = points_px.astype(np.int64).T
    return points_px[valid[rows, columns]]


def _good_masks(logits: Tensor, ratings: Tensor, frame: CoarseFrame, settings: ProposalSettings) -> list[Proposal]:
    """Return the masks ``(K, h, w)`` that pass both thresholds; the cheaper one comes first."""
    lowest = settings.pred_iou_thresh if settings.pred_iou_thresh > 0 else -torch.inf
    rated = (ratings > lowest).nonzero()[:, 0]
    found = find_stable_masks(logits, rated, frame, settings.stability_score_offset, settings.stability_score_thresh)
    own_ratings = ratings.tolist()
    return [
        Proposal(stable.window, PackedMask.of(stable.inside), own_ratings[stable.index], stable.stability)
        for stable in found
    ]


def without_duplicates(candidates: Sequence[Proposal], box_nms_thresh: float) -> list[Proposal]:
    """Return proposals best rated first, without those whose box overlaps a better one's by more (IoU)."""
    # segment_anything's boxes end at the last pixel, not after it, so a line of pixels has no area.
    corners = [(w.col, w.row, w.col_stop - 1, w.row_stop - 1) for w in (candidate.window for candidate in candidates)]
    boxes = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)
    ratings = torch.tensor([candidate.predicted_iou for candidate in candidates], dtype=torch.float32)
    return [candidates[i] for i in greedy_nms(boxes, ratings, box_nms_thresh).tolist()]
