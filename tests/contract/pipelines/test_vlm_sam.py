from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines.vlm_sam import INFO
from rs_textseg_plugin.contract.recipe import Recipe


def test_a_question_goes_to_one_model_with_a_name():
    with pytest.raises(RecipeError, match="name two models"):
        Recipe("vlm-sam", parameters={"base_url": "http://a/v1", "model": "m", "vlm": "folder"}).checked_parameters()
    with pytest.raises(RecipeError, match="add model=NAME"):
        Recipe("vlm-sam", parameters={"base_url": "http://a/v1"}).checked_parameters()


def test_the_published_clicks_are_six():
    values = Recipe("vlm-sam", preset="vlm-published").checked_parameters()
    assert values["inside_points"] + values["outside_points"] == 6
    assert (values["prompts"], values["view"]) == ("points", "whole")


def test_of_a_tile_only_its_place_depends_on_parameters_before_the_question_is_known():
    names = [name for name, _ in INFO.image_side(INFO.read_parameters({}))]
    assert names == ["view", "view_px", "tile_px", "overlap_px"]


def test_the_self_test_is_typed_as_a_truth_value_or_left_to_the_engine(subtests):
    for typed, meant in (
        *((text, "true") for text in (True, "true", "True", "1", "yes")),
        *((text, "false") for text in (False, "false", "no", "0")),
        *((text, "auto") for text in (None, "auto")),
    ):
        with subtests.test(typed=typed):
            assert INFO.read_parameters({"self_test": typed})["self_test"] == meant
    for typed in ("perhaps", "", 2):
        with subtests.test(typed=typed), pytest.raises(RecipeError, match="choose one of auto, true, false"):
            INFO.read_parameters({"self_test": typed})


def test_what_numbers_mean_can_be_said_as_the_engine_knows_it():
    (convention,) = (parameter for parameter in INFO.parameters if parameter.name == "convention")
    assert convention.choices == ("auto", "pixels", "grid-1000", "grid-1000-yx")


def test_a_model_set_cannot_allow_that_a_key_goes_over_plain_http():
    of_models = {"base_url": "http://a/v1", "model": "m", "allow_plain_http": True}
    assert Recipe("vlm-sam").checked_parameters(of_models)["allow_plain_http"] is False
    of_user = Recipe("vlm-sam", parameters={"allow_plain_http": True})
    assert of_user.checked_parameters(of_models)["allow_plain_http"] is True
