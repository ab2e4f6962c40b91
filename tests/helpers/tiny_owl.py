"""An OWLv2 or OWL-ViT of the real architecture at a small size with random weights, saved as a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import transformers  # noqa: E402

_SPECIAL = ["<|startoftext|>", "<|endoftext|>"]
SIDE = 64


def vocabulary() -> dict[str, int]:
    letters = [chr(code) for code in range(33, 127)]
    return {piece: number for number, piece in enumerate([*letters, *(f"{one}</w>" for one in letters), *_SPECIAL])}


def tiny_owl(kind: str = "owlv2", seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    text = {"vocab_size": len(vocabulary()), "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0,
            "bos_token_id": len(vocabulary()) - 2, "eos_token_id": len(vocabulary()) - 1}  # fmt: skip
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": SIDE, "patch_size": 16}  # fmt: skip
    name = {"owlv2": "Owlv2", "owlvit": "OwlViT"}[kind]
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=vision, projection_dim=32)
    model = getattr(transformers, f"{name}ForObjectDetection")(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "box_head" in key or "class_head" in key:  # else boxes and scores are nearly alike
                parameter.normal_(std=0.3)
    return model


def write_tiny_owl(folder: Path, kind: str = "owlv2", seed: int = 0) -> Path:
    """Write the folder; return the path of its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_owl(kind, seed).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizerFast(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=32, pad_token="!"
    )
    name = {"owlv2": "Owlv2", "owlvit": "OwlViT"}[kind]
    images = getattr(transformers, f"{name}ImageProcessor")(size={"height": SIDE, "width": SIDE})
    getattr(transformers, f"{name}Processor")(images, tokenizer).save_pretrained(folder)
    return folder / "model.safetensors"
