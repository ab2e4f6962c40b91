from __future__ import annotations

import json

import pytest

from rs_textseg_plugin.contract.recipe import PIPELINES, PRESETS
from rs_textseg_plugin.gui.state.base_values import base_values, presets_of


def defaults(pipeline):
    return {parameter.name: parameter.default for parameter in PIPELINES[pipeline].parameters}


def test_without_a_set_and_a_preset_everything_is_at_its_default():
    assert base_values("sam-clip", "no such set", "") == defaults("sam-clip")
    assert base_values("sam-clip", "", "") == defaults("sam-clip")


def test_a_set_that_ships_has_its_own_values_and_a_preset_wins_over_them():
    assert base_values("sam-clip", "demo", "")["points_per_side"] == 12
    assert base_values("sam-clip", "demo", "paper")["points_per_side"] == 29


def test_a_folder_with_a_manifest_has_its_own_values(tmp_path):
    manifest = {"id": "mine", "title": "Mine", "files": [], "pipelines": [], "parameters": {"points_per_side": 7}}
    (tmp_path / "models.json").write_text(json.dumps({"paper": "", **manifest}))
    assert base_values("sam-clip", str(tmp_path), "")["points_per_side"] == 7


@pytest.mark.parametrize("content", ["nonsense", '{"id": "x"}'])
def test_a_manifest_that_cannot_be_read_changes_nothing(tmp_path, content):
    (tmp_path / "models.json").write_text(content)
    assert base_values("sam-clip", str(tmp_path), "") == defaults("sam-clip")


def test_a_set_with_values_out_of_range_leaves_those_of_the_preset(tmp_path):
    manifest = {"id": "mine", "title": "Mine", "paper": "", "files": [], "pipelines": [],
                "parameters": {"points_per_side": 10**6}}  # fmt: skip
    (tmp_path / "models.json").write_text(json.dumps(manifest))
    assert base_values("sam-clip", str(tmp_path), "paper")["points_per_side"] == 29


def test_a_pipeline_has_its_own_presets_and_no_others():
    assert list(presets_of("segearth-ov")) == ["segearth-published", "native"]
    assert {name for pipeline in PIPELINES for name in presets_of(pipeline)} == set(PRESETS)
