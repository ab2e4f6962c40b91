from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_sam import Planted, planted_sam, wrapped
from tiny_models import open_clip, tiny_clip, tiny_sam
from tiny_pipelines import settings_of

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.answers.answer import NO_CLASS, PackedMask
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.soft_vote import SoftVote
from rs_textseg_plugin.engine.clip.dense import DenseFeatures, answer_dense
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.pipelines.sam_clip import Observation, SamClip, Settings
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.sam.proposals import Proposal

CPU = torch.device("cpu")
CONTROL = RunControl(Budget(CPU))
TILE = (96, 128)


@pytest.fixture(scope="module")
def models() -> tuple[SamModel, ClipModel]:
    clip = ClipModel(tiny_clip(5), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.float32)
    return SamModel(tiny_sam(5), CPU, torch.float32), clip


def never() -> bool:
    return False


def pipeline(models, text="building|roof, road, -shadow", **given) -> SamClip:
    values = {"templates": "1", "clip_window_px": 64, "clip_stride_px": 32, **given}
    legend = Legend.of(parse_class_list(text), values.pop("competitor", "background"), closed_list=True)
    return SamClip(*models, settings_of("sam-clip", Settings, **values), legend)


def proposal(mask: np.ndarray, rating: float = 0.9, stability: float = 0.97) -> Proposal:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = Window(int(cols[0]), int(rows[0]), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1)
    return Proposal(window, PackedMask.of(mask[window.slices]), rating, stability)


