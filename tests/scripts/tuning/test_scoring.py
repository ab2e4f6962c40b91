"""Scores against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_models import tiny_sam
from tuning_data import picture_of, square

from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.vlm.drawing import Policy
from rs_textseg_plugin.engine.vlm.model import Convention, Reply
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy
from tuning.examples import Example, Shown
from tuning.scoring import Examiner, compare, summarise
from tuning.targets import answer_text, make_target

CLICKS = ClickPolicy(6, 6, 50)
EMPTY = square(0, 0, 0)


def test_a_sample_is_counted_in_pixels():
    sample = compare(square(0, 0, 10), square(5, 0, 10))
    assert (sample.intersection_px, sample.union_px) == (50, 150)
    assert (sample.has_target, sample.has_answer) == (True, True)
    assert sample.iou == pytest.approx(1 / 3)


def test_nothing_found_where_nothing_is_counts_as_right():
    assert compare(EMPTY, EMPTY).iou == 1.0
    assert compare(EMPTY, square(0, 0, 3)).iou == 0.0
    assert compare(square(0, 0, 3), EMPTY).iou == 0.0


def test_the_means_are_those_computed_by_hand():
    samples = [
        compare(square(0, 0, 10), square(5, 0, 10)),  # 50 of 150
        compare(square(0, 0, 20), square(0, 0, 16)),  # 256 of 400
        compare(square(0, 0, 4), EMPTY),  # 0 of 16
        compare(EMPTY, EMPTY),
        compare(EMPTY, EMPTY, is_readable=False),
        compare(EMPTY, square(0, 0, 2)),  # 0 of 4
    ]
    scores = summarise(samples)
    assert scores.g_iou == pytest.approx((1 / 3 + 0.64 + 0 + 1 + 1 + 0) / 6)
    assert scores.c_iou == pytest.approx(306 / 570)
    assert scores.p_50 == pytest.approx(1 / 3)
    assert scores.n_acc == pytest.approx(2 / 3)
    assert scores.t_acc == pytest.approx(2 / 3)
    assert scores.readable == pytest.approx(5 / 6)
    assert scores.samples == 6


def test_exactly_half_is_not_above_half():
    whole = np.ones((4, 4), bool)
    half = compare(whole & (np.arange(4) < 2), whole)
    assert half.iou == 0.5
    assert summarise([half]).p_50 == 0.0
    assert summarise([half, compare(whole & (np.arange(4) < 3), whole)]).p_50 == 0.5


def test_what_no_sample_counts_for_is_no_number():
    scores = summarise([compare(square(0, 0, 2), square(0, 0, 2))])
    assert math.isnan(scores.n_acc)
    assert scores.t_acc == scores.p_50 == 1.0
    assert math.isnan(summarise([compare(EMPTY, EMPTY)]).c_iou)


class Knowing:
    """A model that says what it was told to say."""

    name, convention = "knowing", Convention.GRID_1000

    def __init__(self, replies: list[str]) -> None:
        self._replies = replies

    def shown_size(self, width_px: int, height_px: int) -> tuple[int, int]:
        return width_px, height_px

    def ask(self, picture, asked, control) -> Reply:
        return Reply(self._replies.pop(0), (picture.shape[1], picture.shape[0]))


def example_of(mask: np.ndarray, key: str = "a") -> Example:
    return Example(key, "a square", "a square", lambda: Shown(picture_of(mask), (mask,) if mask.any() else ()))


def test_a_model_that_answers_with_the_wanted_clicks_gets_the_score_that_they_reach():
    sam = SamModel(tiny_sam(), torch.device("cpu"), torch.float32)
    examples = [example_of(square(40, 20, 24)), example_of(EMPTY, "b")]
    targets = [make_target(one, sam, 256, 6, 50) for one in examples]
    # Pixels are no thousandths: with whole thousandths of 96 x 64 pixels, no click moves by more than 0.05 pixels.
    size = (96, 64)
    replies = [answer_text(one.instances, Convention.GRID_1000, size, size, CLICKS) for one in targets]
    examiner = Examiner(Knowing(replies), sam, CLICKS, Policy(False, True, True), 256)
    scores = examiner.examine(examples)
    assert 0 < targets[0].iou < 1
    assert scores.g_iou == pytest.approx((targets[0].iou + 1) / 2, abs=0.02)
    assert (scores.n_acc, scores.t_acc, scores.readable) == (1.0, 1.0, 1.0)


def test_prose_is_no_readable_answer_and_finds_nothing():
    sam = SamModel(tiny_sam(), torch.device("cpu"), torch.float32)
    examiner = Examiner(Knowing(["I see no such thing."]), sam, CLICKS, Policy(False, True, True), 256)
    scores = examiner.examine([example_of(square(40, 20, 24))])
    assert (scores.g_iou, scores.t_acc, scores.readable) == (0.0, 0.0, 0.0)
