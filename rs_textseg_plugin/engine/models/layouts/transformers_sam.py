"""SAM in the layout of transformers' ``SamModel`` (``facebook/sam-vit-*``), under the names of segment_anything.

Both are the same network. Two programs named its parts; the table says which names belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from rs_textseg_plugin.engine.models.checkpoint import Shapes
from rs_textseg_plugin.engine.models.layouts.json_beside import read_json
from rs_textseg_plugin.engine.models.layouts.renaming import rename

_Value = TypeVar("_Value")
_COPY = "prompt_encoder.shared_embedding.positional_embedding"  # of the second mark, in older files
_ENDS = r"(weight|bias)"
_MLPS = r"mask_decoder\.(output_hypernetworks_mlps\.\d+|iou_prediction_head)\."
_TABLE = (
    (r"vision_encoder\.pos_embed", r"image_encoder.pos_embed"),
    (rf"vision_encoder\.patch_embed\.projection\.{_ENDS}", r"image_encoder.patch_embed.proj.\1"),
    (rf"vision_encoder\.layers\.(\d+)\.layer_norm([12])\.{_ENDS}", r"image_encoder.blocks.\1.norm\2.\3"),
    (r"vision_encoder\.layers\.(\d+)\.(.+)", r"image_encoder.blocks.\1.\2"),
    (rf"vision_encoder\.neck\.conv1\.{_ENDS}", r"image_encoder.neck.0.\1"),
    (rf"vision_encoder\.neck\.layer_norm1\.{_ENDS}", r"image_encoder.neck.1.\1"),
    (rf"vision_encoder\.neck\.conv2\.{_ENDS}", r"image_encoder.neck.2.\1"),
    (rf"vision_encoder\.neck\.layer_norm2\.{_ENDS}", r"image_encoder.neck.3.\1"),
    (
        r"shared_image_embedding\.positional_embedding",
        r"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"prompt_encoder\.point_embed\.(\d+)\.weight", r"prompt_encoder.point_embeddings.\1.weight"),
    (rf"prompt_encoder\.mask_embed\.conv1\.{_ENDS}", r"prompt_encoder.mask_downscaling.0.\1"),
    (rf"prompt_encoder\.mask_embed\.layer_norm1\.{_ENDS}", r"prompt_encoder.mask_downscaling.1.\1"),
    (rf"prompt_encoder\.mask_embed\.conv2\.{_ENDS}", r"prompt_encoder.mask_downscaling.3.\1"),
    (rf"prompt_encoder\.mask_embed\.layer_norm2\.{_ENDS}", r"prompt_encoder.mask_downscaling.4.\1"),
    (rf"prompt_encoder\.mask_embed\.conv3\.{_ENDS}", r"prompt_encoder.mask_downscaling.6.\1"),
    (
        rf"mask_decoder\.transformer\.layers\.(\d+)\.layer_norm([1-4])\.{_ENDS}",
        r"mask_decoder.transformer.layers.\1.norm\2.\3",
    ),
    (
        rf"mask_decoder\.transformer\.layer_norm_final_attn\.{_ENDS}",
        r"mask_decoder.transformer.norm_final_attn.\1",
    ),
    (rf"mask_decoder\.upscale_conv1\.{_ENDS}", r"mask_decoder.output_upscaling.0.\1"),
    (rf"mask_decoder\.upscale_layer_norm\.{_ENDS}", r"mask_decoder.output_upscaling.1.\1"),
    (rf"mask_decoder\.upscale_conv2\.{_ENDS}", r"mask_decoder.output_upscaling.3.\1"),
)


def under_own_names(weights: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return the weights of a ``SamModel`` under segment_anything's names."""
    return rename({name: value for name, value in weights.items() if name != _COPY}, (*_TABLE, *_mlp_rows(weights)))


def _mlp_rows(weights: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return the rows for the small MLPs, which transformers calls first, between and last, and SAM by numbers."""
    first = "mask_decoder.iou_prediction_head.layers."
    between = {
        "iou_prediction_head": len({name[len(first) :].split(".")[0] for name in weights if name.startswith(first)}),
        r"output_hypernetworks_mlps\.\d+": 1,
    }
    rows = [(rf"{_MLPS}proj_in\.{_ENDS}", r"mask_decoder.\1.layers.0.\2")]
    for name, count in between.items():
        rows += [
            (rf"mask_decoder\.({name})\.layers\.{i}\.{_ENDS}", rf"mask_decoder.\1.layers.{i + 1}.\2")
            for i in range(count)
        ]
        rows.append((rf"mask_decoder\.({name})\.proj_out\.{_ENDS}", rf"mask_decoder.\1.layers.{count + 1}.\2"))
    return tuple(rows)


def written_beside(path: Path, shapes: Shapes) -> dict[str, Any]:
    """Return the fields of `SamConfig` that ``config.json`` and ``preprocessor_config.json`` beside weights give.

    Args:
        path: of the weights.
        shapes: in segment_anything's names.

    Raises:
        ModelError: one of the files is damaged.
    """
    decoder = read_json(path.with_name("config.json")).get("mask_decoder_config") or {}
    vision = read_json(path.with_name("config.json")).get("vision_config") or {}
    pictures = read_json(path.with_name("preprocessor_config.json"))
    values: dict[str, Any] = {}
    if "num_attention_heads" in decoder:
        values["decoder_heads"] = int(decoder["num_attention_heads"])
    if "num_attention_heads" in vision and "image_encoder.blocks.0.attn.rel_pos_h" not in shapes:
        values["encoder_heads"] = int(vision["num_attention_heads"])
        values["window_size"] = int(vision["window_size"])
        values["global_blocks"] = list(vision["global_attn_indexes"])
    for ours, theirs in (("pixel_mean", "image_mean"), ("pixel_std", "image_std")):
        if theirs in pictures:
            values[ours] = [255 * float(value) for value in pictures[theirs]]
    return values
