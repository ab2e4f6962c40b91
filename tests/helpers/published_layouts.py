"""Models of real architectures at small sizes with random weights, written in the forms in which they are published.

The names of Grounding DINO's own repository are written down here from its modules, apart from the product's table.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tiny_detector import tiny_detector, vocabulary, write_tiny_detector
from tiny_models import CLIP_CONFIG, open_clip, tiny_clip

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import transformers  # noqa: E402

SIGLIP_COLOURS = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def spread(model: torch.nn.Module, seed: int, std: float = 0.1) -> torch.nn.Module:
    """Draw all weights anew, so that no part of the model is idle."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(std * noise + (parameter if parameter.dim() == 1 else 0))
    return model.eval()


def hf_sam(seed: int = 0, iou_depth: int = 3) -> Any:
    """Return transformers' SamModel with windows of 7 patches in its first block."""
    torch.manual_seed(seed)
    config = transformers.SamConfig(
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 256, "patch_size": 16,
            "window_size": 7, "global_attn_indexes": [1], "mlp_dim": 128,
        },
        prompt_encoder_config={"image_size": 256, "patch_size": 16},
        mask_decoder_config={"iou_head_depth": iou_depth},
    )  # fmt: skip
    return spread(transformers.SamModel(config), seed)


def write_hf_sam(folder: Path, seed: int = 0, as_bin: bool = False) -> Path:
    """Write a folder like facebook/sam-vit-base; return it."""
    model = hf_sam(seed)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]})
    )
    return _as_bin(folder) if as_bin else folder


def hf_clip(seed: int = 0, activation: str = "quick_gelu") -> Any:
    """Return transformers' CLIPModel; heads are 32 wide, which no shape tells."""
    torch.manual_seed(seed)
    text = {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
        "hidden_act": activation,
    }  # fmt: skip
    vision = {**text, "image_size": 64, "patch_size": 16, "num_hidden_layers": 3, "intermediate_size": 256}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)
    return spread(transformers.CLIPModel(config), seed)


def write_hf_clip(folder: Path, seed: int = 0, activation: str = "quick_gelu", **colours: list[float]) -> Path:
    """Write a folder like openai/clip-vit-base-patch16; return it."""
    hf_clip(seed, activation).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({f"image_{name}": value for name, value in colours.items()})
    )
    return folder


def write_open_clip(folder: Path, name: str = "open_clip_model.safetensors", seed: int = 0, **config: Any) -> Path:
    """Write a folder like those of timm or laion with open_clip's weights and configuration; return it.

    Args:
        folder: to write.
        name: of the weights.
        seed: of the weights.
        config: of ``model_cfg`` beside the sizes; ``preprocess_cfg`` goes beside ``model_cfg``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = config.pop("preprocess_cfg", {})
    torch.manual_seed(seed)
    model_cfg = {**CLIP_CONFIG, **config}
    state = spread(open_clip.CLIP(**model_cfg), seed).state_dict()
    save_file(state, folder / name) if name.endswith(".safetensors") else torch.save(state, folder / name)
    text = json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(text)
    return folder


def write_training_zip(path: Path, seed: int = 0) -> Path:
    """Write NAME.zip with NAME/epoch_20.pt: a checkpoint of open_clip's training with the state of its optimizer."""
    model = tiny_clip(seed)
    optimizer = torch.optim.AdamW(model.visual.parameters(), lr=1e-4)
    model.encode_image(torch.zeros(1, 3, 64, 64)).sum().backward()
    optimizer.step()
    inside = path.with_name("epoch_20.pt")
    state = {f"module.{name}": value for name, value in tiny_clip(seed).state_dict().items()}
    torch.save({"epoch": 20, "name": path.stem, "state_dict": state, "optimizer": optimizer.state_dict()}, inside)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.mkdir(path.stem)
        archive.write(inside, f"{path.stem}/epoch_20.pt")
    inside.unlink()
    return path


def write_both_formats(folder: Path, seed: int = 0) -> Path:
    """Write a Grounding DINO as on the hub: model.safetensors, and beside it the same as pytorch_model.bin."""
    weights = write_tiny_detector(folder, seed)
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    return folder


def _as_bin(folder: Path) -> Path:
    """Leave only pytorch_model.bin of a folder's weights."""
    weights = folder / "model.safetensors"
    torch.save({name: value.clone() for name, value in load_file(weights).items()}, folder / "pytorch_model.bin")
    weights.unlink()
    return folder


def write_bin_only(folder: Path, seed: int = 0) -> Path:
    """Write a Grounding DINO with pytorch_model.bin alone."""
    write_tiny_detector(folder, seed)
    return _as_bin(folder)


def in_shards(folder: Path, parts: int = 3) -> Path:
    """Split the weights of a folder as transformers does with large models; return the folder."""
    state = load_file(folder / "model.safetensors")
    state = {name: value.clone() for name, value in state.items()}
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for part in range(parts):
        name = f"model-{part + 1:05d}-of-{parts:05d}.safetensors"
        shard = {key: state[key] for key in sorted(state)[part::parts]}
        save_file(shard, folder / name, {"format": "pt"})
        weight_map.update(dict.fromkeys(shard, name))
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def original_dino() -> Any:
    """Return a small Grounding DINO whose sizes the repository's own shapes tell: heads of 64 in BERT, 4 points."""
    model = tiny_detector(2)
    config = model.config.to_dict()
    config["text_config"] |= {"hidden_size": 64, "num_attention_heads": 1, "intermediate_size": 32}
    torch.manual_seed(2)
    model = transformers.GroundingDinoForObjectDetection(transformers.GroundingDinoConfig.from_dict(config))
    model = spread(model, 2, 0.15)
    for head, deep in zip(model.bbox_embed, model.model.decoder.bbox_embed, strict=True):
        deep.load_state_dict(model.bbox_embed[0].state_dict())  # one head for all layers, as published
        head.load_state_dict(model.bbox_embed[0].state_dict())
    return model


