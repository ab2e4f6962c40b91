from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from literal_segearth import normalised
from literal_surgery import literal_points, literal_similarity, literal_surgery_features
from tiny_pipelines import CPU, answered, firm_sam, never, settings_of, small_clip, small_scene, tile_of, whole

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe, find_preset
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel, load_clip
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from rs_textseg_plugin.engine.pipelines.surgery_sam import Settings, SurgerySam
from rs_textseg_plugin.engine.service import Engine

ensure_torchvision()

from segment_anything import SamPredictor  # noqa: E402

TILE = (96, 128)
SMALL = {"templates": "1", "clip_long_side_px": 112, "clip_window_px": 64, "clip_stride_px": 48}


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return small_clip()


@pytest.fixture(scope="module")
def sam() -> SamModel:
    return firm_sam()


def pipeline(sam, clip, text="building|roof, road, -shadow", **given) -> SurgerySam:
    values = {**SMALL, "objects": "instances", **given}
    legend = Legend.of(parse_class_list(text), values.pop("competitor", "background"), closed_list=True)
    return SurgerySam(sam, clip, settings_of("surgery-sam", Settings, **values), legend)


def test_masks_of_two_tiles_are_alike_by_the_same_overlap_as_those_of_one(sam, clip):
    assert pipeline(sam, clip, box_nms_thresh=0.4).duplicate_iou == 0.4


def test_where_masks_of_several_classes_overlap_the_most_probable_one_counts(sam, clip):
    tile, names = tile_of(*TILE), Legend.of(parse_class_list("building, road, water"), "background", closed_list=True)
    given = {"text": "building, road, water", "prob_threshold": 0.0, "points": "published", "box_nms_thresh": 1.0}
    segments = answered(pipeline(sam, clip, **given), tile).segments
    regions = answered(pipeline(sam, clip, **given, objects="regions"), tile)
    expected = np.zeros((3, *TILE))
    for segment in segments:
        for label in range(3):
            shown = whole(segment, TILE) * (segment.scores[label] if label == segment.label else 0)
            expected[label] = np.maximum(expected[label], shown)
    assert len({segment.label for segment in segments}) > 1
    assert ((expected > 0).sum(axis=0) > 1).any()
    found = regions.class_map.probabilities(names, Window(0, 0, TILE[1], TILE[0]))
    np.testing.assert_allclose(found, expected / np.maximum(expected.sum(axis=0), 1), atol=2e-3)
    assert sorted(regions.found) == sorted(segment.label for segment in segments)


def test_the_published_form_is_the_literal_chain_of_its_steps(sam, clip):
    tile = tile_of(64, 64)
    published = find_preset("surgery-published", "surgery-sam")
    given = {**published, "clip_long_side_px": 64, "clip_window_px": 64, "clip_stride_px": 64, "objects": "instances"}
    answer = answered(pipeline(sam, clip, "building, road", **given), tile)
    words = torch.from_numpy(clip.embed_words(["building", "road", ""], "85"))
    with torch.inference_mode():
        features = literal_surgery_features(clip.model.visual, normalised(tile.rgb[None]))
        similarity = literal_similarity(features, words[:-1], words[-1])[0]
    predictor = SamPredictor(sam.sam)
    predictor.set_image(tile.rgb)
    assert answer.class_map is None
    assert sorted(segment.label for segment in answer.segments) == [0, 1]
    for segment in answer.segments:
        points, labels = literal_points(similarity[:, segment.label], 4, (64, 64), 0.8, 2)
        masks, _, _ = predictor.predict(np.array(points), np.array(labels), multimask_output=False)
        assert masks[0].any()
        assert (whole(segment, (64, 64)) != masks[0]).mean() < 0.01  # features are kept in half precision


