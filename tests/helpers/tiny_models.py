"""Real architectures at small sizes with random weights, saved in the published layouts."""

from __future__ import annotations

from pathlib import Path

import torch

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402
from segment_anything.modeling import (  # noqa: E402
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

CLIP_CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 3, "width": 128, "patch_size": 16, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}


def tiny_clip(seed: int = 0) -> open_clip.CLIP:
    torch.manual_seed(seed)
    return open_clip.CLIP(**CLIP_CONFIG).eval()


def tiny_sam(seed: int = 0) -> Sam:
    torch.manual_seed(seed)
    encoder = ImageEncoderViT(
        img_size=256, patch_size=16, embed_dim=32, depth=2, num_heads=2, mlp_ratio=4, out_chans=256, qkv_bias=True,
        use_rel_pos=True, window_size=7, global_attn_indexes=(1,), norm_layer=lambda c: torch.nn.LayerNorm(c, eps=1e-6),
    )  # fmt: skip
    prompts = PromptEncoder(256, (16, 16), (256, 256), 16)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    decoder = MaskDecoder(num_multimask_outputs=3, transformer=transformer, transformer_dim=256)
    return Sam(encoder, prompts, decoder).eval()


def write_tiny_models(folder: Path) -> Path:
    """Write ``sam_tiny.pth`` and ``clip_tiny.pt``; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tiny_sam().state_dict(), folder / "sam_tiny.pth")
    torch.save(tiny_clip().state_dict(), folder / "clip_tiny.pt")
    return folder
