"""Parameters: their defaults, their types and their bounds."""

from __future__ import annotations

import math

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.recipe import (
    PIPELINES,
    PRESETS,
    Parameter,
    Recipe,
    competitor,
    find_pipeline,
    find_preset,
    wants_instances,
)

COUNT = Parameter("count", 3, "int", "Help.", "source", 1, 10)
SHARE = Parameter("share", 0.5, "float", "Help.", "source", 0, 1)
SCALE = Parameter("scale", None, "float", "Help.", "source", 0.01)
FLAG = Parameter("flag", False, "bool", "Help.", "source")
WORD = Parameter("word", "a", "str", "Help.", "source", choices=("a", "b"))
TEXT = Parameter("text", "", "str", "Help.", "source")

READABLE = [
    (COUNT, None, 3),
    (COUNT, "7", 7),
    (COUNT, 7, 7),
    (COUNT, 7.0, 7),
    (COUNT, "7.0", 7),
    (COUNT, "1", 1),
    (COUNT, "10", 10),
    (SHARE, "0.25", 0.25),
    (SHARE, 1, 1.0),
    (SHARE, "1e-3", 0.001),
    (SCALE, None, None),
    (SCALE, "auto", None),
    (SCALE, "50", 50.0),
    (FLAG, "true", True),
    (FLAG, "No", False),
    (FLAG, 1, True),
    (FLAG, True, True),
    (WORD, "b", "b"),
    (TEXT, "auto", "auto"),
    (TEXT, 5, "5"),
]

UNREADABLE = [
    (COUNT, "7.5", "whole number from 1 to 10"),
    (COUNT, "many", "whole number from 1 to 10"),
    (COUNT, "", "whole number"),
    (COUNT, "0", "out of its range"),
    (COUNT, 11, "out of its range"),
    (COUNT, "inf", "not understood"),
    (COUNT, "nan", "not understood"),
    (COUNT, math.inf, "not understood"),
    (SHARE, "1.01", "from 0 to 1"),
    (SHARE, "nan", "not understood"),
    (SHARE, "auto", "not understood"),
    (SHARE, True, "not understood"),
    (SCALE, "0", "at least 0.01"),
    (SCALE, "inf", "not understood"),
    (FLAG, "perhaps", "true or false"),
    (WORD, "c", "choose one of a, b"),
    (WORD, "A", "choose one of a, b"),
]

EVERY_PARAMETER = [(info, parameter) for info in PIPELINES.values() for parameter in info.parameters]


@pytest.mark.parametrize(("parameter", "value", "wanted"), READABLE)
def test_a_value_is_read_in_the_type_of_its_parameter(parameter, value, wanted):
    read = parameter.read(value)
    assert read == wanted
    assert type(read) is type(wanted)


@pytest.mark.parametrize(("parameter", "value", "reason"), UNREADABLE)
def test_a_value_that_does_not_fit_is_refused_with_its_name_and_what_is_wanted(parameter, value, reason):
    with pytest.raises(RecipeError, match=reason) as caught:
        parameter.read(value)
    assert f"{parameter.name}={value!r}" in str(caught.value)


@pytest.mark.parametrize(("info", "parameter"), EVERY_PARAMETER, ids=lambda value: value.name)
def test_every_default_fits_its_own_parameter_and_names_its_source(info, parameter):
    assert parameter.default is None or parameter.read(parameter.default) == parameter.default
    assert type(parameter.default).__name__ in (parameter.kind, "NoneType")
    assert parameter.help.endswith(".") or parameter.help.endswith(")")
    assert parameter.source
    assert [other.name for other in info.parameters].count(parameter.name) == 1


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_is_found_by_its_name(name):
    assert find_pipeline(name).name == name


def test_an_unknown_pipeline_is_refused_with_the_ones_that_exist():
    with pytest.raises(RecipeError, match=r"'sam_clip'.*sam-clip"):
        find_pipeline("sam_clip")


def test_checked_parameters_are_all_of_them_with_the_given_ones_in_place():
    values = Recipe(parameters={"points_per_side": "8", "prob_threshold": "auto"}).checked_parameters()
    assert set(values) == {parameter.name for parameter in find_pipeline("sam-clip").parameters}
    assert values["points_per_side"] == 8
    assert values["prob_threshold"] is None
    assert values["tile_px"] == 1024


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe(pipeline="nothing"), "no pipeline 'nothing'"),
        (Recipe(parameters={"points": 8}), "no parameter 'points'"),
        (Recipe(parameters={"points_per_side": 0}), "points_per_side=0"),
        (Recipe(parameters={"tile_px": 256, "overlap_px": 129}), "more than half of tile_px=256"),
        (Recipe(parameters={"clip_stride_px": 300, "clip_window_px": 224}), "clip_stride_px=300 is larger"),
        (Recipe(parameters={"competitor": " | "}), "competitor names no word"),
    ],
)
def test_a_recipe_that_cannot_be_cooked_is_refused(recipe, reason):
    with pytest.raises(RecipeError, match=reason):
        recipe.checked_parameters()


