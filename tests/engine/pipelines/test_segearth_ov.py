from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from literal_segearth import literal_labels, literal_logits
from rasters import texture
from tiny_models import open_clip, tiny_clip
from tiny_pipelines import settings_of
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.errors import Cancelled, ModelError
from rs_textseg_plugin.contract.events import Finished, Warned
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.clip.dense import DenseFeatures, DenseSettings
from rs_textseg_plugin.engine.clip.dense_upsampled import UpsampledFeatures
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.upsampler import Upsampler, load_upsampler
from rs_textseg_plugin.engine.pipelines.segearth_ov import SegEarthOv, Settings
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY
from rs_textseg_plugin.engine.service import Engine

CPU = torch.device("cpu")
TILE = (96, 128)
SMALL = {"templates": "1", "clip_long_side_px": 112, "clip_window_px": 64, "clip_stride_px": 48}
WORD_CLASS = [0, 0, 1, 2]


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return ClipModel(tiny_clip(5), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.float32)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return published_state(32)


@pytest.fixture(scope="module")
def upsampler(state, tmp_path_factory) -> Upsampler:
    path = tmp_path_factory.mktemp("upsampler") / "simfeatup.ckpt"
    torch.save(state, path)
    return load_upsampler(path, CPU, torch.float32)


@pytest.fixture(scope="module")
def tile() -> TileImage:
    rgb = np.ascontiguousarray(texture(*TILE).transpose(1, 2, 0))
    return TileImage(rgb, np.ones(TILE, bool), Window(0, 0, TILE[1], TILE[0]))


def pipeline(clip, upsampler=None, text="building|roof, road, -shadow", **given) -> SegEarthOv:
    values = {**SMALL, **given}
    legend = Legend.of(parse_class_list(text), values.pop("competitor", "background"), closed_list=True)
    return SegEarthOv(clip, upsampler, settings_of("segearth-ov", Settings, **values), legend)


def answered(method: SegEarthOv, tile: TileImage):
    return method.answer(method.observe(tile, RunControl(Budget(CPU))), RunControl(Budget(CPU)))


@pytest.mark.parametrize("is_upsampled", [True, False])
@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_the_labels_are_those_of_the_literal_method(clip, upsampler, state, tile, is_upsampled, threshold):
    method = pipeline(clip, upsampler if is_upsampled else None, window_blend="mean", prob_threshold=threshold)
    answer = answered(method, tile)
    assert answer.segments == ()
    assert method.prob_threshold == threshold
    words = clip.embed_words(["building", "roof", "road", "shadow"], "1")
    settings = DenseSettings(112, 64, 48, "self-self", 0.3, fades=False)
    logits = literal_logits(clip.model.visual, state if is_upsampled else None, tile.rgb, words, settings)
    labels, probabilities = literal_labels(logits, 50.0, WORD_CLASS, threshold)
    legend = Legend.of(parse_class_list("building|roof, road, -shadow"), "background", closed_list=True)
    found = answer.class_map.probabilities(legend, Window(0, 0, TILE[1], TILE[0]))
    np.testing.assert_allclose(found, probabilities, atol=0.02)  # features and logits are kept in half precision
    own = np.where(found.max(axis=0) < threshold, -1, found.argmax(axis=0))
    first, second = torch.sort(probabilities, dim=0, descending=True).values[:2]
    sure = ((first - second > 0.03) & ((first - threshold).abs() > 0.03)).numpy()
    assert sure.mean() > 0.3
    assert len(np.unique(labels.numpy()[sure])) > 1
    np.testing.assert_array_equal(own[sure], labels.numpy()[sure])


def test_the_parameters_are_the_published_ones():
    values = Recipe(pipeline="segearth-ov").checked_parameters()
    published = {"clip_long_side_px": 448, "clip_window_px": 224, "clip_stride_px": 112, "attention": "self-self",
                 "cls_weight": 0.3, "logit_scale": 50.0, "templates": "80"}  # fmt: skip
    assert {name: values[name] for name in published} == published


def test_a_class_that_stands_alone_needs_a_higher_probability(clip):
    assert pipeline(clip, text="building").prob_threshold == 0.6
    assert pipeline(clip).prob_threshold == 0.1


def test_the_upsampler_is_left_out_where_that_is_asked_for(clip, upsampler, tile):
    assert isinstance(pipeline(clip, upsampler).observe(tile, RunControl(Budget(CPU))), UpsampledFeatures)
    method = pipeline(clip, upsampler, upsampling="bilinear")
    assert isinstance(method.observe(tile, RunControl(Budget(CPU))), DenseFeatures)


