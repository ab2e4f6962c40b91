"""What a model's name tells."""

from __future__ import annotations

from rs_textseg_plugin.engine.vlm.families import convention_by_name, estimate_picture_tokens, shown_size_px
from rs_textseg_plugin.engine.vlm.model import Convention

QWEN_3 = ["Qwen/Qwen3-VL-8B-Instruct", "qwen3-vl:8b", "qwen3-vl-plus", "Qwen3VL", "my_qwen3_vl_lora"]
QWEN_25 = ["Qwen/Qwen2.5-VL-7B-Instruct-AWQ", "qwen2.5vl:7b", "qwen2.5-vl-72b-instruct"]
OTHERS = ["gpt-5", "gpt-4o", "qwen3:8b", "llava", "o3", ""]


def test_qwen3_vl_has_a_grid(subtests):
    for model in QWEN_3:
        with subtests.test(model=model):
            assert convention_by_name(model) is Convention.GRID_1000


def test_all_others_count_pixels(subtests):
    for model in (*QWEN_25, *OTHERS):
        with subtests.test(model=model):
            assert convention_by_name(model) is Convention.PIXELS


def test_qwen25_vl_sees_multiples_of_28_pixels_and_costs_a_token_for_each_square(subtests):
    for model in QWEN_25:
        with subtests.test(model=model):
            assert shown_size_px(model, 1024, 700) == (1036, 700)
            assert estimate_picture_tokens(model, 1024, 700) == 37 * 25


def test_qwen3_vl_costs_a_token_for_each_square_of_32_pixels(subtests):
    for model in QWEN_3:
        with subtests.test(model=model):
            assert shown_size_px(model, 1000, 700) == (1000, 700)
            assert estimate_picture_tokens(model, 1024, 704) == 32 * 22


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
        for model in OTHERS:
            with subtests.test(size=size, model=model):
                assert estimate_picture_tokens(model, *size) == tokens
                assert shown_size_px(model, *size) == size


def test_the_smallest_picture_costs_something(subtests):
    for model in ("qwen2.5vl", "qwen3-vl", "gpt-5"):
        with subtests.test(model=model):
            assert estimate_picture_tokens(model, 1, 1) >= 1
            assert min(shown_size_px(model, 1, 1)) >= 1
