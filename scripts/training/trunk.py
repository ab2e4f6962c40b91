"""Starts SAM's image encoder from CLIP's image tower of the same width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

_SAME = {  # CLIP's names and SAM's
    "ln_1.weight": "norm1.weight",
    "ln_1.bias": "norm1.bias",
    "attn.in_proj_weight": "attn.qkv.weight",
    "attn.in_proj_bias": "attn.qkv.bias",
    "attn.out_proj.weight": "attn.proj.weight",
    "attn.out_proj.bias": "attn.proj.bias",
    "ln_2.weight": "norm2.weight",
    "ln_2.bias": "norm2.bias",
    "mlp.c_fc.weight": "mlp.lin1.weight",
    "mlp.c_fc.bias": "mlp.lin1.bias",
    "mlp.c_proj.weight": "mlp.lin2.weight",
    "mlp.c_proj.bias": "mlp.lin2.bias",
}


@torch.no_grad()
def copy_trunk(clip: Mapping[str, Tensor], encoder: Any, images: Tensor) -> None:
    """Copy blocks one to one, and fold CLIP's first normalisation into the patches and their positions.

    SAM has no normalisation before the first block. Centring over the channels is linear and folds exactly; the
    division by the standard deviation of each token is replaced by one by its mean over some images.

    Args:
        clip: an open_clip state dict.
        encoder: a ``segment_anything.modeling.ImageEncoderViT`` of the same width, depth and patch, without relative
            positions.
        images: ``(N, 3, S, S)`` float32, normalised, of the size that CLIP takes.
    """
    state = {f"blocks.{i}.{theirs}": clip[f"visual.transformer.resblocks.{i}.{ours}"]
             for i in range(len(encoder.blocks)) for ours, theirs in _SAME.items()}  # fmt: skip
    encoder.load_state_dict(state, strict=False)
    weight, places = clip["visual.conv1.weight"], clip["visual.positional_embedding"][1:]
    gain, shift = clip["visual.ln_pre.weight"], clip["visual.ln_pre.bias"]
    centred, centred_places = weight - weight.mean(dim=0), places - places.mean(dim=1, keepdim=True)
    patches = F.conv2d(images, centred, stride=weight.shape[-1]).flatten(2).transpose(1, 2)
    spread = (patches + centred_places).std(dim=-1).mean()
    encoder.patch_embed.proj.weight.copy_(centred / spread * gain[:, None, None, None])
    encoder.patch_embed.proj.bias.zero_()
    side, wanted = round(len(places) ** 0.5), encoder.pos_embed.shape[1]
    plane = (centred_places / spread * gain + shift).unflatten(0, (side, side)).permute(2, 0, 1)[None]
    resized = F.interpolate(plane, size=(wanted, wanted), mode="bicubic") if side != wanted else plane
    encoder.pos_embed.copy_(resized.permute(0, 2, 3, 1))
