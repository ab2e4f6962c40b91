"""A SamModel of transformers, loaded under segment_anything's names, sees and draws what transformers does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from published_layouts import hf_sam, in_shards, write_hf_sam

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.kinds import checkpoint_role
from rs_textseg_plugin.engine.models.sam import load_sam

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_hf_sam(tmp_path_factory.mktemp("sam") / "sam-vit-tiny", seed=5)


def test_image_features_and_masks_are_those_of_transformers(folder):
    """To 1e-3 of logits up to 10, and to 1e-4 with one epsilon: the programs have two in the decoder's layer norms."""
    theirs, sam = hf_sam(5), load_sam(folder / "model.safetensors", CPU, torch.float32)
    tile = np.random.default_rng(1).integers(0, 256, (256, 200, 3), np.uint8)
    points = np.array([[50.0, 60.0], [120.5, 200.25]])
    embedding = sam.embed(tile)
    pixels = sam.sam.preprocess(torch.from_numpy(tile.copy()).permute(2, 0, 1)[None])
    masks, rated = sam.decode_points(embedding, points, None)
    for epsilon, tolerance in ((1e-6, 1e-3), (1e-5, 1e-4)):  # transformers' own, then segment_anything's
        for layer in theirs.mask_decoder.transformer.modules():
            if isinstance(layer, torch.nn.LayerNorm):
                layer.eps = epsilon
        with torch.inference_mode():
            features = theirs.get_image_embeddings(pixels)
            expected = theirs(
                image_embeddings=features, input_points=torch.tensor(points)[None, :, None].float(),
                input_labels=torch.ones(1, 2, 1, dtype=torch.long), multimask_output=True,
            )  # fmt: skip
        assert expected.pred_masks[0].std() > 1
        np.testing.assert_allclose(masks, expected.pred_masks[0], atol=tolerance)
        np.testing.assert_allclose(rated, expected.iou_scores[0], atol=tolerance)
    np.testing.assert_allclose(embedding.image_embeddings, features, atol=1e-4)


def test_it_is_told_to_be_a_sam_and_colours_come_from_beside_it(folder, tmp_path):
    assert checkpoint_role(peek_keys_and_shapes(folder / "model.safetensors")) == "sam"
    copy = write_hf_sam(tmp_path / "other", seed=5)
    (copy / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    sam = load_sam(copy / "model.safetensors", CPU, torch.float32).sam
    np.testing.assert_allclose(sam.pixel_mean.flatten(), [127.5] * 3)
    np.testing.assert_allclose(sam.pixel_std.flatten(), [63.75] * 3)
    published = load_sam(folder / "model.safetensors", CPU, torch.float32).sam
    np.testing.assert_allclose(published.pixel_mean.flatten(), [123.675, 116.28, 103.53], rtol=1e-6)


def test_shards_and_a_bin_hold_the_same_model(folder, tmp_path):
    whole = load_sam(folder / "model.safetensors", CPU, torch.float32).sam.state_dict()
    shards = in_shards(write_hf_sam(tmp_path / "shards", seed=5))
    old = write_hf_sam(tmp_path / "old", seed=5, as_bin=True)
    for path in (shards / "model.safetensors.index.json", old / "pytorch_model.bin"):
        state = load_sam(path, CPU, torch.float32).sam.state_dict()
        assert all(torch.equal(value, whole[name]) for name, value in state.items())
    (shards / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no model-00002-of-00003\.safetensors beside .* fetch all files"):
        load_sam(shards / "model.safetensors.index.json", CPU, torch.float32)


@pytest.mark.parametrize("name", ["../model.safetensors", "a/b.safetensors", ""])
def test_an_index_that_leaves_its_folder_is_refused(tmp_path, name):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelError, match="names files outside its folder"):
        load_sam(tmp_path / "model.safetensors.index.json", CPU, torch.float32)
