"""What is known of a vision-language model behind a server by its name alone."""

from __future__ import annotations

import math
import re

from rs_textseg_plugin.engine.vlm.model import Convention

_QWEN_25_PATCH_PX, _QWEN_3_PATCH_PX = 28, 32  # what becomes one token: two by two of the encoder's patches
_GPT_SQUARE_PX, _GPT_SHORT_SIDE_PX, _GPT_TILE_PX = 2048, 768, 512
_GPT_BASE_TOKENS, _GPT_TILE_TOKENS = 85, 170


def convention_by_name(model: str) -> Convention:
    """Return the most likely convention of a model: Qwen3-VL has a grid, the others count pixels."""
    return Convention.GRID_1000 if _is_qwen_3(model) else Convention.PIXELS


def shown_size_px(model: str, width_px: int, height_px: int) -> tuple[int, int]:
    """Return the ``(width, height)`` that a model's pixels refer to when it is sent a picture of that size.

    Qwen2.5-VL brings both sides to multiples of 28 pixels (its published preprocessing, where the server sets no lower
    limit than the published one of 12.8 million pixels). Others rescale without a word, and answer for what was sent.
    """
    if not _is_qwen_25(model):
        return width_px, height_px
    width, height = (_patches(side, _QWEN_25_PATCH_PX) * _QWEN_25_PATCH_PX for side in (width_px, height_px))
    return width, height


def estimate_picture_tokens(model: str, width_px: int, height_px: int) -> int:
    """Return about how many tokens a picture costs; servers may scale it first, and newer models count otherwise.

    By name: Qwen2.5-VL one token for 28 x 28 pixels, Qwen3-VL for 32 x 32 (their published preprocessing); all others
    by the rule that OpenAI publishes for GPT-4o: the picture is made to fit 2048 x 2048, then its short side 768, and
    costs 85 tokens and 170 for every tile of 512 x 512.
    """
    if _is_qwen_25(model) or _is_qwen_3(model):
        patch_px = _QWEN_25_PATCH_PX if _is_qwen_25(model) else _QWEN_3_PATCH_PX
        return _patches(width_px, patch_px) * _patches(height_px, patch_px)
    smaller = min(1.0, _GPT_SQUARE_PX / max(width_px, height_px))
    smaller *= min(1.0, _GPT_SHORT_SIDE_PX / (min(width_px, height_px) * smaller))
    tiles = (math.ceil(round(side * smaller, 3) / _GPT_TILE_PX) for side in (width_px, height_px))
    return _GPT_BASE_TOKENS + _GPT_TILE_TOKENS * math.prod(tiles)


def _patches(side_px: int, patch_px: int) -> int:
    return max(1, round(side_px / patch_px))


def _is_qwen_25(model: str) -> bool:
    return "qwen25vl" in _letters(model)


def _is_qwen_3(model: str) -> bool:
    return "qwen3vl" in _letters(model)


def _letters(model: str) -> str:
    """Return a name without what servers write differently: Qwen/Qwen2.5-VL-7B-Instruct, qwen2.5vl:7b."""
    return re.sub(r"[^a-z0-9]", "", model.lower())
