"""Starts SAM's image encoder from CLIP's image tower of the same width, and OWL-ViT's from SAM's."""

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
_OWL = {  # SAM's names and OWL-ViT's in transformers
    "norm1": "layer_norm1",
    "attn.proj": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "mlp.lin1": "mlp.fc1",
    "mlp.lin2": "mlp.fc2",
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
    patches = F.conv2d(images.to(weight.device), centred, stride=weight.shape[-1]).flatten(2).transpose(1, 2)
    spread = (patches + centred_places).std(dim=-1).mean()
    encoder.patch_embed.proj.weight.copy_(centred / spread * gain[:, None, None, None])
    encoder.patch_embed.proj.bias.zero_()
    side, wanted = round(len(places) ** 0.5), encoder.pos_embed.shape[1]
    plane = (centred_places / spread * gain + shift).unflatten(0, (side, side)).permute(2, 0, 1)[None]
    resized = F.interpolate(plane, size=(wanted, wanted), mode="bicubic") if side != wanted else plane
    encoder.pos_embed.copy_(resized.permute(0, 2, 3, 1))


@torch.no_grad()
def copy_to_owl(sam: Mapping[str, Tensor], tower: Any, images: Tensor) -> None:
    """Copy SAM's patches, positions and blocks; those with windows see everything from then on.

    OWL-ViT has a normalisation before the first block where SAM has none: each token is set to the same length there,
    and the gain brings it to the average one. The class token, its position and the last normalisation have no model in
    SAM and stay as they are.

    Args:
        sam: a ``segment_anything`` state dict, without relative positions.
        tower: a ``transformers.models.owlvit.modeling_owlvit.OwlViTVisionTransformer`` of the same width, depth, patch
            and picture.
        images: ``(N, 3, S, S)`` float32, normalised.
    """
    own = {name[len("image_encoder.") :]: value for name, value in sam.items() if name.startswith("image_encoder.")}
    state: dict[str, Tensor] = {}
    for number in range(len(tower.encoder.layers)):
        block, layer = f"blocks.{number}", f"encoder.layers.{number}"
        for kind in ("weight", "bias"):
            state |= {f"{layer}.{to}.{kind}": own[f"{block}.{name}.{kind}"] for name, to in _OWL.items()}
            thirds = own[f"{block}.attn.qkv.{kind}"].chunk(3)
            state |= {f"{layer}.self_attn.{to}_proj.{kind}": third for to, third in zip("qkv", thirds)}
    unexpected = tower.load_state_dict(state, strict=False).unexpected_keys
    if unexpected:
        raise KeyError(f"OWL-ViT has no weights of these names: {', '.join(unexpected)}.")
    weight, bias = own["patch_embed.proj.weight"], own["patch_embed.proj.bias"]
    places = own["pos_embed"][0].flatten(0, 1) + bias
    tower.embeddings.patch_embedding.weight.copy_(weight)
    tower.embeddings.position_embedding.weight[1:] = places  # the first one is the class token's
    tokens = F.conv2d(images.to(weight.device), weight, stride=weight.shape[-1]).flatten(2).transpose(1, 2) + places
    tower.pre_layernorm.weight.fill_(tokens.std(dim=-1, correction=0).mean())
    tower.pre_layernorm.bias.fill_(tokens.mean())
