"""The masks are those of segment_anything's own generator, on planted answers and on real architectures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from controls import control
from planted_sam import RATING_CUT, Planted, embedding_for, plant, planted_sam, wrapped
from segment_anything import SamAutomaticMaskGenerator
from tiny_models import tiny_sam

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import PackedMask
from rs_textseg_plugin.engine.models.sam_architecture import SamConfig, build_sam
from rs_textseg_plugin.engine.sam.proposals import (
    Proposal,
    ProposalSettings,
    grid_points,
    propose,
    propose_at,
    without_duplicates,
)


def never() -> bool:
    return False


def generated(sam, settings: ProposalSettings, rgb: np.ndarray) -> list[dict]:
    generator = SamAutomaticMaskGenerator(
        sam,
        points_per_side=settings.points_per_side,
        points_per_batch=settings.points_per_batch,
        pred_iou_thresh=settings.pred_iou_thresh,
        stability_score_thresh=settings.stability_score_thresh,
        stability_score_offset=settings.stability_score_offset,
        box_nms_thresh=settings.box_nms_thresh,
    )
    return generator.generate(rgb)


def on_tile(proposal: Proposal, tile_size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(tile_size, bool)
    mask[proposal.window.slices] = proposal.mask.unpack()
    return mask


def assert_same(ours: list[Proposal], theirs: list[dict], tile_size: tuple[int, int]) -> None:
    """Match each reference mask with the proposal of the same rating that overlaps it best, each used once.

    The generator also returns masks without a pixel when the stability test is off; those are no proposals.
    """
    theirs = [mask for mask in theirs if mask["area"] > 0]
    assert len(ours) == len(theirs)
    left = list(ours)
    for mask in theirs:
        near = [one for one in left if abs(one.predicted_iou - mask["predicted_iou"]) <= 1e-4]
        overlaps = [overlap(on_tile(one, tile_size), mask["segmentation"]) for one in near]
        assert max(overlaps, default=0) >= 0.999
        found = near[int(np.argmax(overlaps))]
        assert found.stability == pytest.approx(mask["stability_score"], abs=1e-4)
        left.remove(found)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def is_tight(proposal: Proposal) -> bool:
    mask = proposal.mask.unpack()
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return mask.shape == (proposal.window.height, proposal.window.width) and all(edge.any() for edge in edges)


@pytest.mark.parametrize(
    ("tile_size", "model_px", "coarse_px", "points_per_side", "pass_rate", "seed"),
    [
        ((1024, 1024), 1024, 256, 5, 0.4, 0),  # SAM's own size
        ((683, 1024), 1024, 256, 4, 0.4, 1),  # a tile at the end of a raster
        ((1024, 311), 1024, 256, 3, 0.8, 2),
        ((201, 300), 1024, 256, 3, 0.4, 3),  # much smaller than the model's input
        ((777, 513), 256, 64, 4, 0.4, 4),  # larger than the model's input
        ((256, 256), 256, 64, 12, 0.05, 5),
        ((256, 256), 256, 128, 6, 0.8, 6),  # patches of 8
        ((31, 7), 256, 64, 6, 0.8, 7),  # less than one block
        ((33, 97), 256, 64, 6, 0.4, 8),
    ],
)
def test_the_masks_are_those_of_the_reference_generator(
    tile_size, model_px, coarse_px, points_per_side, pass_rate, seed
):
    planted = plant(points_per_side, coarse_px, pass_rate, seed)
    sam = planted_sam(planted, model_px, tile_size)
    settings = ProposalSettings(points_per_side, points_per_batch=7)
    model = wrapped(sam)
    ours = propose(model, embedding_for(model, tile_size), settings, None, control())
    theirs = generated(sam, settings, np.zeros((*tile_size, 3), np.uint8))
    assert_same(ours, theirs, tile_size)
    assert len(ours) > 1
    assert all(is_tight(one) for one in ours)


@pytest.mark.parametrize("offset", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("threshold", [0.0, 0.8, 0.97])
def test_the_stability_test_is_that_of_the_reference_generator(offset, threshold):
    planted = plant(5, 64, 0.6, seed=11)
    sam, tile_size = planted_sam(planted, 256, (240, 256)), (240, 256)
    settings = ProposalSettings(5, stability_score_offset=offset, stability_score_thresh=threshold)
    model = wrapped(sam)
    ours = propose(model, embedding_for(model, tile_size), settings, None, control())
    assert_same(ours, generated(sam, settings, np.zeros((*tile_size, 3), np.uint8)), tile_size)
    assert ours


@pytest.mark.parametrize("box_nms_thresh", [0.1, 0.5, 0.9])
def test_duplicates_are_removed_as_in_the_reference_generator(box_nms_thresh):
    planted = plant(6, 64, 0.7, seed=12, objects=20)
    sam, tile_size = planted_sam(planted, 256, (256, 200)), (256, 200)
    settings = ProposalSettings(6, box_nms_thresh=box_nms_thresh)
    model = wrapped(sam)
    ours = propose(model, embedding_for(model, tile_size), settings, None, control())
    assert_same(ours, generated(sam, settings, np.zeros((*tile_size, 3), np.uint8)), tile_size)


def wide_sam(seed: int):
    """Return another real architecture: patches of 8, narrow, no relative positions."""
    torch.manual_seed(seed)
    config = SamConfig(256, 8, 32, 2, 2, 96, 8, (1,), encoder_rel_pos=False, prompt_dim=64, decoder_mlp_dim=96)
    return build_sam(config)


@pytest.mark.parametrize(("make", "seed", "tile_size"), [(tiny_sam, 1, (256, 256)), (wide_sam, 2, (150, 211))])
def test_a_real_architecture_gives_the_masks_of_the_reference_generator(make, seed, tile_size):
    """With random weights masks are alike and badly rated, so none is dropped; the offset is of their logits' size."""
    sam = make(seed)
    rgb = np.random.default_rng(seed).integers(0, 256, (*tile_size, 3), np.uint8)
    settings = ProposalSettings(3, 4, pred_iou_thresh=0, stability_score_thresh=0.01, stability_score_offset=0.02)
    settings = replace(settings, box_nms_thresh=1.0)
    model = wrapped(sam)
    ours = propose(model, model.embed(rgb), settings, None, control())
    theirs = generated(sam, settings, rgb)
    assert_same(ours, theirs, tile_size)
    assert len(ours) >= 9
    assert min(one.predicted_iou for one in ours) < 0  # a threshold of 0 drops nothing