def test_an_upsampler_of_another_backbone_is_refused_in_words(clip, tmp_path):
    torch.save(published_state(16), tmp_path / "other.pt")
    foreign = load_upsampler(tmp_path / "other.pt", CPU, torch.float32)
    with pytest.raises(ModelError, match=r"other\.pt was trained for features of 16 channels, .* tiny makes 32"):
        pipeline(clip, foreign)
    assert pipeline(clip, foreign, upsampling="bilinear")


def test_a_cancel_is_heard_while_tiles_are_seen_and_answered(clip, upsampler, tile):
    method = pipeline(clip, upsampler)
    seen = method.observe(tile, RunControl(Budget(CPU)))
    with pytest.raises(Cancelled):
        method.observe(tile, RunControl(Budget(CPU), lambda: True))
    with pytest.raises(Cancelled):
        method.answer(seen, RunControl(Budget(CPU), lambda: True))


@pytest.fixture
def raster(tmp_path):
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": 180, "height": 130, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)) as file:
        file.write(texture(130, 180))
    return path


def request_for(raster, models, **given) -> Request:
    parameters = {**SMALL, "clip_long_side_px": 0, "tile_px": 96, "overlap_px": 32, "prob_threshold": 0.0, **given}
    recipe = Recipe("segearth-ov", str(models), parameters, device="cpu")
    output = Output(*(str(raster.with_name(name)) for name in ("out.gpkg", "labels.tif", "scores.tif")))
    return Request(Scene(str(raster)), parse_class_list("building, road, water"), recipe, output)


@pytest.fixture
def models(tmp_path, tiny_models):
    """A set with a CLIP only."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "clip_tiny.pt").symlink_to(tiny_models / "clip_tiny.pt")
    return folder


def provenance(raster) -> dict:
    return json.loads(pyogrio.read_info(raster.with_name("out.gpkg"))["layer_metadata"][PROVENANCE_KEY])


def test_without_an_upsampler_the_run_says_that_it_upsampled_bilinearly(raster, models):
    events = list(Engine().run(request_for(raster, models), never))
    finished = events[-1]
    assert isinstance(finished, Finished)
    for notes in (finished.notes, provenance(raster)["notes"], [e.message for e in events if isinstance(e, Warned)]):
        assert any("has no upsampler" in note and "bilinearly" in note for note in notes)
    assert set(provenance(raster)["models"]) == {"clip"}
    assert sum(row.count for row in finished.classes) > 0


def test_with_an_upsampler_the_result_differs_and_says_which_it_was(raster, models, state):
    list(Engine().run(request_for(raster, models), never))
    with rasterio.open(raster.with_name("labels.tif")) as file:
        bilinear = file.read(1)
    torch.save({"state_dict": {f"upsampler.{k}": v for k, v in state.items()}}, models / "simfeatup.ckpt")
    events = list(Engine().run(request_for(raster, models), never))
    assert not any("upsampler" in note for note in events[-1].notes)
    assert provenance(raster)["models"]["upsampler"]["file"] == "simfeatup.ckpt"
    assert set(events[-1].models) == {"clip_tiny.pt", "simfeatup.ckpt"}
    with (
        rasterio.open(raster.with_name("labels.tif")) as labels,
        rasterio.open(raster.with_name("scores.tif")) as scores,
    ):
        assert (labels.read(1) != bilinear).any()
        assert np.isfinite(scores.read(1)[labels.read(1) > 0]).all()
    fields = pyogrio.read_info(raster.with_name("out.gpkg"))["fields"]
    assert {"class", "score", "runner_up", "runner_up_score", "margin", "area_m2", "pipeline", "query"} <= set(fields)


def test_a_second_question_looks_at_no_tile_again(raster, models, monkeypatch):
    looks = []
    look = ClipModel.dense_features
    monkeypatch.setattr(ClipModel, "dense_features", lambda *a, **k: looks.append(1) or look(*a, **k))
    engine, request = Engine(), request_for(raster, models)
    list(engine.run(request, never))
    first = len(looks)
    list(engine.run(replace(request, query=parse_class_list("ship, pier")), never))
    assert first > 0
    assert len(looks) == first


def test_values_of_a_model_set_that_belong_to_another_pipeline_are_left_out(raster, models):
    manifest = {"id": "mine", "title": "Mine", "pipelines": ["sam-clip", "segearth-ov"],
                "files": [{"role": "clip", "name": "clip_tiny.pt"}],
                "parameters": {"points_per_side": 3, "cls_weight": 0.2}}  # fmt: skip
    (models / "models.json").write_text(json.dumps(manifest))
    list(Engine().run(request_for(raster, models), never))
    used = provenance(raster)["parameters"]
    assert used["cls_weight"] == 0.2
    assert "points_per_side" not in used