def random_masks(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        mask = np.zeros(TILE, bool)
        row, col = rng.integers(0, TILE[0] - 20), rng.integers(0, TILE[1] - 20)
        mask[row : row + rng.integers(5, 60), col : col + rng.integers(5, 60)] = True
        masks.append(mask & (rng.random(TILE) > 0.1))
    return masks


def seen(masks: list[np.ndarray], seed: int = 0, valid: np.ndarray | None = None) -> Observation:
    rng = np.random.default_rng(seed)
    patches = rng.normal(size=(2, 4, 4, 32)).astype(np.float32)
    whole = rng.normal(size=(2, 32)).astype(np.float32)
    dense = DenseFeatures(
        (patches / np.linalg.norm(patches, axis=-1, keepdims=True)).astype(np.float16),
        (whole / np.linalg.norm(whole, axis=-1, keepdims=True)).astype(np.float16),
        (Window(0, 0, 64, 64), Window(32, 0, 64, 64)),
        Window(0, 0, 64, 64),
        (64, 96),
        TILE,
        0.3,
        32,
    )
    everywhere = np.ones(TILE, bool) if valid is None else valid
    return Observation(tuple(proposal(mask) for mask in masks), dense, None, everywhere)


def literal_vote(method: SamClip, observation: Observation, masks, threshold, share, words, word_class):
    """Softmax, maximum over aliases, threshold, majority: pixel by pixel, from the definition."""
    class_map = answer_dense(observation.dense, words, 50.0)
    logits = class_map.logits(Window(0, 0, TILE[1], TILE[0]))
    softmax = torch.softmax(torch.from_numpy(logits), dim=0).numpy()
    per_class = np.stack([softmax[word_class == k].max(axis=0) for k in range(word_class.max() + 1)])
    results = []
    for mask in masks:
        votes = dict.fromkeys(range(-1, len(per_class)), 0)
        for row, col in np.argwhere(mask & observation.valid):
            pixel = per_class[:, row, col]
            votes[int(pixel.argmax()) if pixel.max() >= threshold else -1] += 1
        winner = max(votes, key=lambda k: votes[k])
        enough = votes[winner] >= share * sum(votes.values())
        results.append((winner if enough else -1, per_class[:, mask & observation.valid].mean(axis=1)))
    return results


@pytest.mark.parametrize(("threshold", "share"), [(0.0, 0.0), (0.4, 0.5), (0.7, 0.8)])
def test_the_vote_equals_its_definition_done_pixel_by_pixel(models, threshold, share):
    method = pipeline(models, vote="majority", prob_threshold=threshold, vote_share=share)
    masks, valid = random_masks(12), np.ones(TILE, bool)
    valid[:, :9] = False
    observation = seen(masks, valid=valid)
    words = models[1].embed_words(["building", "roof", "road", "shadow"], "1")
    expected = literal_vote(method, observation, masks, threshold, share, words, np.array([0, 0, 1, 2]))
    answer = method.answer(observation, CONTROL)
    assert [segment.label for segment in answer.segments] == [label for label, _ in expected]
    np.testing.assert_allclose([s.scores for s in answer.segments], [scores for _, scores in expected], atol=1e-4)
    assert answer.class_map is not None


def test_uncovered_pixels_can_be_left_out(models):
    method = pipeline(models, vote="majority", uncovered="nothing")
    assert method.answer(seen(random_masks(2)), CONTROL).class_map is None


def test_a_class_that_stands_alone_needs_a_higher_probability(models):
    assert pipeline(models, "building").prob_threshold == 0.6
    assert pipeline(models, "building, road").prob_threshold == 0.1
    assert pipeline(models, "building", prob_threshold=0.2).prob_threshold == 0.2


def test_a_threshold_of_one_abstains_everywhere(models):
    answer = pipeline(models, vote="majority", prob_threshold=1.0).answer(seen(random_masks(5)), CONTROL)
    assert {segment.label for segment in answer.segments} == {NO_CLASS}


def tile_image(seed: int = 0) -> TileImage:
    rgb = np.random.default_rng(seed).integers(0, 256, (*TILE, 3), np.uint8)
    return TileImage(rgb, np.ones(TILE, bool), Window(0, 0, TILE[1], TILE[0]))


def loose(**given):
    return {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1.0, "points_per_side": 3, **given}


def test_observing_does_not_depend_on_the_batch(models):
    method = pipeline(models, **loose())
    large, small = CONTROL, RunControl(Budget(CPU, batch_divisor=64))
    first = method.observe(tile_image(), large)
    second = method.observe(tile_image(), small)
    assert len(first.proposals) == len(second.proposals) > 0
    np.testing.assert_allclose(first.dense.patches, second.dense.patches, atol=2e-3)


@pytest.mark.parametrize("background", ["black", "mean", "image"])
def test_crops_are_judged_by_clips_own_picture_features(models, background):
    method = pipeline(models, "building, road, water", selector="crop", crop_background=background, **loose())
    image = tile_image()
    observation = method.observe(image, CONTROL)
    answer = method.answer(observation, CONTROL)
    assert answer.class_map is None
    assert len(answer.segments) == len(observation.proposals) > 0
    clip, words = models[1], models[1].embed_words(["building", "road", "water"], "1")
    for segment, chosen in zip(answer.segments, observation.proposals):
        features = clip.embed_pictures(literal_crop(image.rgb, chosen, background)[None])[0]
        expected = torch.softmax(torch.from_numpy(100 * words @ features), dim=0).numpy()
        np.testing.assert_allclose(segment.scores, expected, atol=0.02)  # features are kept in float16
        assert segment.label == segment.scores.argmax()


def literal_crop(rgb: np.ndarray, chosen: Proposal, background: str) -> np.ndarray:
    from PIL import Image

    fill = {"black": (0, 0, 0), "mean": (123, 117, 104), "image": (0, 0, 0)}[background]
    window, mask = chosen.window, chosen.mask.unpack()
    side = max(window.width, window.height)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = fill
    top, left = (side - window.height) // 2, (side - window.width) // 2
    for row in range(window.height):
        for col in range(window.width):
            if background == "image" or mask[row, col]:
                square[top + row, left + col] = rgb[window.row + row, window.col + col]
    return np.asarray(Image.fromarray(square).resize((64, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("selector", ["vote", "crop"])
def test_a_cancel_is_heard_while_a_tile_is_observed(models, selector):
    asked = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        pipeline(models, selector=selector, **loose(points_per_batch=1)).observe(
            tile_image(), RunControl(Budget(CPU), stop)
        )


def literal_soft_map(method, observation, words, weight, keeps_uncovered):
    """P = (dense + w * sum(q m)) / (1 + w * sum(q)), pixel by pixel; also the masks' means."""
    class_map = answer_dense(observation.dense, words, 50.0)
    softmax = torch.softmax(torch.from_numpy(class_map.logits(Window(0, 0, TILE[1], TILE[0]))), dim=0).numpy()
    own = np.stack([softmax[:2].max(axis=0), softmax[2], softmax[3]])
    over, under, covered, means = own.copy(), np.ones(TILE), np.zeros(TILE, bool), []
    for one in observation.proposals:
        mask = np.zeros(TILE, bool)
        mask[one.window.slices] = one.mask.unpack()
        means.append(own[:, mask & observation.valid].mean(axis=1))
        covered |= mask
        quality = min(1.0, max(0.0, one.predicted_iou * one.stability))
        for row, col in np.argwhere(mask):
            over[:, row, col] += weight * quality * means[-1]
            under[row, col] += weight * quality
    return over / under * (covered | keeps_uncovered), means


def softly_seen() -> Observation:
    """Ten masks of all qualities, two of them out of 0..1, over a tile with a gap in its data."""
    masks, valid = random_masks(10), np.ones(TILE, bool)
    valid[:, :9] = False
    observation = seen(masks, valid=valid)
    ratings = [1.4, -0.2, *np.linspace(0.3, 1, 8)]
    return replace(
        observation, proposals=tuple(proposal(mask, *pair) for mask, pair in zip(masks, zip(ratings, [1] * 10)))
    )


@pytest.mark.parametrize(("weight", "uncovered"), [(1.0, "clip"), (4.0, "nothing")])
def test_the_soft_vote_equals_its_definition_done_pixel_by_pixel(models, weight, uncovered):
    method = pipeline(models, vote="soft", vote_weight=weight, uncovered=uncovered, prob_threshold=0.4)
    observation = softly_seen()
    words = models[1].embed_words(["building", "roof", "road", "shadow"], "1")
    expected, means = literal_soft_map(method, observation, words, weight, uncovered == "clip")
    answer = method.answer(observation, CONTROL)
    found = answer.class_map.probabilities(method._legend, Window(0, 0, TILE[1], TILE[0]))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert answer.segments == ()
    labels = [int(mean.argmax()) if mean.max() >= 0.4 else NO_CLASS for mean in means]
    assert answer.found == tuple(labels)
    assert len(set(labels)) > 1


def test_soft_instances_take_the_best_class_of_the_map_that_they_were_drawn_into(models):
    method = pipeline(models, vote="soft", vote_weight=4, objects="instances", prob_threshold=0.45)
    observation = softly_seen()
    words = models[1].embed_words(["building", "roof", "road", "shadow"], "1")
    expected, _ = literal_soft_map(method, observation, words, 4.0, True)
    answer = method.answer(observation, CONTROL)
    assert isinstance(answer.class_map, SoftVote)
    assert len(answer.segments) == len(answer.found) == 10
    for segment in answer.segments:
        mask = np.zeros(TILE, bool)
        mask[segment.window.slices] = segment.mask.unpack()
        mean = expected[:, mask & observation.valid].mean(axis=1)
        np.testing.assert_allclose(segment.scores, mean, atol=1e-4)
        assert segment.label == (mean.argmax() if mean.max() >= 0.45 else NO_CLASS)
    assert {segment.label for segment in answer.segments} > {NO_CLASS}


@pytest.mark.parametrize("vote", ["majority", "soft"])
def test_a_tile_without_masks_is_answered_by_the_dense_map(models, vote):
    method, whole = pipeline(models, vote=vote), Window(0, 0, TILE[1], TILE[0])
    answer = method.answer(seen([]), CONTROL)
    dense = answer_dense(seen([]).dense, method._words, 50.0)
    assert answer.found == ()
    np.testing.assert_array_equal(
        answer.class_map.probabilities(method._legend, whole), dense.probabilities(method._legend, whole)
    )


PATCH_PX = 32  # of the planted dense map: 4 x 4 patches over a tile of 128 px


def asked_for_regions(clip: ClipModel, cells: int = 8, rating: float = 0.95, **given):
    """A pipeline whose SAM knows one square of 10 px in the middle of each of 8 x 8 cells of 16 px.

    Returns it with an observation of no proposals whose dense map is "road" in one patch and "building" elsewhere.
    """
    side_px = 128 // cells
    logits = torch.full((cells**2, 3, 128, 128), -8.0)
    for cell in range(cells**2):
        row, col = cell // cells * side_px, cell % cells * side_px
        logits[cell, 0, row + 3 : row + 13, col + 3 : col + 13] = 8.0
    ratings = torch.zeros(cells**2, 3)
    ratings[:, 0] = rating
    sam = planted_sam(Planted(logits, ratings), 128, (128, 128))
    method = pipeline((wrapped(sam), clip), "building, road", region_prompts=True, **given)
    words = clip.embed_words(["building", "road"], "1")
    patches = np.tile(words[0], (1, 4, 4, 1))
    patches[0, 1, 2] = words[1]
    window = Window(0, 0, 128, 128)
    dense = DenseFeatures(
        patches.astype(np.float16), np.zeros((1, 32), np.float16), (window,), window, (128, 128), (128, 128), 0.0, 0
    )
    valid = np.ones((128, 128), bool)
    return sam, method, Observation((), dense, None, valid, np.zeros((1, 1, 1, 1), np.float16))


def test_each_region_of_the_dense_map_is_asked_at_its_innermost_pixel(models):
    sam, method, observation = asked_for_regions(models[1], logit_scale=500, vote="majority")
    segments = method.answer(observation, CONTROL).segments
    assert sam.mask_decoder.calls == 1
    by_label = {segment.label: segment.window for segment in segments}
    assert set(by_label) == {0, 1}
    road = by_label[1]
    assert abs(road.col + road.width / 2 - 80) <= 8  # the middle of the patch, give or take half a cell of 16 px
    assert abs(road.row + road.height / 2 - 48) <= 8


def test_small_regions_and_those_beyond_the_limit_are_not_asked(models):
    for given in ({"region_min_px": 3000}, {"region_max_points": 1}):
        _, method, observation = asked_for_regions(models[1], logit_scale=500, vote="majority", **given)
        assert [one.label for one in method.answer(observation, CONTROL).segments] == [0]
    sam, method, observation = asked_for_regions(models[1], vote="majority", prob_threshold=1.0)
    assert method.answer(observation, CONTROL).segments == ()
    assert sam.mask_decoder.calls == 0


@pytest.mark.parametrize("grid_rating", [0.9, 0.99])
def test_of_a_region_and_a_grid_proposal_of_the_same_box_the_better_rated_stays(models, grid_rating):
    _, method, observation = asked_for_regions(models[1], logit_scale=500, vote="soft")
    found = method.answer(observation, CONTROL).class_map.votes
    assert len(found) == 2
    mask = np.zeros((128, 128), bool)
    mask[found[0].window.slices] = True
    same = replace(observation, proposals=(proposal(mask, grid_rating, 1.0),))
    votes = method.answer(same, CONTROL).class_map.votes
    assert len(votes) == 2
    (quality,) = (one.quality for one in votes if one.window == found[0].window)
    assert quality == pytest.approx(max(grid_rating, found[0].quality))


def test_a_cancel_is_heard_before_regions_are_asked(models):
    sam, method, observation = asked_for_regions(models[1], logit_scale=500, points_per_batch=1)
    with pytest.raises(Cancelled):
        method.answer(observation, RunControl(Budget(CPU), lambda: sam.mask_decoder.calls == 1))
    assert sam.mask_decoder.calls == 1


def test_regions_are_asked_in_the_budgets_batches(models):
    sam, method, observation = asked_for_regions(models[1], logit_scale=500, points_per_batch=64)
    method.answer(observation, RunControl(Budget(CPU, batch_divisor=64)))
    assert sam.mask_decoder.calls == 2


def test_sams_features_are_kept_only_where_regions_will_be_asked(models):
    def observed(**given):
        return pipeline(models, **loose(**given)).observe(tile_image(), CONTROL)

    plain, asking = observed(), observed(region_prompts=True)
    assert plain.embedding is None
    assert observed(region_prompts=True, selector="crop").embedding is None
    assert asking.embedding.dtype == np.float16
    assert asking.nbytes == plain.nbytes + asking.embedding.nbytes
    answer = pipeline(models, region_prompts=True, vote="soft", **loose()).answer(asking, CONTROL)
    assert len(answer.found) > len(plain.proposals)
