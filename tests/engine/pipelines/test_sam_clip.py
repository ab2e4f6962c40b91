from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import open_clip, tiny_clip, tiny_sam

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import SAM_CLIP
from rs_textseg_plugin.engine.dense import DenseFeatures, answer_dense
from rs_textseg_plugin.engine.device import Budget
from rs_textseg_plugin.engine.legend import Legend
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.pipelines.sam_clip import Observation, SamClip
from rs_textseg_plugin.engine.proposals import Proposal
from rs_textseg_plugin.engine.raster import TileImage
from rs_textseg_plugin.engine.segments import NO_CLASS, PackedMask

CPU = torch.device("cpu")
TILE = (96, 128)


@pytest.fixture(scope="module")
def models() -> tuple[SamModel, ClipModel]:
    clip = ClipModel(tiny_clip(5), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.float32)
    return SamModel(tiny_sam(5), CPU, torch.float32), clip


def pipeline(models, text="building|roof, road, -shadow", **given) -> SamClip:
    parameters = SAM_CLIP.read_parameters({"templates": "1", "clip_window_px": 64, "clip_stride_px": 32, **given})
    return SamClip(*models, parameters, Legend.of(parse_class_list(text), str(parameters["competitor"])))


def proposal(mask: np.ndarray) -> Proposal:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = Window(int(cols[0]), int(rows[0]), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1)
    return Proposal(window, PackedMask.of(mask[window.slices]), 0.9, 0.97)


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
    method = pipeline(models, prob_threshold=threshold, vote_share=share)
    masks, valid = random_masks(12), np.ones(TILE, bool)
    valid[:, :9] = False
    observation = seen(masks, valid=valid)
    words = models[1].embed_words(["building", "roof", "road", "shadow"], "1")
    expected = literal_vote(method, observation, masks, threshold, share, words, np.array([0, 0, 1, 2]))
    answer = method.answer(observation)
    assert [segment.label for segment in answer.segments] == [label for label, _ in expected]
    np.testing.assert_allclose([s.scores for s in answer.segments], [scores for _, scores in expected], atol=1e-4)
    assert answer.class_map is not None


def test_uncovered_pixels_can_be_left_out(models):
    assert pipeline(models, uncovered="nothing").answer(seen(random_masks(2))).class_map is None


def test_a_class_that_stands_alone_needs_a_higher_probability(models):
    assert pipeline(models, "building").prob_threshold == 0.6
    assert pipeline(models, "building, road").prob_threshold == 0.1
    assert pipeline(models, "building", prob_threshold=0.2).prob_threshold == 0.2


def test_a_threshold_of_one_abstains_everywhere(models):
    answer = pipeline(models, prob_threshold=1.0).answer(seen(random_masks(5)))
    assert {segment.label for segment in answer.segments} == {NO_CLASS}


def tile_image(seed: int = 0) -> TileImage:
    rgb = np.random.default_rng(seed).integers(0, 256, (*TILE, 3), np.uint8)
    return TileImage(rgb, np.ones(TILE, bool), Window(0, 0, TILE[1], TILE[0]))


def loose(**given):
    return {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1.0, "points_per_side": 3, **given}


def test_observing_does_not_depend_on_the_batch(models):
    method = pipeline(models, **loose())
    large, small = Budget(CPU), Budget(CPU, batch_divisor=64)
    first = method.observe(tile_image(), large, lambda: False)
    second = method.observe(tile_image(), small, lambda: False)
    assert len(first.proposals) == len(second.proposals) > 0
    np.testing.assert_allclose(first.dense.patches, second.dense.patches, atol=2e-3)


@pytest.mark.parametrize("background", ["black", "mean", "image"])
def test_crops_are_judged_by_clips_own_picture_features(models, background):
    method = pipeline(models, "building, road, water", selector="crop", crop_background=background, **loose())
    image = tile_image()
    observation = method.observe(image, Budget(CPU), lambda: False)
    answer = method.answer(observation)
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
        pipeline(models, selector=selector, **loose(points_per_batch=1)).observe(tile_image(), Budget(CPU), stop)


def test_an_observation_is_kept_for_other_words_and_thresholds_but_not_for_other_proposals():
    def key(**given):
        return SamClip.observation_key(SAM_CLIP.read_parameters(given))

    assert key() == key(prob_threshold=0.4, templates="1", vote_share=0.9, min_area_m2=5, logit_scale=7)
    for changed in ({"points_per_side": 5}, {"selector": "crop"}, {"clip_long_side_px": 0}, {"tile_px": 512}):
        assert key() != key(**changed)
