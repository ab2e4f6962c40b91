"""Folders as people have them: one model in several forms is one model."""

from __future__ import annotations

import shutil

import pytest
import torch
from published_layouts import in_shards, write_both_formats, write_hf_clip, write_hf_sam, write_open_clip

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.loading.files import resolve_set
from rs_textseg_plugin.engine.loading.folder_scan import scan_folder


def found(folder) -> list[tuple[str, str]]:
    return [(file.role, file.name) for file in scan_folder(folder)]


def test_safetensors_come_before_a_bin_which_is_not_even_looked_at(tmp_path):
    folder = write_both_formats(tmp_path / "dino")
    (folder / "pytorch_model.bin").write_bytes(b"no weights")
    (folder / "training_args.bin").write_bytes(b"no weights")
    assert found(folder) == [("detector", "model.safetensors")]
    assert found(tmp_path) == [("detector", "dino/model.safetensors")]


def test_a_clip_in_four_forms_is_one_clip(tmp_path):
    """As laion publishes: open_clip's and transformers' layout, each as .safetensors and as .bin."""
    folder = write_hf_clip(tmp_path / "CLIP-ViT-X", 3)
    write_open_clip(folder, "open_clip_model.safetensors", 3)
    write_open_clip(folder, "open_clip_pytorch_model.bin", 3)
    shutil.copy(folder / "open_clip_pytorch_model.bin", folder / "pytorch_model.bin")
    assert found(folder) == [("clip", "open_clip_model.safetensors")]
    (folder / "open_clip_model.safetensors").unlink()
    assert found(folder) == [("clip", "open_clip_pytorch_model.bin")]
    (folder / "open_clip_pytorch_model.bin").unlink()
    assert found(folder) == [("clip", "model.safetensors")]


def test_weights_of_another_program_beside_known_ones_are_passed_over(tmp_path):
    folder = write_open_clip(tmp_path / "vit_base.timm")
    torch.save({"blocks.0.norm1.weight": torch.zeros(3)}, folder / "pytorch_model.bin")
    assert found(folder) == [("clip", "open_clip_model.safetensors")]


def test_shards_are_one_model_and_their_digest_follows_each_of_them(tmp_path):
    folder = in_shards(write_hf_sam(tmp_path / "sam"))
    assert found(folder) == [("sam", "model.safetensors.index.json")]
    before = resolve_set(str(folder), ("sam",)).identity
    (folder / "model-00002-of-00003.safetensors").touch()
    assert resolve_set(str(folder), ("sam",)).identity == before
    content = (folder / "model-00002-of-00003.safetensors").read_bytes()
    (folder / "model-00002-of-00003.safetensors").write_bytes(content[:-4] + b"\0\0\1\1")
    assert resolve_set(str(folder), ("sam",)).identity != before
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(ModelError, match=r"is a part of a model, and no index beside it lists it"):
        scan_folder(folder)


def test_folders_that_hold_no_published_model_are_passed_over(tmp_path, tiny_models):
    shutil.copytree(tiny_models, tmp_path / "backup")
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "backup" / "resnet.pth")
    assert found(tmp_path) == []
    folder = write_hf_sam(tmp_path / "sam")
    torch.save({"fc.weight": torch.zeros(2, 2)}, folder / "resnet.pth")
    assert found(tmp_path) == [("sam", "sam/model.safetensors")]