def test_nothing_is_found_where_no_mask_is_rated_well():
    planted = plant(4, 64, pass_rate=0, seed=0)
    model = wrapped(planted_sam(planted, 256, (256, 256)))
    assert propose(model, embedding_for(model, (256, 256)), ProposalSettings(4), None, control()) == []


def test_nothing_is_found_where_every_mask_is_empty():
    planted = Planted(torch.full((16, 3, 64, 64), -5.0), torch.ones(16, 3))
    model = wrapped(planted_sam(planted, 256, (256, 256)))
    settings = ProposalSettings(4, stability_score_thresh=0.0)
    assert propose(model, embedding_for(model, (256, 256)), settings, None, control()) == []


def test_the_best_rated_comes_first():
    model = wrapped(planted_sam(plant(6, 64, 0.7, seed=3), 256, (256, 256)))
    found = propose(model, embedding_for(model, (256, 256)), ProposalSettings(6), None, control())
    ratings = [one.predicted_iou for one in found]
    assert ratings == sorted(ratings, reverse=True)
    assert len(set(ratings)) > 1
    assert min(ratings) > RATING_CUT


def test_points_without_data_are_not_asked():
    planted = Planted(torch.full((16, 3, 64, 64), 5.0), torch.ones(16, 3))
    planted.logits[:] = -5
    for point in range(16):  # each point has an object of its own around it
        row, col = point // 4 * 16, point % 4 * 16
        planted.logits[point, 0, row + 4 : row + 12, col + 4 : col + 12] = 5
    model = wrapped(planted_sam(planted, 256, (200, 256)))
    valid = np.zeros((200, 256), bool)
    valid[:50, 64:] = True  # the upper row of points but its first
    found = propose(model, embedding_for(model, (200, 256)), ProposalSettings(4), valid, control())
    assert sorted(one.window.col // 64 for one in found) == [1, 2, 3]
    assert {one.window.row // 50 for one in found} == {0}


def test_a_tile_without_data_never_reaches_the_decoder():
    sam = planted_sam(plant(4, 64, 1, seed=0), 256, (256, 256))
    model = wrapped(sam)
    valid = np.zeros((256, 256), bool)
    assert propose(model, embedding_for(model, (256, 256)), ProposalSettings(4), valid, control()) == []
    assert sam.mask_decoder.calls == 0


def test_the_batch_changes_nothing_but_the_number_of_calls():
    planted = plant(4, 64, 0.6, seed=5)
    results = []
    for batch in (1, 7, 64):
        sam = planted_sam(planted, 256, (256, 256))
        model = wrapped(sam)
        settings = ProposalSettings(4).with_batch(batch)
        found = propose(model, embedding_for(model, (256, 256)), settings, None, control())
        results.append([(one.window, one.predicted_iou, one.mask.bits.tobytes()) for one in found])
        assert sam.mask_decoder.calls == -(-16 // batch)
    assert results[0] == results[1] == results[2]


def test_a_run_is_cancelled_between_batches():
    sam = planted_sam(plant(4, 64, 0.6, seed=5), 256, (256, 256))
    model = wrapped(sam)
    embedding = embedding_for(model, (256, 256))
    with pytest.raises(Cancelled):
        propose(model, embedding, ProposalSettings(4, 4), None, control(lambda: sam.mask_decoder.calls == 2))
    assert sam.mask_decoder.calls == 2


def test_points_that_are_given_are_asked_as_those_of_the_grid_are():
    sam = planted_sam(plant(4, 64, 0.6, seed=5), 256, (256, 256))
    model = wrapped(sam)
    embedding, settings = embedding_for(model, (256, 256)), ProposalSettings(4, 4)
    points = grid_points(4, (256, 256))
    assert windows(propose_at(points, model, embedding, settings, control())) == windows(
        propose(model, embedding, settings, None, control())
    )
    some = propose_at(points[[3, 9]], model, embedding, settings, control())
    assert 0 < len(some) < len(propose_at(points, model, embedding, settings, control()))
    assert propose_at(np.empty((0, 2)), model, embedding, settings, control()) == []
    with pytest.raises(Cancelled):
        propose_at(points, model, embedding, settings, control(lambda: True))


def windows(proposals: list[Proposal]) -> list[Window]:
    return [one.window for one in proposals]


def test_of_proposals_from_two_sources_the_better_rated_of_each_box_stays():
    def square(col: int, rating: float) -> Proposal:
        return Proposal(Window(col, 0, 20, 20), PackedMask.of(np.ones((20, 20), bool)), rating, 1.0)

    kept = without_duplicates([square(0, 0.9), square(50, 0.8), square(1, 0.95), square(51, 0.7)], 0.7)
    assert [(one.window.col, one.predicted_iou) for one in kept] == [(1, 0.95), (50, 0.8)]


def test_the_grid_is_that_of_the_reference_generator():
    from segment_anything.utils.amg import build_point_grid

    expected = build_point_grid(5) * np.array([300, 200])
    assert np.allclose(grid_points(5, (200, 300)), expected, rtol=0, atol=1e-9)