@pytest.mark.parametrize("points", ["regions", "published"])
def test_every_mask_has_the_mean_probability_of_its_pixels_and_one_above_the_threshold(sam, clip, points):
    text, given = "building|roof, road, tree, ship, -shadow", {"prob_threshold": 0.1, "logit_scale": 20.0}
    method = pipeline(sam, clip, text, points=points, **given)
    heat = pipeline(sam, clip, text, result="heat", **given)
    tile = tile_of(*TILE)
    answer, class_map = answered(method, tile), answered(heat, tile).class_map
    legend = Legend.of(parse_class_list(text), "background", closed_list=True)
    probabilities = class_map.probabilities(legend, Window(0, 0, TILE[1], TILE[0]))
    assert len(answer.segments) > 0
    for segment in answer.segments:
        np.testing.assert_allclose(segment.scores, probabilities[:, whole(segment, TILE)].mean(axis=1), atol=1e-5)
        assert segment.scores[segment.label] >= 0.1
        assert segment.label < 4  # a negative class is never drawn


def test_another_attention_gives_other_heat(sam, clip):
    maps = [
        answered(pipeline(sam, clip, result="heat", heat_attention=one), tile_of(*TILE)).class_map.window_logits
        for one in ("surgery", "self-self", "vanilla")
    ]
    assert all(np.abs(maps[0] - other).max() > 0.1 for other in maps[1:])


def test_a_threshold_that_no_mask_reaches_gives_nothing(sam, clip):
    assert answered(pipeline(sam, clip, prob_threshold=1.0), tile_of(*TILE)).segments == ()


def test_a_word_that_the_image_is_less_like_than_like_nothing_gets_no_mask_whatever_the_threshold(sam, clip):
    method, tile = pipeline(sam, clip, "building", prob_threshold=0.0, multimask=True), tile_of(*TILE)
    seen = method.observe(tile, RunControl(Budget(CPU)))
    alike = seen.dense.patches.astype(np.float32).mean(axis=(0, 1, 2))
    alike /= np.linalg.norm(alike)
    seen = replace(seen, dense=replace(seen.dense, patches=np.broadcast_to(alike, seen.dense.patches.shape)))
    method._empty = np.zeros_like(alike)
    masks = {}
    for sign in (1, -1):
        method._words = np.stack([sign * alike, -alike])  # the second word only competes
        masks[sign] = len(method.answer(seen, RunControl(Budget(CPU))).segments)
    assert masks[1] > 0
    assert masks[-1] == 0


@pytest.mark.parametrize("points", ["regions", "published"])
def test_pixels_without_data_have_no_points_and_no_say(sam, clip, points):
    valid = np.zeros(TILE, bool)
    assert answered(pipeline(sam, clip, points=points), tile_of(*TILE, valid)).segments == ()
    valid[:, :64] = True
    settings = {"points": points, "prob_threshold": 0.0, "logit_scale": 20.0}
    answer = answered(pipeline(sam, clip, **settings), tile_of(*TILE, valid))
    for segment in answer.segments:
        assert (whole(segment, TILE) & valid).any()


def test_eighty_classes_at_once_end_well(sam, clip):
    text = ", ".join(f"thing {number}" for number in range(80))
    answer = answered(pipeline(sam, clip, text, prob_threshold=0.0, max_regions=1), tile_of(*TILE))
    assert all(len(segment.scores) == 80 for segment in answer.segments)


def test_a_cancel_is_heard_while_points_are_drawn(sam, clip):
    method = pipeline(sam, clip, points="published", prob_threshold=0.0)
    seen = method.observe(tile_of(*TILE), RunControl(Budget(CPU)))
    with pytest.raises(Cancelled):
        method.answer(seen, RunControl(Budget(CPU), lambda: True))
    with pytest.raises(Cancelled):
        method.observe(tile_of(*TILE), RunControl(Budget(CPU), lambda: True))


@pytest.fixture
def raster(tmp_path):
    return small_scene(tmp_path / "scene.tif")


