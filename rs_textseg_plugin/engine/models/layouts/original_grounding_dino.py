"""Grounding DINO as its own repository publishes it (``groundingdino_swint_ogc.pth``), under transformers' names.

Both are the same network. transformers keeps query, key and value apart; the repository keeps them in one matrix.
The configuration is told from the shapes, so that nothing beside the weights is needed but BERT's vocabulary.
Source of the names: the modules of github.com/IDEA-Research/GroundingDINO and of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rs_textseg_plugin.engine.models.checkpoint import Shapes
from rs_textseg_plugin.engine.models.layouts.renaming import rename

POINTS = 4  # at which each head of deformable attention looks, on each level: in every published configuration
MAX_TEXT_LEN = 256
_ENDS = r"(weight|bias)"
_SWIN = r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\."
_OUR_SWIN = r"model.backbone.conv_encoder.model.encoder.layers.\1.blocks.\2."
_SWIN_PARTS = {
    "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
    "attn.query": "attention.self.query", "attn.key": "attention.self.key", "attn.value": "attention.self.value",
    "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
}  # fmt: skip
_DEFORMABLE = {"norm1": "self_attn_layer_norm", "linear1": "fc1", "linear2": "fc2", "norm2": "final_layer_norm"}
_TEXT = {"norm1": "layer_norm_before", "linear1": "fc1", "linear2": "fc2", "norm2": "layer_norm_after"}
_FUSION = {
    "layer_norm_v": "layer_norm_vision", "layer_norm_l": "layer_norm_text", "attn.v_proj": "attn.vision_proj",
    "attn.l_proj": "attn.text_proj", "attn.values_v_proj": "attn.values_vision_proj",
    "attn.values_l_proj": "attn.values_text_proj", "attn.out_v_proj": "attn.out_vision_proj",
    "attn.out_l_proj": "attn.out_text_proj",
}  # fmt: skip
_DECODER = {
    "norm1": "encoder_attn_layer_norm", "catext_norm": "encoder_attn_text_layer_norm", "norm2": "self_attn_layer_norm",
    "norm3": "final_layer_norm", "linear1": "fc1", "linear2": "fc2",
}  # fmt: skip


def _rows(before: str, after: str, parts: Mapping[str, str], last: int) -> list[tuple[str, str]]:
    """Return rows that rename parts, where `before` has `last - 1` groups."""
    return [
        (before + theirs.replace(".", r"\.") + rf"\.{_ENDS}", rf"{after}{ours}.\{last}")
        for theirs, ours in parts.items()
    ]


_ENCODER, _LAYER = r"transformer\.encoder\.", r"model.encoder.layers.\1."
_TABLE = (
    *_rows(_SWIN, _OUR_SWIN, _SWIN_PARTS, 3),
    (
        _SWIN + r"attn\.relative_position_bias_table",
        _OUR_SWIN + "attention.self.relative_position_bias_table",
    ),
    (
        rf"backbone\.0\.patch_embed\.proj\.{_ENDS}",
        r"model.backbone.conv_encoder.model.embeddings.patch_embeddings.projection.\1",
    ),
    (rf"backbone\.0\.patch_embed\.norm\.{_ENDS}", r"model.backbone.conv_encoder.model.embeddings.norm.\1"),
    (
        r"backbone\.0\.layers\.(\d+)\.downsample\.(.+)",
        r"model.backbone.conv_encoder.model.encoder.layers.\1.downsample.\2",
    ),
    *_rows(_ENCODER + r"layers\.(\d+)\.", _LAYER + "deformable_layer.", _DEFORMABLE, 2),
    (_ENCODER + r"layers\.(\d+)\.(self_attn\..+)", _LAYER + r"deformable_layer.\2"),
    *_rows(_ENCODER + r"text_layers\.(\d+)\.", _LAYER + "text_enhancer_layer.", _TEXT, 2),
    (_ENCODER + r"text_layers\.(\d+)\.(self_attn\..+)", _LAYER + r"text_enhancer_layer.\2"),
    (_ENCODER + r"fusion_layers\.(\d+)\.gamma_v", _LAYER + "fusion_layer.vision_param"),
    (_ENCODER + r"fusion_layers\.(\d+)\.gamma_l", _LAYER + "fusion_layer.text_param"),
    *_rows(_ENCODER + r"fusion_layers\.(\d+)\.", _LAYER + "fusion_layer.", _FUSION, 2),
    *_rows(r"transformer\.decoder\.layers\.(\d+)\.", r"model.decoder.layers.\1.", _DECODER, 2),
    (r"transformer\.decoder\.layers\.(\d+)\.cross_attn\.(.+)", r"model.decoder.layers.\1.encoder_attn.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.ca_text\.(.+)", r"model.decoder.layers.\1.encoder_attn_text.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.self_attn\.(.+)", r"model.decoder.layers.\1.self_attn.\2"),
    (r"transformer\.decoder\.norm\.(.+)", r"model.decoder.layer_norm.\1"),
    (r"transformer\.decoder\.ref_point_head\.(.+)", r"model.decoder.reference_points_head.\1"),
    (r"transformer\.decoder\.bbox_embed\.(.+)", r"model.decoder.bbox_embed.\1"),
    (r"transformer\.enc_out_bbox_embed\.(.+)", r"model.encoder_output_bbox_embed.\1"),
    (r"transformer\.(enc_output|enc_output_norm)\.(.+)", r"model.\1.\2"),
    (r"transformer\.level_embed", r"model.level_embed"),
    (r"transformer\.tgt_embed\.weight", r"model.query_position_embeddings.weight"),
    (r"bert\.(.+)", r"model.text_backbone.\1"),
    (r"input_proj\.(.+)", r"model.input_proj_vision.\1"),
    (r"feat_map\.(.+)", r"model.text_projection.\1"),
)  # fmt: skip
# Used in training only, or counted anew by whoever builds the network.
_LEFT_OUT = ("label_enc.", "bert.pooler.", "bert.embeddings.position_ids")
_LEFT_OUT_ENDS = (".relative_position_index", ".attn_mask")


def under_transformers_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names of ``GroundingDinoForObjectDetection`` as it is published."""
    kept = {
        name: value
        for name, value in weights.items()
        if not name.startswith(_LEFT_OUT) and not name.endswith(_LEFT_OUT_ENDS)
    }
    norms = [(rf"backbone\.0\.norm{i}\.{_ENDS}", _stage_norm(i + 1)) for i in _stages(weights)]
    return rename(_with_attention_apart(kept), (*norms, *_TABLE))


