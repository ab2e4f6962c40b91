"""A Grounding DINO in its own repository's layout finds the boxes that the same weights find in transformers'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published_layouts import original_dino, write_original_dino

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import load_state_dict, shapes_of
from rs_textseg_plugin.engine.models.detector import load_detector
from rs_textseg_plugin.engine.models.layouts.original_grounding_dino import config_of

CPU = torch.device("cpu")


def test_weights_and_boxes_are_those_of_the_model_that_was_written(tmp_path):
    """Exactly: the same code runs with the same weights."""
    theirs = original_dino()
    detector = load_detector(write_original_dino(tmp_path), CPU, torch.float32)
    given = theirs.state_dict()
    found = detector.model.state_dict()
    # The last norm of Swin gives nothing that is used, and the repository has none.
    assert {name for name in given if not torch.equal(given[name], found[name])} <= {
        f"model.backbone.conv_encoder.model.swin.layernorm.{end}" for end in ("weight", "bias")
    }
    rgb = np.random.default_rng(4).integers(0, 256, (70, 90, 3), np.uint8)
    (caption,) = detector.captions(["building", "storage tank"])
    result = detector.detect(rgb, caption, 0.0)
    inputs = detector._processor(images=rgb, text="building. storage tank.", return_tensors="pt")
    assert min(inputs["pixel_values"].shape[2:]) == 800
    with torch.inference_mode():
        outputs = theirs(**inputs)
    np.testing.assert_array_equal(result.scores, outputs.logits[0].sigmoid().max(dim=1).values)
    half = outputs.pred_boxes[0, :, 2:] / 2
    left_top = (outputs.pred_boxes[0, :, :2] - half) * torch.tensor([90, 70])
    np.testing.assert_allclose(result.boxes_px[:, :2], left_top, atol=1e-4)
    assert detector.name == "groundingdino_swint_ogc"


def test_the_published_sizes_are_told_from_their_shapes():
    """Tiny and base, by the repository's configurations GroundingDINO_SwinT_OGC and GroundingDINO_SwinB_cfg."""
    for embed, depths, heads, window, side in (
        (96, [2, 2, 6, 2], [3, 6, 12, 24], 7, 224),
        (128, [2, 2, 18, 2], [4, 8, 16, 32], 12, 384),
    ):
        found = config_of(published_shapes(embed, depths, heads, window))
        swin = found["backbone_config"]
        assert (swin["embed_dim"], swin["depths"], swin["num_heads"]) == (embed, depths, heads)
        assert (swin["window_size"], swin["image_size"], swin["mlp_ratio"]) == (window, side, 4.0)
        assert swin["out_indices"] == [2, 3, 4]
        assert found["text_config"]["num_attention_heads"] == 12
        sizes = ("num_queries", "d_model", "num_feature_levels", "encoder_layers", "decoder_layers")
        assert [found[name] for name in sizes] == [900, 256, 4, 6, 6]
        heads_and_widths = (found["encoder_attention_heads"], found["decoder_attention_heads"])
        assert (*heads_and_widths, found["encoder_ffn_dim"], found["decoder_ffn_dim"]) == (8, 8, 2048, 2048)


def published_shapes(embed: int, depths: list[int], heads: list[int], window: int) -> dict[str, tuple[int, ...]]:
    """Return those shapes of a published checkpoint that its configuration is told from."""
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.level_embed": (4, 256),
        "transformer.tgt_embed.weight": (900, 256),
        "backbone.0.patch_embed.proj.weight": (embed, 3, 4, 4),
        "bert.embeddings.word_embeddings.weight": (30522, 768),
        "bert.embeddings.position_embeddings.weight": (512, 768),
    }
    for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
        for block in range(depth):
            before = f"backbone.0.layers.{stage}.blocks.{block}"
            shapes[f"{before}.attn.relative_position_bias_table"] = ((2 * window - 1) ** 2, count)
            shapes[f"{before}.mlp.fc1.weight"] = (4 * embed * 2**stage, embed * 2**stage)
    for layer in range(6):
        shapes[f"transformer.encoder.layers.{layer}.linear1.weight"] = (2048, 256)
        shapes[f"transformer.decoder.layers.{layer}.linear1.weight"] = (2048, 256)
        shapes[f"transformer.encoder.layers.{layer}.self_attn.attention_weights.bias"] = (8 * 4 * 4,)
        shapes[f"transformer.decoder.layers.{layer}.cross_attn.attention_weights.bias"] = (8 * 4 * 4,)
    for layer in range(12):
        shapes[f"bert.encoder.layer.{layer}.intermediate.dense.weight"] = (3072, 768)
    return {**shapes, **{f"backbone.0.norm{i}.weight": (embed * 2**i,) for i in (1, 2, 3)}}


def test_without_its_vocabulary_the_remedy_is_named(tmp_path):
    weights = write_original_dino(tmp_path, with_words=False)
    with pytest.raises(ModelError, match=r"put vocab\.txt or tokenizer\.json of bert-base-uncased .* beside it"):
        load_detector(weights, CPU, torch.float32)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nroad\n")
    with pytest.raises(ModelError, match="has 6 words, and the detector 1100"):
        load_detector(weights, CPU, torch.float32)


def test_weights_that_are_missing_are_named(tmp_path):
    weights = write_original_dino(tmp_path)
    state = load_state_dict(weights)
    assert len(shapes_of(state)) > 200
    state.pop("transformer.enc_output.bias")
    torch.save(dict(state), tmp_path / "less.pth")
    with pytest.raises(ModelError, match=r"lacks 1 weights .* such as model\.enc_output\.bias"):
        load_detector(tmp_path / "less.pth", CPU, torch.float32)
