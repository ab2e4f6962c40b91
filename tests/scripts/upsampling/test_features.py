from __future__ import annotations

import numpy as np
import pytest
import torch
from literal_segearth import literal_tokens, normalised
from tiny_models import CLIP_CONFIG, open_clip, tiny_clip

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.clip import ClipModel
from upsampling.features import LAST_BLOCK, PENULTIMATE, Featurizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return ClipModel(tiny_clip(4), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.float32)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3)).astype(np.uint8)


def test_features_are_those_that_the_product_feeds_its_upsampler_with(clip, pictures):
    featurizer = Featurizer(clip, LAST_BLOCK, "self-self")
    found = featurizer.features(featurizer.normalised(pictures))
    product, _ = clip.dense_features(pictures, "self-self", unit_length=False)
    torch.testing.assert_close(found.permute(0, 2, 3, 1), product.clone())
    assert (featurizer.patch_px, featurizer.channels) == (16, 32)
    other = Featurizer(clip, LAST_BLOCK, "vanilla")
    assert not torch.allclose(other.features(other.normalised(pictures)), found, atol=1e-3)


def test_the_published_features_enter_the_last_block(clip, pictures):
    featurizer = Featurizer(clip, PENULTIMATE, "self-self")
    found = featurizer.features(featurizer.normalised(pictures))
    visual = clip.model.visual
    with torch.no_grad():
        tokens = literal_tokens(visual, normalised(pictures))
        for block in visual.transformer.resblocks[:-1]:
            tokens = block(tokens)
        expected = (visual.ln_post(tokens) @ visual.proj)[:, 1:].unflatten(1, (3, 3)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert len(visual.transformer.resblocks) == 3


def test_a_clip_without_a_vit_is_refused():
    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": CLIP_CONFIG["text_cfg"],
    }
    resnet = ClipModel(open_clip.CLIP(**config), open_clip.get_tokenizer("RN50"), "rn.pt", CPU, torch.float32)
    with pytest.raises(ModelError, match=r"rn\.pt has no standard ViT"):
        Featurizer(resnet, LAST_BLOCK, "self-self")


def test_a_clip_of_one_block_has_nothing_before_it(clip):
    config = {**CLIP_CONFIG, "vision_cfg": {**CLIP_CONFIG["vision_cfg"], "layers": 1}}
    short = ClipModel(open_clip.CLIP(**config), open_clip.get_tokenizer("ViT-B-16"), "short.pt", CPU, torch.float32)
    assert Featurizer(short, LAST_BLOCK, "self-self").channels == 32
    with pytest.raises(ModelError, match=r"short\.pt has one block"):
        Featurizer(short, PENULTIMATE, "self-self")
