from __future__ import annotations

from rs_textseg_plugin.contract.recipe import PIPELINES
from rs_textseg_plugin.gui.state.base_values import base_values


def test_without_a_set_and_a_preset_everything_is_at_its_default():
    defaults = {parameter.name: parameter.default for parameter in PIPELINES["sam-clip"].parameters}
    assert base_values("sam-clip", "", {}) == defaults


def test_a_set_has_its_own_values_and_a_preset_wins_over_them():
    assert base_values("sam-clip", "", {"points_per_side": 12})["points_per_side"] == 12
    assert base_values("sam-clip", "paper", {"points_per_side": 12})["points_per_side"] == 29


def test_a_set_with_values_out_of_range_leaves_those_of_the_preset():
    assert base_values("sam-clip", "paper", {"crop_edge_px": "?", "points_per_side": 10**6})["points_per_side"] == 29
    assert base_values("sam-clip", "", {"points_per_side": 10**6}) == base_values("sam-clip", "", {})


def test_beside_a_preset_a_set_has_a_say_in_its_tiles_only_and_a_class_list_in_what_it_names():
    of_models = {"tile_px": 256, "cls_weight": 0.0, "prob_threshold": 0.9}
    values = base_values("segearth-ov", "segearth-published", of_models, {"prob_threshold": 0.3})
    assert (values["tile_px"], values["cls_weight"], values["prob_threshold"]) == (256, 0.3, 0.3)
