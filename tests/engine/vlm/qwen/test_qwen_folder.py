"""What a folder says of itself, for folders that hold nothing but what is looked at."""

from __future__ import annotations

import json

import pytest

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.vlm.model import Convention
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import family_of, weight_files

INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("kind", "title", "convention"),
    [("qwen2_5_vl", "Qwen2.5-VL", Convention.PIXELS), ("qwen3_vl", "Qwen3-VL", Convention.GRID_1000)],
)
def test_the_configuration_tells_the_generation_and_its_convention(tmp_path, kind, title, convention):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    family = family_of(tmp_path)
    assert (family.title, family.convention) == (title, convention)


@pytest.mark.parametrize("kind", ["qwen2_vl", "llama", None, ["qwen3_vl"]])
def test_a_model_of_another_kind_is_refused(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ModelError, match=r"take a Qwen2\.5-VL or Qwen3-VL"):
        family_of(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", ""])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json is damaged or of no model"):
        family_of(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(ModelError, match="is no folder with a vision-language model"):
            family_of(place)


def test_the_files_are_the_single_one_or_those_of_the_list_and_the_adapters(tmp_path):
    model, adapter = tmp_path / "model", tmp_path / "adapter"
    for path in (model / "model.safetensors", model / "a.safetensors", adapter / "adapter_model.safetensors"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert weight_files(model, None) == (model / "model.safetensors",)
    (model / INDEX).write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": "a.safetensors"}}))
    assert weight_files(model, adapter) == (model / "a.safetensors", adapter / "adapter_model.safetensors")


def test_a_list_does_not_lead_out_of_the_folder(tmp_path):
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"x": "../other.safetensors"}}))
    (tmp_path / "other.safetensors").write_bytes(b"")
    assert weight_files(tmp_path, None) == (tmp_path / "other.safetensors",)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}'])
def test_a_damaged_list_of_weights_is_refused(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(ModelError, match=r"list of weights .* is damaged"):
        weight_files(tmp_path, None)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"There is no model\.safetensors in .*: fetch all files"):
        weight_files(tmp_path, None)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"There is no adapter_model\.safetensors in"):
        weight_files(tmp_path, tmp_path)
