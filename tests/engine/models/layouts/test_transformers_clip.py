"""A CLIPModel of transformers, loaded under open_clip's names, says of pictures and words what transformers says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from published_layouts import hf_clip, write_hf_clip
from tiny_models import open_clip

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.clip import load_clip, notes_on_clip

CPU = torch.device("cpu")
COLOURS = {"mean": [0.5, 0.4, 0.31], "std": [0.2, 0.25, 0.5]}


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_pictures_and_words_are_those_of_transformers(tmp_path, activation):
    folder = write_hf_clip(tmp_path / "clip-vit-small", 3, activation, **COLOURS)
    theirs, clip = hf_clip(3, activation), load_clip(folder / "model.safetensors", "", CPU, torch.float32)
    pictures = np.random.default_rng(2).integers(0, 256, (3, 64, 64, 3), np.uint8)
    values = (torch.tensor(pictures) / 255 - torch.tensor(COLOURS["mean"])) / torch.tensor(COLOURS["std"])
    tokens = open_clip.get_tokenizer("ViT-B-16")(["a photo of a road."])
    with torch.inference_mode():
        seen = theirs.vision_model(pixel_values=values.permute(0, 3, 1, 2)).pooler_output
        seen = torch.nn.functional.normalize(theirs.visual_projection(seen), dim=-1)
        said = theirs.text_projection(theirs.text_model(input_ids=tokens).pooler_output)
        said = torch.nn.functional.normalize(said, dim=-1)
    np.testing.assert_allclose(clip.embed_pictures(pictures), seen, atol=2e-6)
    np.testing.assert_allclose(clip.embed_words(["road"], "1"), said, atol=2e-6)
    assert notes_on_clip(folder / "model.safetensors", "") == ()
    assert clip.mean_colour == (128, 102, 79)


def test_the_activations_differ(tmp_path):
    pictures = np.random.default_rng(2).integers(0, 256, (1, 64, 64, 3), np.uint8)
    seen = [
        load_clip(write_hf_clip(tmp_path / kind, 3, kind) / "model.safetensors", "", CPU, torch.float32)
        for kind in ("quick_gelu", "gelu")
    ]
    first, second = (clip.embed_pictures(pictures) for clip in seen)
    assert np.abs(first - second).max() > 1e-3


def test_an_activation_that_is_not_known_is_refused_in_words(tmp_path):
    folder = write_hf_clip(tmp_path / "clip", 3)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "relu"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"the activation quick_gelu and relu in config\.json"):
        load_clip(folder / "model.safetensors", "", CPU, torch.float32)