def original_state(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a Grounding DINO of transformers as its own repository names and joins them."""
    theirs: dict[str, torch.Tensor] = {}
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in model.state_dict().items():
        for word, place in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")):
            name = name.replace(f".attention.{word}.", f".attention.{place}.")
        is_bert = name.startswith("model.text_backbone.")
        part = next((one for one in ("query", "key", "value") if f".{one}." in name and not is_bert), "")
        if part:
            parts.setdefault(name.replace(f".{part}.", ".JOINED."), {})[part] = value
        else:
            theirs[_original_name(name)] = value
    for name, found in parts.items():
        joined = torch.cat([found["query"], found["key"], found["value"]])
        new, end = _original_name(name), name.rpartition(".")[2]
        new = new.replace(f".JOINED.{end}", f".qkv.{end}" if "backbone" in new else f".in_proj_{end}")
        theirs[new] = joined
    return theirs


def _original_name(name: str) -> str:
    for ours, original in _ORIGINAL_PARTS.items():
        name = name.replace(ours, original)
    if name.startswith("transformer.encoder.layers."):
        start, number, rest = name[: len("transformer.encoder.")], *name.split(".", 4)[3:]
        kinds = {"deformable_layer": "layers", "text_enhancer_layer": "text_layers", "fusion_layer": "fusion_layers"}
        kind, _, rest = rest.partition(".")
        words = {"deformable_layer": _ENCODER_WORDS, "text_enhancer_layer": _TEXT_WORDS, "fusion_layer": _FUSION_WORDS}
        name = f"{start}{kinds[kind]}.{number}.{_replaced(rest, words[kind])}"
    elif name.startswith("transformer.decoder.layers."):
        name = "transformer.decoder.layers." + _replaced(name[len("transformer.decoder.layers.") :], _DECODER_WORDS)
    elif name.startswith("backbone.0.layers."):
        name = _replaced(name, _SWIN_WORDS)
    return name


def _replaced(name: str, words: Mapping[str, str]) -> str:
    for ours, original in words.items():
        name = name.replace(ours, original)
    return name


_ORIGINAL_PARTS = {
    "model.backbone.conv_encoder.model.swin.": "backbone.0.",
    "model.backbone.conv_encoder.model.hidden_states_norms.stage2": "backbone.0.norm1",
    "model.backbone.conv_encoder.model.hidden_states_norms.stage3": "backbone.0.norm2",
    "backbone.0.encoder.layers": "backbone.0.layers",
    "backbone.0.embeddings.patch_embeddings.projection": "backbone.0.patch_embed.proj",
    "backbone.0.embeddings.norm": "backbone.0.patch_embed.norm",
    "model.text_backbone.": "bert.",
    "model.text_projection.": "feat_map.",
    "model.input_proj_vision.": "input_proj.",
    "model.level_embed": "transformer.level_embed",
    "model.query_position_embeddings": "transformer.tgt_embed",
    "model.encoder_output_bbox_embed": "transformer.enc_out_bbox_embed",
    "model.enc_output": "transformer.enc_output",
    "model.decoder.layer_norm": "transformer.decoder.norm",
    "model.decoder.reference_points_head": "transformer.decoder.ref_point_head",
    "model.decoder.": "transformer.decoder.",
    "model.encoder.": "transformer.encoder.",
}
_ENCODER_WORDS = {"self_attn_layer_norm": "norm1", "final_layer_norm": "norm2", "fc1": "linear1", "fc2": "linear2"}
_TEXT_WORDS = {"layer_norm_before": "norm1", "layer_norm_after": "norm2", "fc1": "linear1", "fc2": "linear2"}
_FUSION_WORDS = {
    "vision_param": "gamma_v", "text_param": "gamma_l", "layer_norm_vision": "layer_norm_v",
    "layer_norm_text": "layer_norm_l", "values_vision_proj": "values_v_proj", "values_text_proj": "values_l_proj",
    "out_vision_proj": "out_v_proj", "out_text_proj": "out_l_proj", "attn.vision_proj": "attn.v_proj",
    "attn.text_proj": "attn.l_proj",
}  # fmt: skip
_DECODER_WORDS = {
    "encoder_attn_text_layer_norm": "catext_norm", "encoder_attn_layer_norm": "norm1", "encoder_attn_text": "ca_text",
    "encoder_attn": "cross_attn", "self_attn_layer_norm": "norm2", "final_layer_norm": "norm3", "fc1": "linear1",
    "fc2": "linear2",
}  # fmt: skip
_SWIN_WORDS = {
    "layernorm_before": "norm1", "layernorm_after": "norm2", "attention.o_proj": "attn.proj",
    "attention.relative_position_bias.": "attn.", "attention.": "attn.",
}  # fmt: skip


def write_original_dino(folder: Path, name: str = "groundingdino_swint_ogc.pth", with_words: bool = True) -> Path:
    """Write the checkpoint of Grounding DINO's own repository, with what else stands in it; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    model = original_dino()
    state = original_state(model)
    state |= {
        "label_enc.weight": torch.zeros(5, 32),
        "bert.pooler.dense.weight": torch.zeros(64, 64),
        "bert.pooler.dense.bias": torch.zeros(64),
        "bert.embeddings.position_ids": torch.arange(256)[None],
        "backbone.0.layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16, dtype=torch.long),
    }
    torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, folder / name)
    if with_words:
        words = vocabulary()
        (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)), encoding="utf-8")
    return folder / name
