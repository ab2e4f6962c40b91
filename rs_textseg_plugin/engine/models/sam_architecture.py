"""The architecture of a Segment Anything model, told from its weights, and the model built from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from torch import nn

from rs_textseg_plugin.engine.models.checkpoint import Shapes
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

from segment_anything import modeling  # noqa: E402 (imports torchvision)

METADATA_KEY = "sam_config"  # in the header of a .safetensors file: JSON with any of the fields of `SamConfig`


@dataclass(frozen=True)
class SamConfig:
    """The architecture of a SAM; the defaults are those of every published checkpoint.

    Attributes:
        img_size: side in pixels of the square that the model sees.
        patch_size: side in pixels of a patch.
        encoder_dim, encoder_depth, encoder_heads, encoder_mlp_dim: of the image encoder.
        window_size: side of a window of local attention, in patches; 0: every block is global.
        global_blocks: indices of blocks with global attention.
        encoder_qkv_bias: whether its attention has a bias.
        encoder_rel_pos: whether its attention has relative positions.
        prompt_dim: width of prompts and of the image's features.
        mask_in_channels: inner width of the mask prompt's encoder.
        mask_outputs: masks for one prompt when several are asked for.
        decoder_depth, decoder_heads, decoder_mlp_dim: of the two-way transformer.
        decoder_downsample: by how much its cross attention is narrower than `prompt_dim`.
        iou_head_depth, iou_head_dim: of the head that rates masks.
        pixel_mean, pixel_std: of red, green and blue, 0..255.
    """

    img_size: int
    patch_size: int
    encoder_dim: int
    encoder_depth: int
    encoder_heads: int
    encoder_mlp_dim: int
    window_size: int
    global_blocks: tuple[int, ...]
    encoder_qkv_bias: bool = True
    encoder_rel_pos: bool = True
    prompt_dim: int = 256
    mask_in_channels: int = 16
    mask_outputs: int = 3
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    decoder_downsample: int = 2
    iou_head_depth: int = 3
    iou_head_dim: int = 256
    pixel_mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, ...] = (58.395, 57.12, 57.375)

    @classmethod
    def from_shapes(cls, shapes: Shapes, written: Mapping[str, Any] | None = None) -> SamConfig:
        """Read the architecture off the weights' shapes.

        Args:
            shapes: names and shapes in the published layout.
            written: fields that were written down; they come before what the shapes say. Necessary for an encoder
                without relative positions (`encoder_heads`, `window_size`, `global_blocks`).

        Raises:
            KeyError: weights of the published layout are missing.
            TypeError, ValueError: the shapes do not fit together or do not tell, or `written` has an unknown field.
        """
        values = {**_encoder_values(shapes), **_decoder_values(shapes), **(written or {})}
        for name in ("global_blocks", "pixel_mean", "pixel_std"):
            if name in values:
                values[name] = tuple(values[name])
        return cls(**values)

    def to_metadata(self) -> dict[str, str]:
        """Return the fields as text, for the header of a .safetensors file."""
        return {METADATA_KEY: json.dumps(asdict(self))}


def _encoder_values(shapes: Shapes) -> dict[str, Any]:
    encoder_dim, _, patch_size, _ = shapes["image_encoder.patch_embed.proj.weight"]
    grid = shapes["image_encoder.pos_embed"][1]
    depth = _count(shapes, "image_encoder.blocks.")
    values = {
        "img_size": grid * patch_size,
        "patch_size": patch_size,
        "encoder_dim": encoder_dim,
        "encoder_depth": depth,
        "encoder_mlp_dim": shapes["image_encoder.blocks.0.mlp.lin1.weight"][0],
        "encoder_qkv_bias": "image_encoder.blocks.0.attn.qkv.bias" in shapes,
    }
    return {**values, **_attention_values(shapes, depth, encoder_dim, grid)}


def _attention_values(shapes: Shapes, depth: int, encoder_dim: int, grid: int) -> dict[str, Any]:
    """Tell heads, window and global blocks from the tables of relative positions: 2 * side - 1 rows, one head wide."""
    tables = [shapes.get(f"image_encoder.blocks.{i}.attn.rel_pos_h") for i in range(depth)]
    found = [table for table in tables if table]
    if len(found) < depth:
        return {"encoder_rel_pos": False}
    sides = [(rows + 1) // 2 for rows, _ in found]
    windows = {side for side in sides if side != grid}
    if len(windows) > 1:
        raise ValueError(f"blocks with windows of different sizes: {sorted(windows)}")
    return {
        "encoder_rel_pos": True,
        "encoder_heads": encoder_dim // found[0][1],
        "window_size": windows.pop() if windows else 0,
        "global_blocks": [i for i, side in enumerate(sides) if side == grid],
    }


def _decoder_values(shapes: Shapes) -> dict[str, Any]:
    prompt_dim = shapes["mask_decoder.iou_token.weight"][1]
    layers = "mask_decoder.transformer.layers."
    return {
        "prompt_dim": prompt_dim,
        "mask_in_channels": shapes["prompt_encoder.mask_downscaling.3.weight"][0],
        "mask_outputs": shapes["mask_decoder.mask_tokens.weight"][0] - 1,
        "decoder_depth": _count(shapes, layers),
        "decoder_mlp_dim": shapes[f"{layers}0.mlp.lin1.weight"][0],
        "decoder_downsample": prompt_dim // shapes[f"{layers}0.cross_attn_token_to_image.q_proj.weight"][0],
        "iou_head_depth": _count(shapes, "mask_decoder.iou_prediction_head.layers."),
        "iou_head_dim": shapes["mask_decoder.iou_prediction_head.layers.0.weight"][0],
    }


def _count(shapes: Shapes, prefix: str) -> int:
    """Return how many numbered parts follow a prefix."""
    return len({key[len(prefix) :].split(".")[0] for key in shapes if key.startswith(prefix)})


def build_sam(config: SamConfig) -> Any:
    """Return a ``segment_anything.modeling.Sam`` with random weights, in eval mode."""
    grid = config.img_size // config.patch_size
    sam = modeling.Sam(
        image_encoder=_build_image_encoder(config),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=config.prompt_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(config.img_size, config.img_size),
            mask_in_chans=config.mask_in_channels,
        ),
        mask_decoder=_build_mask_decoder(config),
        pixel_mean=list(config.pixel_mean),
        pixel_std=list(config.pixel_std),
    )
    return sam.eval()


def _build_image_encoder(config: SamConfig) -> Any:
    return modeling.ImageEncoderViT(
        depth=config.encoder_depth,
        embed_dim=config.encoder_dim,
        img_size=config.img_size,
        # segment_anything multiplies and cuts off; the half keeps rounding from losing a unit.
        mlp_ratio=(config.encoder_mlp_dim + 0.5) / config.encoder_dim,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        num_heads=config.encoder_heads,
        patch_size=config.patch_size,
        qkv_bias=config.encoder_qkv_bias,
        use_rel_pos=config.encoder_rel_pos,
        global_attn_indexes=config.global_blocks,
        window_size=config.window_size,
        out_chans=config.prompt_dim,
    )


def _build_mask_decoder(config: SamConfig) -> Any:
    return modeling.MaskDecoder(
        num_multimask_outputs=config.mask_outputs,
        transformer=modeling.TwoWayTransformer(
            depth=config.decoder_depth,
            embedding_dim=config.prompt_dim,
            mlp_dim=config.decoder_mlp_dim,
            num_heads=config.decoder_heads,
            attention_downsample_rate=config.decoder_downsample,
        ),
        transformer_dim=config.prompt_dim,
        iou_head_depth=config.iou_head_depth,
        iou_head_hidden_dim=config.iou_head_dim,
    )
