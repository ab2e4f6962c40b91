"""By which names of weights the layouts are told apart that have to be converted."""

from __future__ import annotations

from collections.abc import Mapping

_SAM = ("vision_encoder.patch_embed.projection.weight", "shared_image_embedding.positional_embedding")
_CLIP = ("text_projection.weight", "visual_projection.weight", "vision_model.embeddings.patch_embedding.weight")
_GROUNDING_DINO = (
    "backbone.0.patch_embed.proj.weight", "bert.embeddings.word_embeddings.weight", "transformer.level_embed",
    "transformer.encoder.fusion_layers.0.gamma_v",
)  # fmt: skip


def is_transformers_sam(names: Mapping[str, object]) -> bool:
    """Whether weights are those of transformers' ``SamModel``; SAM 2 and SAM 3 have other names."""
    return all(name in names for name in _SAM)


def is_transformers_clip(names: Mapping[str, object]) -> bool:
    """Whether weights are those of transformers' ``CLIPModel``; SigLIP, OWL-ViT and others have other names."""
    return all(name in names for name in _CLIP)


def is_original_grounding_dino(names: Mapping[str, object]) -> bool:
    """Whether weights are those of Grounding DINO's own repository, without its ``module.`` before every name."""
    return all(name in names for name in _GROUNDING_DINO)
