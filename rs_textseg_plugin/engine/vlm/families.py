"""What is known of a vision-language model behind a server by its name alone."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from rs_textseg_plugin.engine.vlm.model import Convention

_GPT_SQUARE_PX, _GPT_SHORT_SIDE_PX, _GPT_TILE_PX = 2048, 768, 512
_GPT_BASE_TOKENS, _GPT_TILE_TOKENS = 85, 170


@dataclass(frozen=True)
class _Sight:
    """How a model resizes a picture: to whole cells, each of which becomes a token, between two areas.

    Attributes:
        cell_px: side of what becomes one token: two by two of the encoder's patches.
        least_px, most_px: fewest and most pixels of the picture that it sees.
    """

    cell_px: int
    least_px: int
    most_px: int

    def size_px(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return ``(width, height)`` of what is seen of a picture, as transformers' ``smart_resize`` has it."""
        seen = [round(side / self.cell_px) * self.cell_px for side in (width_px, height_px)]
        if math.prod(seen) > self.most_px:
            shrink = math.sqrt(width_px * height_px / self.most_px)
            seen = [math.floor(side / shrink / self.cell_px) * self.cell_px for side in (width_px, height_px)]
        elif math.prod(seen) < self.least_px:
            grow = math.sqrt(self.least_px / (width_px * height_px))
            seen = [math.ceil(side * grow / self.cell_px) * self.cell_px for side in (width_px, height_px)]
        return max(self.cell_px, seen[0]), max(self.cell_px, seen[1])


# The limits of the published preprocessor_config.json; a server may set lower ones, which a name does not tell.
_QWEN_25_SIGHT = _Sight(cell_px=28, least_px=56 * 56, most_px=3584 * 3584)
_QWEN_3_SIGHT = _Sight(cell_px=32, least_px=256 * 256, most_px=4096 * 4096)


@dataclass(frozen=True)
class _Family:
    """Models whose convention two independent public sources state.

    Attributes:
        names: what a name holds that is one of them, in small letters and digits alone.
        convention: what their numbers mean.
        sight: how they resize a picture; None: not known, or without effect.
    """

    names: tuple[str, ...]
    convention: Convention
    sight: _Sight | None = None


# Left out, since no two sources settle them: GPT, Claude, LLaVA, Pixtral, Gemma 3 and 4 (Google: "likely" as Gemini),
# Qwen without "VL" in its name, Molmo (0 to 100, in tags), Kimi-VL (fractions in answers that people saw).
_FAMILIES = (
    # [ymin, xmin, ymax, xmax] and [y, x], 0 to 1000. Google Cloud, "Bounding box detection" (boxes), and ai.google.dev,
    # "Gemini Robotics ER" (points); GitHub simen/mcp-see, src/tools/detect.ts (boxes), and others that ask for [y, x].
    _Family(("gemini",), Convention.GRID_1000_YX),
    # Pixels of the resized picture. GitHub QwenLM/Qwen3-VL issue 866 (a maintainer); modelscope/ms-swift issue 6167.
    _Family(("qwen25vl",), Convention.PIXELS, _QWEN_25_SIGHT),
    # 0 to 1000. GitHub QwenLM/Qwen3-VL issues 1485 and 1741 (its README); modelscope/ms-swift issue 6167 and
    # redai-studio/Relax issue 17.
    _Family(("qwen3vl",), Convention.GRID_1000, _QWEN_3_SIGHT),
    # 0 to 1000. GitHub QwenLM/Qwen3-VL issue 866 (a maintainer); thunlp/Migician issue 7.
    _Family(("qwen2vl",), Convention.GRID_1000),
    # 0 to 1000. GitHub zai-org/GLM-V issues 114 and 161 (a maintainer); openclaw/Peekaboo issue 60 (measured).
    _Family(("glm41v", "glm45v", "glm46v"), Convention.GRID_1000),
    # 0 to 1000. GitHub OpenGVLab/InternVL issue 285 (a maintainer) and its manual; modelscope/ms-swift issue 4252.
    _Family(("internvl",), Convention.GRID_1000),
    # 0 to 999 of 1000. BytePlus ModelArk, "Visual grounding"; several programs on GitHub that read its boxes so.
    _Family(("doubaoseed", "doubao15thinkingvision", "seed15vl"), Convention.GRID_1000),
)


def known_convention(model: str) -> Convention | None:
    """Return what the numbers of a model mean, by its name; None: no source settles it."""
    family = _family(model)
    return family.convention if family else None


def shown_size_px(model: str, width_px: int, height_px: int) -> tuple[int, int]:
    """Return the ``(width, height)`` that a model's pixels refer to when it is sent a picture of that size.

    Qwen2.5-VL and Qwen3-VL bring both sides to multiples of 28 and 32 pixels, and keep the area between two limits
    (their published preprocessing; a server may have other limits). Others rescale without a word, and answer for
    what was sent.
    """
    family = _family(model)
    return family.sight.size_px(width_px, height_px) if family and family.sight else (width_px, height_px)


def estimate_picture_tokens(model: str, width_px: int, height_px: int) -> int:
    """Return about how many tokens a picture costs; servers may scale it first, and newer models count otherwise.

    By name: Qwen2.5-VL one token for 28 x 28 pixels of what it sees, Qwen3-VL for 32 x 32 (their published
    preprocessing); all others by the rule that OpenAI publishes for GPT-4o: the picture is made to fit 2048 x 2048,
    then its short side 768, and costs 85 tokens and 170 for every tile of 512 x 512.
    """
    family = _family(model)
    if family and family.sight:
        return math.prod(family.sight.size_px(width_px, height_px)) // family.sight.cell_px**2
    smaller = min(1.0, _GPT_SQUARE_PX / max(width_px, height_px))
    smaller *= min(1.0, _GPT_SHORT_SIDE_PX / (min(width_px, height_px) * smaller))
    tiles = (math.ceil(round(side * smaller, 3) / _GPT_TILE_PX) for side in (width_px, height_px))
    return _GPT_BASE_TOKENS + _GPT_TILE_TOKENS * math.prod(tiles)


def _family(model: str) -> _Family | None:
    letters = _letters(model)
    return next((family for family in _FAMILIES if any(name in letters for name in family.names)), None)


def _letters(model: str) -> str:
    """Return a name without what servers write differently: Qwen/Qwen2.5-VL-7B-Instruct, qwen2.5vl:7b."""
    return re.sub(r"[^a-z0-9]", "", model.lower())
