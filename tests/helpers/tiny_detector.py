"""A Grounding DINO of the real architecture at a small size with random weights, saved as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import torch

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

from transformers import (  # noqa: E402
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)

# The places of BERT's special tokens and full stop, which Grounding DINO has written down.
_FIXED = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
_WORDS = ["building", "road", "tree", "ship", "storage", "tank", "house", "##s", "thing", "a", "b", "-"]


def vocabulary() -> dict[str, int]:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    pieces = list(dict.fromkeys([*_WORDS, *letters, *(f"##{letter}" for letter in letters)]))
    names = {number: word for word, number in _FIXED.items()}
    free = iter(number for number in range(1, 1100) if number not in names)
    names.update({next(free): piece for piece in pieces})
    return {names.get(number, f"[unused{number}]"): number for number in range(1100)}


def tiny_detector(seed: int = 0, max_text_len: int = 256) -> GroundingDinoForObjectDetection:
    torch.manual_seed(seed)
    vision = SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[1, 1, 1], num_heads=[1, 2, 4], window_size=4,
        out_features=["stage2", "stage3"],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=1100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=max_text_len,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=vision, text_config=text, num_queries=12, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2,
        num_feature_levels=3, max_text_len=max_text_len,
    )  # fmt: skip
    model = GroundingDinoForObjectDetection(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bbox_embed" in name:  # initialised with zeros, which would make all boxes alike
                parameter.normal_(std=0.1)
    return model


def processor(folder: Path) -> GroundingDinoProcessor:
    words = vocabulary()
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)), encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=words, do_lower_case=True)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return GroundingDinoProcessor(images, tokenizer)


def write_tiny_detector(folder: Path, seed: int = 0, max_text_len: int = 256) -> Path:
    """Write the folder; return the path of its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_detector(seed, max_text_len).save_pretrained(folder)
    processor(folder).save_pretrained(folder)
    return folder / "model.safetensors"