def test_an_overlap_of_exactly_half_a_tile_is_accepted():
    assert Recipe(parameters={"tile_px": 256, "overlap_px": 128}).checked_parameters()["overlap_px"] == 128


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_the_parameters_of_its_pipeline_and_is_written_in_their_types(name):
    pipeline, values = PRESETS[name].pipeline, PRESETS[name].values
    checked = Recipe(pipeline, parameters=find_preset(name, pipeline)).checked_parameters()
    assert values
    for key, value in values.items():
        assert checked[key] == value
        assert type(checked[key]) is type(value)


def test_the_paper_s_preset_states_what_the_paper_does():
    paper = Recipe(parameters=find_preset("paper", "sam-clip")).checked_parameters()
    assert (paper["selector"], paper["vote"], paper["region_prompts"]) == ("vote", "majority", False)
    assert (paper["points_per_side"], paper["clip_long_side_px"], paper["window_blend"]) == (29, 448, "mean")


def test_an_unknown_preset_is_refused_with_the_ones_that_exist_and_no_name_is_no_preset():
    with pytest.raises(RecipeError, match=r"no preset 'papers': choose one of paper, segearth-published, native"):
        find_preset("papers", "sam-clip")
    assert find_preset("", "sam-clip") == {}


def test_a_preset_of_another_pipeline_is_refused_with_those_that_fit():
    with pytest.raises(
        RecipeError, match=r"'paper' is one of the pipeline sam-clip, not of segearth-ov: choose seg.* or nat"
    ):
        find_preset("paper", "segearth-ov")
    with pytest.raises(RecipeError, match=r"'native' is one of the pipeline segearth-ov, not of sam-clip: .* paper"):
        find_preset("native", "sam-clip")


def test_segearth_s_presets_are_its_protocol_and_the_same_at_native_resolution():
    presets = [Recipe("segearth-ov", parameters=find_preset(name, "segearth-ov")).checked_parameters()
               for name in ("segearth-published", "native")]  # fmt: skip
    for values in presets:
        assert (values["clip_window_px"], values["clip_stride_px"], values["cls_weight"]) == (224, 112, 0.3)
        assert (values["logit_scale"], values["prob_threshold"], values["templates"]) == (50.0, None, "80")
    assert [(v["clip_long_side_px"], v["window_blend"], v["overlap_px"]) for v in presets] == [
        (448, "mean", 0), (0, "taper", 128),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"base_url": "http://a/v1", "model": "m", "vlm": "folder"}, "name two models"),
        ({"base_url": "http://a/v1"}, "add model=NAME"),
    ],
)
def test_a_question_goes_to_one_model_with_a_name(values, words):
    with pytest.raises(RecipeError, match=words):
        Recipe("vlm-sam", parameters=values).checked_parameters()


def test_the_published_clicks_are_six():
    values = Recipe("vlm-sam", parameters=find_preset("vlm-published", "vlm-sam")).checked_parameters()
    assert values["inside_points"] + values["outside_points"] == 6
    assert (values["prompts"], values["view"]) == ("points", "whole")


def test_a_pipeline_knows_its_own_values_among_those_of_a_model_set():
    values = {"points_per_side": 3, "cls_weight": 0.2}
    assert find_pipeline("segearth-ov").own(values) == {"cls_weight": 0.2}
    assert find_pipeline("sam-clip").own(values) == values


def test_words_against_a_lone_class_and_objects_have_an_answer_for_every_pipeline():
    for name in PIPELINES:
        values = Recipe(name).checked_parameters()
        assert competitor(values) == "background"
        assert wants_instances(values) is (name in ("grounding-sam", "vlm-sam"))
    assert competitor({"competitor": "sea|sand"}) == "sea|sand"
    assert competitor({}) == "background"


@pytest.mark.parametrize(
    ("selector", "objects", "wanted"),
    [
        ("vote", "auto", False),
        ("crop", "auto", True),
        ("vote", "instances", True),
        ("crop", "regions", False),
    ],
)
def test_objects_stay_apart_where_that_is_asked_for_or_crops_are_judged(selector, objects, wanted):
    parameters = Recipe(parameters={"selector": selector, "objects": objects}).checked_parameters()
    assert wants_instances(parameters) is wanted


def test_ways_to_vote_are_read_from_text():
    text = {"vote": "soft", "vote_weight": "2.5", "region_prompts": "true", "region_min_px": "30"}
    values = Recipe(parameters=text).checked_parameters()
    assert {name: values[name] for name in text} == {
        "vote": "soft", "vote_weight": 2.5, "region_prompts": True, "region_min_px": 30,
    }  # fmt: skip
    with pytest.raises(RecipeError, match="from 0 to 100"):
        Recipe(parameters={"vote_weight": 101}).checked_parameters()
