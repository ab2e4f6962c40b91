"""Qwen-VL models of the real architectures at a small size with random weights, saved as Hugging Face folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import peft  # noqa: E402
import transformers  # noqa: E402

FAMILIES = ("qwen2_5_vl", "qwen3_vl")
_SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>",
)  # fmt: skip
# Each message between its marks, a picture as its three marks: the form of these models' published templates.
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPREAD = 0.3  # of the weights: with less, a picture would hardly change what is answered
_SIZES: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {"patch": 14, "least": 28 * 28, "most": 28 * 28 * 64},
    "qwen3_vl": {"patch": 16, "least": 32 * 32, "most": 32 * 32 * 64},
}


def tiny_tokenizer() -> Any:
    """One token a byte, and the marks."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate([*letters, *_SPECIAL])}
    return transformers.Qwen2Tokenizer(
        vocab=vocabulary, merges=[], additional_special_tokens=list(_SPECIAL[1:]), eos_token="<|im_end|>",
        pad_token="<|endoftext|>", unk_token="<|endoftext|>",
    )  # fmt: skip


def tiny_processor(family: str) -> Any:
    tokenizer, sizes = tiny_tokenizer(), _SIZES[family]
    pixels = {"shortest_edge": sizes["least"], "longest_edge": sizes["most"]}
    images = transformers.Qwen2VLImageProcessor(size=pixels, patch_size=sizes["patch"])
    if family == "qwen3_vl":
        videos = transformers.Qwen3VLVideoProcessor(patch_size=sizes["patch"])
        return transformers.Qwen3VLProcessor(images, tokenizer, videos, chat_template=_TEMPLATE)
    videos = transformers.Qwen2VLVideoProcessor(patch_size=sizes["patch"])
    return transformers.Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=_TEMPLATE)


def tiny_qwen(family: str, seed: int = 0, **more: int) -> Any:
    """Return the model in eval mode; its text side has 2 layers and 32 channels, unless `more` says otherwise."""
    torch.manual_seed(seed)
    marks = tiny_tokenizer()
    ids = {
        "image_token_id": marks.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": marks.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": marks.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": marks.convert_tokens_to_ids("<|vision_end|>"),
    }
    text = {
        "vocab_size": len(marks), "bos_token_id": None, "eos_token_id": marks.eos_token_id, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "initializer_range": _SPREAD, **more,
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": text["hidden_size"],
        "initializer_range": _SPREAD,
    }  # fmt: skip
    if family == "qwen3_vl":
        rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
        config = transformers.Qwen3VLConfig(
            text_config={**text, "head_dim": 8, "rope_parameters": rope},
            vision_config={**vision, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
            **ids,
        )
        return transformers.Qwen3VLForConditionalGeneration(config).eval()
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    config = transformers.Qwen2_5_VLConfig(
        text_config={**text, "rope_parameters": rope},
        vision_config={**vision, "fullatt_block_indexes": [1], "window_size": 56},
        **ids,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config).eval()


def save_tiny_qwen(folder: Path, family: str = "qwen2_5_vl", seed: int = 0) -> Path:
    """Write model, processor and tokenizer to `folder`; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_qwen(family, seed).save_pretrained(folder)
    tiny_processor(family).save_pretrained(folder)
    return folder


def save_tiny_adapter(folder: Path, family: str = "qwen2_5_vl", seed: int = 1, **more: int) -> Path:
    """Write a LoRA adapter of rank 2, with random weights, for a model as `tiny_qwen` makes it; return its folder."""
    model = tiny_qwen(family, 0, **more)
    targets = r"model\.language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=4, target_modules=targets))
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in tuned.named_parameters():
            if "lora_" in name:
                value.normal_(std=_SPREAD)
    tuned.save_pretrained(str(folder))
    return folder
