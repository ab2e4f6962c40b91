"""A request is resolved once: defaults < model set < preset < word list < user."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from planted import PlantedPipeline, Truth

from rs_textseg_plugin.contract.errors import ModelError, QueryError, RecipeError
from rs_textseg_plugin.contract.query import parse_class_list, parse_phrase
from rs_textseg_plugin.contract.recipe import PIPELINES, Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.job.plan import RunSettings, make_plan
from rs_textseg_plugin.engine.pipelines.registry import find_load
from rs_textseg_plugin.engine.pipelines.settings import names_read
from rs_textseg_plugin.engine.service import Engine

URL = "http://localhost:9/v1"


@pytest.fixture
def models(tiny_models, tmp_path) -> Path:
    """A model set with values of its own."""
    folder = Path(shutil.copytree(tiny_models, tmp_path / "set"))
    files = [{"role": role, "name": path.name} for role, path in roles_in(folder).items()]
    values = {
        "points_per_side": 7,
        "vote_weight": 2.0,
        "tile_px": 256,
        "overlap_px": 64,
        "view": "whole",
        "view_px": 512,
    }
    manifest = {"id": "own", "title": "Own", "files": files, "pipelines": list(PIPELINES), "parameters": values}
    (folder / "models.json").write_text(json.dumps(manifest))
    return folder


def roles_in(folder: Path) -> dict[str, Path]:
    return {path.name.split("_")[0]: path for path in sorted(folder.glob("*_tiny.*"))}


def request_of(models: Path, pipeline: str = "sam-clip", preset: str = "", **given) -> Request:
    """A request over a raster that does not exist: a plan opens nothing."""
    query = parse_phrase("the house") if pipeline == "vlm-sam" else parse_class_list("building, road")
    recipe = Recipe(pipeline, str(models), given, "cpu", preset=preset)
    return Request(Scene("nowhere.tif"), query, recipe, Output("/tmp/out.gpkg"), URL)


def test_the_later_word_wins(models):
    values = make_plan(request_of(models, preset="paper", vote="soft")).values
    assert values["pred_iou_thresh"] == 0.88  # nobody says anything
    assert values["tile_px"] == 256  # the model set: what its architecture fixes
    assert (values["points_per_side"], values["overlap_px"]) == (29, 0)  # the preset, before the model set
    assert make_plan(request_of(models)).values["vote_weight"] == 2.0  # without a preset all of the set counts
    assert values["vote"] == "soft"  # the user, before the preset


def test_the_paper_s_preset_is_the_paper_with_the_demo_set_too():
    set_s_own = make_plan(request_of(Path("demo"))).values
    values = make_plan(request_of(Path("demo"), preset="paper")).values
    paper = {
        "points_per_side": 29, "pred_iou_thresh": 0.88, "stability_score_thresh": 0.95, "cls_weight": 0.3,
        "clip_long_side_px": 448, "clip_window_px": 224, "clip_stride_px": 112, "attention": "self-self",
        "vote": "majority", "vote_share": 0.0, "prob_threshold": 0.0, "foreground_threshold": 0.5,
        "foreground_share": 0.5, "overlap_px": 0, "min_area_m2": 0.0, "fill_holes_m2": 0.0,
    }  # fmt: skip
    assert {name: values[name] for name in paper} == paper
    assert values["tile_px"] == set_s_own["tile_px"] == 256  # its SAM was made for tiles of that size
    assert (set_s_own["cls_weight"], set_s_own["clip_window_px"], set_s_own["pred_iou_thresh"]) == (0.0, 256, 0.5)


def test_a_plan_is_frozen(models):
    plan = make_plan(request_of(models))
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.settings.tile_px = 1
    with pytest.raises(TypeError):
        plan.values["tile_px"] = 1


def test_a_model_set_s_own_view_decides_how_the_scene_is_opened(models):
    asked = request_of(models, "vlm-sam", base_url=URL, model="m")
    assert (make_plan(asked).settings.view, make_plan(asked).settings.view_px) == ("whole", 512)


def test_a_model_set_s_own_view_is_the_picture_that_is_shown(models, raster_file, tmp_path):
    windows = []
    truth = Truth(*(2 * [np.zeros((48, 64), int)]))

    def load(inputs):
        return PlantedPipeline(truth, inputs.legend, windows.append)

    asked = request_of(models, "vlm-sam", base_url=URL, model="m", tile_px=64, overlap_px=0)
    asked = dataclasses.replace(asked, scene=Scene(str(raster_file)), output=Output(str(tmp_path / "out.gpkg")))
    list(Engine({"vlm-sam": load}).run(asked, lambda: False))
    assert [(window.width, window.height) for window in windows] == [(64, 48)]


def test_a_method_without_a_parameter_has_the_default_of_the_run(models):
    settings = make_plan(request_of(models, "segearth-ov")).settings
    assert (settings.scene_view, settings.least_presence, settings.makes_instances) == ("sweep", 0.0, False)


def test_consent_is_asked_for_the_address_that_the_plan_has(models):
    manifest = json.loads((models / "models.json").read_text())
    manifest["parameters"].update(base_url="http://elsewhere.example/v1", model="m")
    (models / "models.json").write_text(json.dumps(manifest))
    with pytest.raises(QueryError, match=r"would leave this machine for http://elsewhere\.example/v1"):
        make_plan(request_of(models, "vlm-sam"))


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"pipeline": "sam-klip"}, RecipeError, "sam-klip"),
        ({"preset": "native"}, RecipeError, "is one of the pipeline segearth-ov"),
        ({"models": "no such set"}, ModelError, "no such set"),
        ({"device": "cuda:77"}, RecipeError, "cuda:77"),
        ({"precision": "fp8"}, RecipeError, "fp8"),
    ],
)
def test_what_cannot_be_resolved_is_refused(models, changes, kind, reason):
    asked = request_of(models)
    with pytest.raises(kind, match=reason):
        make_plan(dataclasses.replace(asked, recipe=dataclasses.replace(asked.recipe, **changes)))


@pytest.mark.parametrize("name", PIPELINES)
def test_every_parameter_of_a_table_is_read_by_somebody_and_every_setting_is_a_parameter(name):
    module = sys.modules[find_load(name).__module__]
    own, of_run = names_read(module.Settings), names_read(RunSettings)
    table = {parameter.name for parameter in PIPELINES[name].parameters}
    of_branches = set()
    if name == "text2seg":
        from rs_textseg_plugin.engine.pipelines import grounding_sam, sam_clip, surgery_sam

        of_branches = set().union(*(names_read(branch.Settings) for branch in (grounding_sam, sam_clip, surgery_sam)))
        of_branches |= {"branches", "crop_templates", "points_nms_thresh"}
    assert own <= table
    assert table - own - of_run - of_branches - {"objects"} == set()
