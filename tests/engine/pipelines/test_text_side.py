"""What a table calls the text's side is that: an observation is the same whatever its value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from controls import control
from rasters import north_up
from tiny_detector import write_tiny_detector
from tiny_models import write_tiny_models
from tiny_pipelines import tile_of, values_of

from rs_textseg_plugin.contract.grid import PixelGrid
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import PIPELINES, find_pipeline
from rs_textseg_plugin.contract.tables.parameter import Parameter
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.loading.files import resolve_set
from rs_textseg_plugin.engine.loading.model_cache import ModelCache
from rs_textseg_plugin.engine.pipelines.inputs import PhraseContext, PipelineInputs
from rs_textseg_plugin.engine.pipelines.registry import find_load

SMALL = {
    "points_per_side": 2, "templates": "1", "clip_window_px": 64, "clip_stride_px": 64, "clip_long_side_px": 64,
    "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "region_prompts": True, "clicks": "",
}  # fmt: skip
CACHE = ModelCache()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = write_tiny_models(tmp_path_factory.mktemp("models"))
    write_tiny_detector(folder / "detector")
    return folder


def another(parameter: Parameter, value):
    """A value that the parameter allows, other than the one that it has."""
    if parameter.choices:
        return next(choice for choice in parameter.choices if choice != value)
    if parameter.kind == "bool":
        return not value
    if parameter.kind == "str":
        return "water"
    low = parameter.minimum if parameter.minimum is not None else 0
    return next(number for number in (low, low + 1) if number != value)


def observed(pipeline: str, models, **given):
    """What a method sees of a tile, as plain values."""
    info = find_pipeline(pipeline)
    values = info.read_parameters({**info.own(SMALL), **given})
    legend = Legend.of(parse_class_list("building, road"), "background")
    resolved = resolve_set(str(models), info.roles, info.optional_roles)
    context = PhraseContext("the house", PixelGrid(64, 64, north_up(0.5), ""), "")
    inputs = PipelineInputs(info, values, legend, resolved, CACHE, control(), context)
    return plain(find_load(pipeline)(inputs).observe(tile_of(64, 64), control()))


def plain(value):
    """Arrays and dataclasses as values that can be compared."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


@pytest.mark.parametrize("pipeline", [name for name in PIPELINES if name != "vlm-sam"])
def test_a_parameter_of_the_text_s_side_changes_no_observation(pipeline, models):
    torch.manual_seed(0)
    info, before = find_pipeline(pipeline), observed(pipeline, models)
    values = {**values_of(pipeline), **info.own(SMALL)}
    wrong = [
        parameter.name
        for parameter in info.parameters
        if parameter.is_text_side
        and observed(pipeline, models, **{parameter.name: another(parameter, values[parameter.name])}) != before
    ]
    assert wrong == []


def test_a_parameter_that_the_picture_s_side_reads_would_be_found(models):
    assert observed("sam-clip", models, points_per_side=3) != observed("sam-clip", models)
    assert observed("sam-clip", models, crop_background="mean", selector="crop") != observed(
        "sam-clip", models, selector="crop"
    )


def test_the_key_of_an_observation_leaves_out_the_text_s_side_and_nothing_else():
    info = find_pipeline("surgery-sam")
    values = info.read_parameters({})
    for parameter in info.parameters:
        other = {**values, parameter.name: "another"}
        assert (info.image_side(other) == info.image_side(values)) is parameter.is_text_side, parameter.name
