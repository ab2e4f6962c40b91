"""Model sets that were imported: what is taken, and what they are verified to serve."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_detector import write_tiny_detector
from tiny_qwen import save_tiny_qwen
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.loading.sets import import_set, verify_set


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_set_is_verified_with_whatever_it_holds_and_says_which_pipelines_it_serves(home, tiny_models, tmp_path):
    torch.save({f"upsampler.{name}": value for name, value in published_state(32).items()}, tmp_path / "up.ckpt")
    import_set("dense", [tiny_models / "clip_tiny.pt", tmp_path / "up.ckpt"])
    import_set("both", sorted(tiny_models.iterdir()))
    lines = verify_set("dense").splitlines()
    assert [line.split(":")[0] for line in lines] == ["clip", "upsampler", "It serves segearth-ov."]
    assert verify_set("both").endswith("It serves sam-clip, segearth-ov, surgery-sam, text2seg, vlm-sam.")
    import_set("alone", [tiny_models / "sam_tiny.pth"])
    assert verify_set("alone").endswith("It serves vlm-sam.")
    import_set("lonely", [tmp_path / "up.ckpt"])
    with pytest.raises(
        ModelError, match=r"'lonely' holds upsampler, which no method can work with alone .*sam-clip: sam and clip"
    ):
        verify_set("lonely")


def test_a_vision_language_model_is_imported_with_the_sam_that_draws_for_it(home, tiny_models, tmp_path):
    vlm = save_tiny_qwen(tmp_path / "Qwen3-VL", "qwen3_vl")
    (vlm / "notes").mkdir()
    import_set("asking", [tiny_models / "sam_tiny.pth", vlm])
    assert (home / "asking" / "vlm" / "model.safetensors").is_file()
    assert verify_set("asking").splitlines()[-2:] == [f"vlm: {home / 'asking' / 'vlm'} is whole", "It serves vlm-sam."]
    with pytest.raises(ModelError, match="two vision-language models"):
        import_set("both", [vlm, save_tiny_qwen(tmp_path / "other", "qwen3_vl")])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        import_set("none", [tmp_path / "Qwen3-VL" / "notes"])
    assert not (home / "both").exists()
    assert not (home / "none").exists()


def test_what_is_no_model_is_not_imported(home, tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pth")
    with pytest.raises(ModelError, match=r"resnet\.pth is no checkpoint of a kind .* nothing was imported"):
        import_set("mine", [tmp_path / "resnet.pth"])
    assert not (home / "mine").exists()


def test_a_detector_is_imported_with_what_lies_beside_its_weights(home, tiny_models, tmp_path):
    weights = write_tiny_detector(tmp_path / "dino")
    folder = import_set("boxes", [tiny_models / "sam_tiny.pth", weights])
    assert (folder / "config.json").is_file()
    lines = verify_set("boxes").splitlines()
    assert [line.split(":")[0] for line in lines] == ["sam", "detector", "It serves grounding-sam, vlm-sam."]
