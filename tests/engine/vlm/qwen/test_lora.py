"""Adapters that peft wrote, onto a Qwen-VL."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from controls import control
from safetensors.torch import load_file, save_file
from tiny_qwen import peft, save_tiny_adapter, save_tiny_qwen, tiny_qwen

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.vlm.model import ModelQuestion
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import QwenVl, load_qwen_vl

CPU = torch.device("cpu")
ASKED = ModelQuestion("Say where it is.", "Where is the ship?", {})
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("models") / "tiny", "qwen3_vl")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapters") / "ships", "qwen3_vl")


def loaded(folder: Path, adapter: Path | None) -> QwenVl:
    model = load_qwen_vl(folder, adapter, CPU, torch.float32)
    model.most_tokens = 12
    return model


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / folder.name))


def changed(folder: Path, **values: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def never() -> bool:
    return False


def test_an_adapter_changes_the_answer_as_peft_itself_does(folder, adapter):
    tuned = loaded(folder, adapter)
    reply = tuned.ask(PICTURE, ASKED, control())
    assert reply.text != loaded(folder, None).ask(PICTURE, ASKED, control()).text
    plain = loaded(folder, None)
    plain.model = peft.PeftModel.from_pretrained(plain.model, str(adapter)).merge_and_unload()
    assert plain.ask(PICTURE, ASKED, control()).text == reply.text
    assert tuned.name == "tiny+ships"
    assert not any(value.requires_grad for name, value in tuned.model.named_parameters() if "lora" in name)


def test_the_estimate_and_the_end_of_an_answer_are_told_with_an_adapter_too(folder, adapter):
    tuned = loaded(folder, adapter)
    assert tuned.estimate_s(100, 60, 12) > 0
    assert tuned.end_tokens == loaded(folder, None).end_tokens


def test_an_adapter_has_the_models_precision(folder, adapter):
    tuned = load_qwen_vl(folder, adapter, CPU, torch.bfloat16)
    assert {value.dtype for value in tuned.model.parameters()} == {torch.bfloat16}
    tuned.most_tokens = 3
    assert tuned.ask(PICTURE, ASKED, control()).tokens_out == 3


def test_nothing_is_warned_of_that_a_user_cannot_mend(folder, adapter):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loaded(folder, adapter)
    assert not [str(one.message) for one in said if issubclass(one.category, FutureWarning)]


def test_an_adapter_with_the_names_of_older_versions_is_the_same(folder, adapter, tmp_path):
    old = copied(adapter, tmp_path)
    state = load_file(old / "adapter_model.safetensors")
    renamed = {name.replace("model.model.language_model.", "model.model."): value for name, value in state.items()}
    assert renamed.keys() != state.keys()
    save_file(renamed, old / "adapter_model.safetensors", {"format": "pt"})
    tuned, other = loaded(folder, adapter).model.state_dict(), loaded(folder, old).model.state_dict()
    assert all(torch.equal(other[name], value) for name, value in tuned.items())


def test_an_adapter_of_a_model_of_another_width_is_refused(folder, tmp_path):
    wide = save_tiny_adapter(tmp_path / "wide", "qwen3_vl", hidden_size=48)
    with pytest.raises(ModelError, match=r"does not fit this model \(it has in another shape 14 weights such as "):
        loaded(folder, wide)


def test_an_adapter_of_a_deeper_model_is_refused(folder, tmp_path):
    deep = save_tiny_adapter(tmp_path / "deep", "qwen3_vl", num_hidden_layers=3)
    with pytest.raises(ModelError, match=r"it has beside those of this model 14 weights such as .*layers\.2\."):
        loaded(folder, deep)


def test_an_adapter_of_a_shallower_model_is_refused(folder, tmp_path):
    flat = save_tiny_adapter(tmp_path / "flat", "qwen3_vl", num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"it lacks 14 weights such as .*layers\.1\."):
        loaded(folder, flat)


def test_an_adapter_for_parts_that_the_model_does_not_have_is_refused(folder, adapter, tmp_path):
    other = copied(adapter, tmp_path)
    changed(other, target_modules=["query_key_value"])
    with pytest.raises(ModelError, match=r"does not fit this model .*query_key_value"):
        loaded(folder, other)


@pytest.mark.parametrize("kind", ["LOHA", "PREFIX_TUNING", None])
def test_an_adapter_of_another_kind_is_refused(folder, adapter, tmp_path, kind):
    other = copied(adapter, tmp_path)
    changed(other, peft_type=kind)
    with pytest.raises(ModelError, match=f"is of the kind {kind}: take a LoRA adapter"):
        loaded(folder, other)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"peft_type": "LORA", "r": "many"}'])
def test_a_damaged_configuration_is_refused(folder, adapter, tmp_path, text):
    other = copied(adapter, tmp_path)
    (other / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"(is damaged or of no adapter|does not fit this model)"):
        loaded(folder, other)


def test_an_adapter_that_is_cut_off_is_refused(folder, adapter, tmp_path):
    path = copied(adapter, tmp_path) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors .* is damaged or cut off"):
        loaded(folder, path.parent)


def test_an_adapter_as_a_pickle_is_not_taken(folder, adapter, tmp_path):
    path = copied(adapter, tmp_path) / "adapter_model.safetensors"
    torch.save(load_file(path), path.parent / "adapter_model.bin")
    path.unlink()
    with pytest.raises(ModelError, match=r"There is no checkpoint .*adapter_model\.safetensors"):
        loaded(folder, path.parent)


def test_a_folder_that_is_no_adapter_is_refused(folder, tmp_path):
    for place in (folder, tmp_path / "none"):
        with pytest.raises(ModelError, match="is no folder with a LoRA adapter"):
            loaded(folder, place)


def test_the_same_model_without_the_adapter_is_untouched_on_disk(folder, adapter):
    loaded(folder, adapter)
    saved = tiny_qwen("qwen3_vl").state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in loaded(folder, None).model.state_dict().items())
