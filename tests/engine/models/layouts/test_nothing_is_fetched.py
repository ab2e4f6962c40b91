"""A model that asks for parts from a hub takes them from the files beside it, or says which to put there."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import write_bin_only, write_hf_clip, write_hf_sam, write_original_dino
from safetensors.torch import save_file
from tiny_models import open_clip
from tokenizers import Tokenizer, models, pre_tokenizers

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.clip import load_clip
from rs_textseg_plugin.engine.models.detector import load_detector
from rs_textseg_plugin.engine.models.sam import load_sam

import transformers  # isort: skip (after the repair of torchvision that the adapters make)

CPU = torch.device("cpu")
WORDS = ("<pad>", "</s>", "<unk>", "a", "photo", "of", "road")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail on every connection and look-up of a name, also where a library catches that.

    No variable keeps the libraries from trying.
    """
    asked = []

    def refuse(*arguments, **options):
        asked.append(arguments)
        raise AssertionError(f"the network was asked: {arguments}")

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    yield asked
    assert asked == []


def write_tokenizer(folder: Path) -> None:
    """Write the files of a tokenizer that knows a few words."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_siglip(folder: Path) -> Path:
    """Write a CLIP with the configuration of SigLIP's text side at a small size; return its weights."""
    folder.mkdir()
    text = {
        "context_length": 8, "vocab_size": len(WORDS), "hf_tokenizer_name": "timm/ViT-B-16-SigLIP", "width": 32,
        "heads": 1, "layers": 1, "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
        "tokenizer_kwargs": {"clean": "canonicalize"},
    }  # fmt: skip
    vision = {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear"}
    config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text, "init_logit_bias": -10, "custom_text": True}
    torch.manual_seed(1)
    built = {key: value for key, value in config.items() if key != "custom_text"}
    model = open_clip.CustomTextCLIP(**built)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    # As some publish it: with an order to fetch the image tower, which is whole in the file.
    vision["timm_model_pretrained"] = True
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return folder / "open_clip_model.safetensors"


def test_a_siglip_reads_words_with_the_tokenizer_beside_it_or_names_its_files(tmp_path):
    weights = write_siglip(tmp_path / "siglip")
    with pytest.raises(ModelError, match=r"the tokenizer 'timm/ViT-B-16-SigLIP', .* put its tokenizer\.json and"):
        load_clip(weights, "", CPU, torch.float32)
    write_tokenizer(weights.parent)
    clip = load_clip(weights, "", CPU, torch.float32)
    known, unknown = clip.embed_words(["road"], "1")[0], clip.embed_words(["ship"], "1")[0]
    tokens = torch.tensor([[3, 4, 5, 3, 6, 0, 0, 0]])  # a photo of a road: lower case, without the full stop
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(clip.model.encode_text(tokens), dim=-1)[0]
    np.testing.assert_allclose(known, expected, atol=1e-6)
    assert np.abs(known - unknown).max() > 1e-3
    assert clip.embed_pictures(np.zeros((1, 160, 160, 3), np.uint8)).shape == (1, 32)


def test_a_text_tower_of_hugging_face_is_built_from_the_files_beside_it_or_they_are_named(tmp_path):
    folder = tmp_path / "roberta-clip"
    folder.mkdir()
    tower = transformers.RobertaConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32,
        max_position_embeddings=90,
    )  # fmt: skip
    tower.save_pretrained(folder)
    text = {"hf_model_name": "roberta-base", "hf_tokenizer_name": "roberta-base", "hf_pooler_type": "mean_pooler"}
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    local = {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}
    model = open_clip.CustomTextCLIP(**{**config, "text_cfg": local})
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    write_tokenizer(folder)
    clip = load_clip(folder / "open_clip_model.safetensors", "", CPU, torch.float32)
    assert clip.embed_words(["road"], "1").shape == (1, 16)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"the text tower 'roberta-base', .* put the config\.json and the tokenizer's"):
        load_clip(folder / "open_clip_model.safetensors", "", CPU, torch.float32)


@pytest.mark.parametrize(
    ("part", "words", "said"),
    [
        ("text_cfg", {"tokenizer_kwargs": {"trust_remote_code": True}}, "the option 'trust_remote_code', which is not"),
        ("vision_cfg", {"timm_model_name": "hf-hub:someone/tower"}, "'hf-hub:someone/tower', which would be fetched"),
    ],
)
def test_a_configuration_cannot_order_code_to_run_or_a_tower_to_be_fetched(tmp_path, part, words, said):
    weights = write_siglip(tmp_path / "siglip")
    write_tokenizer(weights.parent)
    path = weights.with_name("open_clip_config.json")
    content = json.loads(path.read_text())
    content["model_cfg"][part] |= words
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=said):
        load_clip(weights, "", CPU, torch.float32)


def test_no_other_layout_asks_the_network(tmp_path, no_network):
    load_sam(write_hf_sam(tmp_path / "sam") / "model.safetensors", CPU, torch.float32)
    load_clip(write_hf_clip(tmp_path / "clip") / "model.safetensors", "", CPU, torch.float32)
    load_detector(write_bin_only(tmp_path / "dino") / "pytorch_model.bin", CPU, torch.float32)
    load_detector(write_original_dino(tmp_path / "original"), CPU, torch.float32)
    assert no_network == []


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json"])
def test_a_detector_without_one_of_its_files_does_not_ask_the_network_either(tmp_path, name):
    folder = write_bin_only(tmp_path / "dino")
    (folder / name).unlink()
    (folder / "vocab.txt").unlink()
    with pytest.raises(ModelError, match=r"beside pytorch_model\.bin the folder needs"):
        load_detector(folder / "pytorch_model.bin", CPU, torch.float32)
