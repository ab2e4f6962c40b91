"""CLIP in the layout of transformers' ``CLIPModel`` (``openai/clip-vit-*``), under the names of open_clip.

Both are the same network. open_clip keeps query, key and value in one matrix, and projections the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import Shapes
from rs_textseg_plugin.engine.models.layouts.json_beside import read_json
from rs_textseg_plugin.engine.models.layouts.renaming import rename

_LEFT_OUT = ".position_ids"  # numbers 0, 1, 2, ... in older files
_ENDS = r"(weight|bias)"
_TOWERS = {"text_model": "transformer", "vision_model": "visual.transformer"}
_BLOCK = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
_TABLE = (
    *(
        (
            rf"{theirs}\.encoder\.layers\.(\d+)\.{part.replace('.', '[.]')}\.{_ENDS}",
            rf"{ours}.resblocks.\1.{ours_part}.\2",
        )
        for theirs, ours in _TOWERS.items()
        for part, ours_part in _BLOCK.items()
    ),
    (r"text_model\.embeddings\.token_embedding\.weight", r"token_embedding.weight"),
    (r"text_model\.embeddings\.position_embedding\.weight", r"positional_embedding"),
    (rf"text_model\.final_layer_norm\.{_ENDS}", r"ln_final.\1"),
    (r"text_projection\.weight", r"text_projection"),
    (r"vision_model\.embeddings\.class_embedding", r"visual.class_embedding"),
    (r"vision_model\.embeddings\.patch_embedding\.weight", r"visual.conv1.weight"),
    (r"vision_model\.embeddings\.position_embedding\.weight", r"visual.positional_embedding"),
    (rf"vision_model\.pre_layrnorm\.{_ENDS}", r"visual.ln_pre.\1"),
    (rf"vision_model\.post_layernorm\.{_ENDS}", r"visual.ln_post.\1"),
    (r"visual_projection\.weight", r"visual.proj"),
)
_QUERY = ".self_attn.q_proj."
_TURNED = ("text_projection.weight", "visual_projection.weight")
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}  # config.json's word; whether it is the quick approximation


def under_own_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a ``CLIPModel`` under open_clip's names and in its shapes.

    Raises:
        KeyError: one of a block's three matrices is missing.
    """
    turned = {
        name: value.T.contiguous() if name in _TURNED else value
        for name, value in weights.items()
        if not name.endswith(_LEFT_OUT)
    }
    return rename(_with_joined_attention(turned), _TABLE)


def _with_joined_attention(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with query, key and value as one, under open_clip's name for that."""
    joined = {name: value for name, value in weights.items() if ".self_attn." not in name or ".out_proj." in name}
    for name in weights:
        if _QUERY in name:
            parts = [weights[name.replace(_QUERY, f".self_attn.{part}_proj.")] for part in "qkv"]
            tower, _, rest = name.partition(".encoder.layers.")
            block, _, end = rest.partition(_QUERY)
            joined[f"{_TOWERS.get(tower, tower)}.resblocks.{block}.attn.in_proj_{end}"] = torch.cat(parts)
    return joined


def shapes_under_own_names(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what `shapes_of` gives for `under_own_names`, without the weights."""
    with torch.device("meta"):
        empty = {name: torch.empty(shape) for name, shape in shapes.items()}
    return {name: tuple(value.shape) for name, value in under_own_names(empty).items()}


def quick_gelu_beside(path: Path) -> bool | None:
    """Return whether ``config.json`` beside weights asks for quick GELU; None: there is no such file.

    Raises:
        ModelError: it is damaged, or names another activation, or one for each tower.
    """
    config = read_json(path.with_name("config.json"))
    towers = [config.get(name) for name in ("text_config", "vision_config")]
    if not config:
        return None
    # transformers takes quick GELU where the file does not say.
    named = {str((tower if isinstance(tower, dict) else {}).get("hidden_act", "quick_gelu")) for tower in towers}
    if len(named) > 1 or not named <= set(_ACTIVATIONS):
        raise ModelError(
            f"The CLIP {path} has the activation {' and '.join(sorted(named))} in config.json, and this program knows "
            f"one of {', '.join(_ACTIVATIONS)} for both towers: take another model."
        )
    return _ACTIVATIONS[named.pop()]


def head_counts_beside(path: Path) -> dict[str, int]:
    """Return the attention heads of ``text_config`` and ``vision_config`` in ``config.json``, where it tells.

    Raises:
        ModelError: it is damaged.
    """
    config = read_json(path.with_name("config.json"))
    found: dict[str, Any] = {}
    for name in ("text_config", "vision_config"):
        tower = config.get(name)
        heads = tower.get("num_attention_heads") if isinstance(tower, dict) else None
        if isinstance(heads, int) and heads > 0:
            found[name] = heads
    return found
