from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines import find_pipeline
from rs_textseg_plugin.contract.recipe import Recipe


def test_the_paper_s_preset_states_what_the_paper_does():
    paper = Recipe("sam-clip", preset="paper").checked_parameters()
    assert (paper["selector"], paper["vote"], paper["region_prompts"]) == ("vote", "majority", False)
    assert (paper["points_per_side"], paper["clip_long_side_px"], paper["window_blend"]) == (29, 448, "mean")


def test_objects_stay_apart_where_that_is_asked_for_or_crops_are_judged(subtests):
    for selector, objects, wanted in (
        ("vote", "auto", False),
        ("crop", "auto", True),
        ("vote", "instances", True),
        ("crop", "regions", False),
    ):
        with subtests.test(selector=selector, objects=objects):
            values = Recipe("sam-clip", parameters={"selector": selector, "objects": objects}).checked_parameters()
            assert find_pipeline("sam-clip").makes_instances(values) is wanted


def test_ways_to_vote_are_read_from_text():
    text = {"vote": "soft", "vote_weight": "2.5", "region_prompts": "true", "region_min_px": "30"}
    values = Recipe("sam-clip", parameters=text).checked_parameters()
    assert {name: values[name] for name in text} == {
        "vote": "soft", "vote_weight": 2.5, "region_prompts": True, "region_min_px": 30,
    }  # fmt: skip
    with pytest.raises(RecipeError, match="from 0 to 100"):
        Recipe("sam-clip", parameters={"vote_weight": 101}).checked_parameters()