def request_for(raster, models, text="building, road", **given) -> Request:
    parameters = {**SMALL, "clip_long_side_px": 0, "tile_px": 96, "overlap_px": 32, "prob_threshold": 0.0,
                  "logit_scale": 20.0, **given}  # fmt: skip
    recipe = Recipe("surgery-sam", str(models), parameters, device="cpu")
    output = Output(*(str(raster.with_name(name)) for name in ("out.gpkg", "labels.tif", "scores.tif")))
    return Request(Scene(str(raster)), parse_class_list(text), recipe, output)


def test_a_raster_is_segmented_and_a_second_question_encodes_nothing_again(raster, tiny_models, monkeypatch):
    looks = []
    embed, look = SamModel.embed, ClipModel.dense_features
    monkeypatch.setattr(SamModel, "embed", lambda *a: looks.append("sam") or embed(*a))
    monkeypatch.setattr(ClipModel, "dense_features", lambda *a, **k: looks.append("clip") or look(*a, **k))
    engine, request = Engine(), request_for(raster, tiny_models, points="published", objects="instances")
    finished = list(engine.run(request, never))[-1]
    assert isinstance(finished, Finished)
    assert set(pyogrio.read_info(finished.path)["fields"]) >= {"class", "score", "runner_up", "margin", "area_m2"}
    assert looks.count("sam") == 4  # one for each tile
    before = len(looks)
    list(engine.run(replace(request, query=parse_class_list("ship, pier")), never))
    assert len(looks) == before


def test_the_heat_map_is_the_score_raster_where_that_is_asked_for(raster, tiny_models):
    list(Engine().run(request_for(raster, tiny_models, result="heat", closed_list=True), never))
    with rasterio.open(raster.with_name("scores.tif")) as file:
        scores = file.read(1)
    assert np.isfinite(scores).mean() > 0.9
    assert len(np.unique(scores[np.isfinite(scores)])) > 100


def test_the_heat_of_every_class_is_a_band_of_the_class_scores_and_the_winner_s_is_the_score(raster, tiny_models):
    given = {"result": "heat", "tile_px": 160, "overlap_px": 0, "competitor": "background"}
    request = request_for(raster, tiny_models, "building|roof, road, -shadow", **given)
    path = raster.with_name("classes.tif")
    list(Engine().run(replace(request, output=replace(request.output, class_scores=str(path))), never))
    with rasterio.open(path) as file:
        heat = file.read()
    given = {**request.recipe.parameters, "clip_long_side_px": 0}
    tile = tile_of(110, 150)
    clip = load_clip(tiny_models / "clip_tiny.pt", "", CPU, torch.float32)
    legend = Legend.of(request.query, "background")
    method = SurgerySam(firm_sam(), clip, settings_of("surgery-sam", Settings, **given), legend)
    expected = answered(method, tile).class_map.probabilities(legend, Window(0, 0, 150, 110))
    np.testing.assert_allclose(heat, expected[:2], atol=2e-3)  # the shadow is never output
    with rasterio.open(request.output.score_raster) as scores, rasterio.open(request.output.label_raster) as labels:
        score, label = scores.read(1), labels.read(1)
    interior = np.zeros(label.shape, bool)  # small regions may have been filled or dropped
    interior[(label > 0) & np.isfinite(score)] = True
    best = np.take_along_axis(heat, np.maximum(label[None].astype(int) - 1, 0), axis=0)[0]
    assert (np.abs(score - best)[interior] < 1e-3).mean() > 0.95


@pytest.mark.parametrize("size", [(8, 130), (130, 8), (1, 1), (97, 33)])
def test_narrow_and_tiny_tiles_end_well(sam, clip, size):
    for points in ("regions", "published"):
        given = {"points": points, "prob_threshold": 0.0, "region_min_px": 1, "clip_long_side_px": 0}
        for segment in answered(pipeline(sam, clip, **given), tile_of(*size)).segments:
            assert whole(segment, size).any()


def test_a_result_without_any_mask_is_written_and_empty(raster, tiny_models):
    finished = list(Engine().run(request_for(raster, tiny_models, prob_threshold=1.0), never))[-1]
    assert [row.count for row in finished.classes] == [0, 0]
    assert pyogrio.read_info(finished.path)["features"] == 0
