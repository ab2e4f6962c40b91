"""What a model's name tells."""

from __future__ import annotations

import math
import random

import numpy as np

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from rs_textseg_plugin.engine.vlm.families import estimate_picture_tokens, known_convention, shown_size_px
from rs_textseg_plugin.engine.vlm.model import Convention

ensure_torchvision()

import transformers  # noqa: E402 (its image processor imports torchvision)

QWEN_3 = ["Qwen/Qwen3-VL-8B-Instruct", "qwen3-vl:8b", "qwen3-vl-plus", "Qwen3VL", "my_qwen3_vl_lora"]
QWEN_25 = ["Qwen/Qwen2.5-VL-7B-Instruct-AWQ", "qwen2.5vl:7b", "qwen2.5-vl-72b-instruct"]
GEMINI = ["gemini-2.5-flash", "models/gemini-3-pro-preview", "google/gemini-robotics-er-1.5-preview"]
THOUSANDTHS = [
    *QWEN_3, "Qwen2-VL-7B-Instruct", "zai-org/GLM-4.5V", "glm-4.1v-9b-thinking", "glm-4.6v-flash", "InternVL3_5-8B",
    "OpenGVLab/InternVL2_5-26B", "doubao-seed-1-6-vision-250815", "doubao-1-5-thinking-vision-pro-250428",
]  # fmt: skip
UNSETTLED = ["gpt-5", "gpt-4o", "qwen3:8b", "llava", "o3", "claude-opus", "gemma3:27b", "Molmo-7B-D", "Kimi-VL-A3B", ""]

# The image processors of the published preprocessor_config.json: side of a patch, fewest and most pixels.
PUBLISHED = {"qwen2.5-vl": (14, 56 * 56, 12_845_056), "qwen3-vl": (16, 65_536, 16_777_216)}


def processor_of(model: str):
    """The real image processor, as a folder with the published configuration makes it."""
    patch_px, least, most = PUBLISHED[model]
    size = {"shortest_edge": least, "longest_edge": most}
    return transformers.Qwen2VLImageProcessor(size=size, patch_size=patch_px)


def seen_by_processor(processor, width: int, height: int) -> tuple[int, int]:
    """What the processor itself makes of a picture of that size."""
    blank = np.zeros((height, width, 3), np.uint8)
    seen = processor(images=[blank], return_tensors="pt", input_data_format="channels_last")
    _, rows, columns = seen["image_grid_thw"][0].tolist()
    return columns * processor.patch_size, rows * processor.patch_size


def test_the_families_that_sources_settle_have_their_convention(subtests):
    expected = {Convention.GRID_1000_YX: GEMINI, Convention.PIXELS: QWEN_25, Convention.GRID_1000: THOUSANDTHS}
    for convention, models in expected.items():
        for model in models:
            with subtests.test(model=model):
                assert known_convention(model) is convention


def test_of_all_others_nothing_is_claimed(subtests):
    for model in UNSETTLED:
        with subtests.test(model=model):
            assert known_convention(model) is None


def test_qwens_see_what_their_own_processor_makes_of_a_picture(subtests):
    chance = random.Random()
    for model in PUBLISHED:
        processor = processor_of(model)
        sizes = [(1, 1), (4200, 4100), *((chance.randint(1, 400), chance.randint(1, 400)) for _ in range(20))]
        for width, height in sizes:
            if max(width, height) > 200 * min(width, height):
                continue  # the processor takes no such picture
            with subtests.test(model=model, width=width, height=height):
                assert shown_size_px(model, width, height) == seen_by_processor(processor, width, height)


def test_qwens_cost_as_many_tokens_as_their_own_processor_counts(subtests):
    chance = random.Random()
    for model in PUBLISHED:
        processor = processor_of(model)
        for _ in range(300):
            width = round(math.exp(chance.uniform(0, 9)))
            height = max(1, round(width * math.exp(chance.uniform(-5, 5))))
            with subtests.test(model=model, width=width, height=height):
                patches = processor.get_number_of_image_patches(height, width)
                assert estimate_picture_tokens(model, width, height) == patches // 4


def test_a_picture_of_more_than_the_largest_area_is_seen_smaller():
    assert shown_size_px("qwen2.5vl:7b", 4096, 4096) == (3584, 3584)
    assert shown_size_px("qwen3-vl:8b", 5000, 5000) == (4096, 4096)


def test_others_are_taken_to_answer_for_what_was_sent(subtests):
    for model in (*UNSETTLED, *GEMINI):
        with subtests.test(model=model):
            assert shown_size_px(model, 1000, 700) == (1000, 700)


def test_all_others_cost_what_openai_publishes(subtests):
    for size, tokens in (
        ((1024, 1024), 85 + 170 * 4),  # OpenAI's own two examples
        ((2048, 4096), 85 + 170 * 6),
        ((4096, 2048), 85 + 170 * 6),
        ((512, 512), 85 + 170),
        ((513, 512), 85 + 170 * 2),
        ((1, 1), 85 + 170),
        ((768, 512), 85 + 170 * 2),
        ((10_000, 10), 85 + 170 * 4),
    ):
        for model in UNSETTLED:
            with subtests.test(size=size, model=model):
                assert estimate_picture_tokens(model, *size) == tokens


def test_the_smallest_picture_costs_something(subtests):
    for model in ("qwen2.5vl", "qwen3-vl", "gpt-5"):
        with subtests.test(model=model):
            assert estimate_picture_tokens(model, 1, 1) >= 1
            assert min(shown_size_px(model, 1, 1)) >= 1