def _stage_norm(stage: int) -> str:
    return rf"model.backbone.conv_encoder.model.hidden_states_norms.stage{stage}.\1"


def _with_attention_apart(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with query, key and value apart, under a name each."""
    parted: dict[str, Tensor] = {}
    for name, value in weights.items():
        for mark, new in ((".attn.qkv.", ".attn.{}."), (".in_proj_", ".{}.")):
            before, found, end = name.partition(mark)
            if found:
                parts = zip(("query", "key", "value"), value.chunk(3))
                parted.update({f"{before}{new.format(part)}{end}": matrix for part, matrix in parts})
                break
        else:
            parted[name] = value
    return parted


def _stages(names: Mapping[str, object]) -> list[int]:
    """Return the numbers of the stages, from 0, of which Swin gives features."""
    return [i for i in range(_count(names, "backbone.0.layers.")) if f"backbone.0.norm{i}.weight" in names]


def _count(names: Mapping[str, object], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)})


def config_of(shapes: Shapes) -> dict[str, Any]:
    """Return the fields of transformers' ``GroundingDinoConfig`` that shapes in the repository's names tell.

    Raises:
        KeyError, IndexError, ZeroDivisionError: weights of the published layout are missing, or do not fit together.
    """
    levels, width = shapes["transformer.level_embed"]
    encoder, decoder = "transformer.encoder.layers.", "transformer.decoder.layers."
    return {
        "backbone_config": {"model_type": "swin", **_swin(shapes)},
        "text_config": {"model_type": "bert", **_bert(shapes)},
        "num_queries": shapes["transformer.tgt_embed.weight"][0],
        "d_model": width,
        "num_feature_levels": levels,
        "encoder_layers": _count(shapes, encoder),
        "decoder_layers": _count(shapes, decoder),
        "encoder_ffn_dim": shapes[f"{encoder}0.linear1.weight"][0],
        "decoder_ffn_dim": shapes[f"{decoder}0.linear1.weight"][0],
        "encoder_attention_heads": shapes[f"{encoder}0.self_attn.attention_weights.bias"][0] // (levels * POINTS),
        "decoder_attention_heads": shapes[f"{decoder}0.cross_attn.attention_weights.bias"][0] // (levels * POINTS),
        "max_text_len": MAX_TEXT_LEN,
    }


def _swin(shapes: Shapes) -> dict[str, Any]:
    stages = _count(shapes, "backbone.0.layers.")
    tables = [shapes[f"backbone.0.layers.{i}.blocks.0.attn.relative_position_bias_table"] for i in range(stages)]
    width, _, patch, _ = shapes["backbone.0.patch_embed.proj.weight"]
    window = (round(tables[0][0] ** 0.5) + 1) // 2
    return {
        "embed_dim": width,
        "patch_size": patch,
        "depths": [_count(shapes, f"backbone.0.layers.{i}.blocks.") for i in range(stages)],
        "num_heads": [heads for _, heads in tables],
        "window_size": window,
        "mlp_ratio": shapes["backbone.0.layers.0.blocks.0.mlp.fc1.weight"][0] / width,
        # On a picture of this size the last stage is one window: 224 for tiny, 384 for base, as published.
        "image_size": patch * window * 2 ** (stages - 1),
        "out_indices": [i + 1 for i in _stages(shapes)],
    }


def _bert(shapes: Shapes) -> dict[str, Any]:
    words, width = shapes["bert.embeddings.word_embeddings.weight"]
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": _count(shapes, "bert.encoder.layer."),
        "num_attention_heads": width // 64,
        "intermediate_size": shapes["bert.encoder.layer.0.intermediate.dense.weight"][0],
        "max_position_embeddings": shapes["bert.embeddings.position_embeddings.weight"][0],
    }
