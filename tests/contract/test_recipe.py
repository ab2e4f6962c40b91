"""A recipe: whose word counts, what is refused, and where pictures go."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.recipe import Recipe, find_pipeline

URL = "https://vlm.example/v1"


def test_checked_parameters_are_all_of_them_with_the_given_ones_in_place():
    values = Recipe(parameters={"points_per_side": "8", "prob_threshold": "auto"}).checked_parameters()
    assert set(values) == {parameter.name for parameter in find_pipeline("sam-clip").parameters}
    assert values["points_per_side"] == 8
    assert values["prob_threshold"] is None
    assert values["tile_px"] == 1024


def test_the_user_s_word_goes_before_the_preset_s_that_before_the_model_set_s_and_that_before_the_default():
    of_models = {"points_per_side": 3, "window_blend": "taper", "cls_weight": "0.2", "box_threshold": 0.9}
    recipe = Recipe(preset="paper", parameters={"points_per_side": "4"})
    values = recipe.checked_parameters(of_models)
    assert values["points_per_side"] == 4  # all four say something
    assert values["window_blend"] == "mean"  # the preset, against the model set and the default
    assert values["tile_px"] == 1024
    assert "box_threshold" not in values  # another pipeline's
    alone = Recipe().checked_parameters(of_models)
    assert (alone["points_per_side"], alone["cls_weight"]) == (3, 0.2)  # the model set, against the default


def test_beside_a_preset_a_model_set_says_what_its_architecture_fixes_and_nothing_else():
    of_models = {"tile_px": 256, "points_per_batch": 8, "cls_weight": 0.0, "min_area_m2": 4.0, "vote": "soft"}
    values = Recipe(preset="paper").checked_parameters(of_models)
    assert (values["tile_px"], values["points_per_batch"]) == (256, 8)
    assert (values["cls_weight"], values["min_area_m2"], values["vote"]) == (0.3, 0.0, "majority")


def test_what_a_preset_should_forget_to_list_is_at_its_default_and_not_at_the_model_set_s(monkeypatch):
    info = find_pipeline("sam-clip")
    monkeypatch.setitem(info.presets, "paper", dataclasses.replace(info.presets["paper"], values={"vote": "majority"}))
    values = Recipe(preset="paper").checked_parameters({"cls_weight": 0.0, "tile_px": 256})
    assert (values["cls_weight"], values["tile_px"]) == (0.3, 256)


def test_what_a_word_list_says_counts_after_the_preset_and_before_the_user():
    of_list = {"prob_threshold": 0.3, "cls_weight": 0.0}
    recipe = Recipe("segearth-ov", preset="segearth-published", list_parameters=of_list)
    assert {**recipe.checked_parameters(), **of_list} == recipe.checked_parameters()
    own = dataclasses.replace(recipe, parameters={"prob_threshold": 0.7}).checked_parameters()
    assert (own["prob_threshold"], own["cls_weight"]) == (0.7, 0.0)


def test_a_user_can_ask_for_the_default_against_the_preset_and_the_model_set():
    recipe = Recipe("segearth-ov", preset="native", parameters={"prob_threshold": "auto", "overlap_px": None})
    values = recipe.checked_parameters({"prob_threshold": 0.4, "overlap_px": 32})
    assert (values["prob_threshold"], values["overlap_px"]) == (None, 128)


def test_what_preset_and_user_chose_is_told_without_the_defaults_and_the_model_set():
    preset = find_pipeline("vlm-sam").presets["vlm-published"].values
    chosen = Recipe("vlm-sam", preset="vlm-published", parameters={"view": "sweep"}).chosen_parameters
    assert preset["view"] == "whole"
    assert chosen == {**preset, "view": "sweep"}
    assert Recipe(parameters={"tile_px": 512}).chosen_parameters == {"tile_px": 512}


def test_values_of_a_model_set_are_checked_as_the_user_s_are(subtests):
    for of_models, reason in (
        ({"points_per_side": 0}, "points_per_side=0 is out of its range"),
        ({"overlap_px": 1024}, "more than half of tile_px=256"),
    ):
        with subtests.test(of_models=of_models), pytest.raises(RecipeError, match=reason):
            Recipe(parameters={"tile_px": 256}).checked_parameters(of_models)


def test_a_recipe_that_cannot_be_cooked_is_refused(subtests):
    for recipe, reason in (
        (Recipe(pipeline="nothing"), "no pipeline 'nothing'"),
        (Recipe(preset="papers"), "no preset 'papers'"),
        (Recipe("segearth-ov", preset="paper"), "one of the pipeline sam-clip, not of segearth-ov"),
        (Recipe(parameters={"points": 8}), "no parameter 'points'"),
        (Recipe(parameters={"points_per_side": 0}), "points_per_side=0"),
        (Recipe(parameters={"tile_px": 256, "overlap_px": 129}), "more than half of tile_px=256"),
        (Recipe(parameters={"clip_stride_px": 300, "clip_window_px": 224}), "clip_stride_px=300 is larger"),
        (Recipe(parameters={"competitor": " | "}), "competitor names no word"),
    ):
        with subtests.test(reason), pytest.raises(RecipeError, match=reason):
            recipe.checked_parameters()


def test_pictures_go_to_the_user_s_address_and_only_with_a_method_that_sends_them(subtests):
    for recipe, address in (
        (Recipe("vlm-sam", parameters={"base_url": URL}), URL),
        (Recipe("vlm-sam", parameters={"base_url": URL}, preset="vlm-published"), URL),
        (Recipe("vlm-sam", parameters={"base_url": URL, "clicks": "kept.geojson"}), ""),
        (Recipe("vlm-sam", parameters={"vlm": "folder"}), ""),
        (Recipe("vlm-sam"), ""),
        (Recipe("sam-clip", parameters={"base_url": URL}), ""),
    ):
        with subtests.test(recipe.pipeline, **recipe.parameters):
            assert recipe.pictures_go_to == address


def test_pictures_go_to_the_address_of_a_preset_unless_the_user_has_another_one(monkeypatch):
    info = find_pipeline("vlm-sam")
    preset = dataclasses.replace(info.presets["vlm-published"], values={"base_url": URL, "model": "m"})
    monkeypatch.setitem(info.presets, "vlm-published", preset)
    assert Recipe("vlm-sam", preset="vlm-published").pictures_go_to == URL
    assert Recipe("vlm-sam", preset="vlm-published", parameters={"base_url": ""}).pictures_go_to == ""


def test_a_recipe_is_the_same_after_json():
    recipe = Recipe("vlm-sam", "mine", {"view": "whole", "tries": 2, "verify": True}, "cuda:1", "bf16", "vlm-published",
                    {"tries": 3})  # fmt: skip
    assert Recipe.from_json(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe
