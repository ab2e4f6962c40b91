from __future__ import annotations

import math
import random

import pytest

from rs_textseg_plugin.engine.vlm.coordinates import (
    Drift,
    clipped,
    fit_drift,
    frame_size,
    from_picture,
    to_picture,
    within,
)
from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.model import Convention

MARKS = [(50.0, 40.0), (400.0, 60.0), (230.0, 200.0), (60.0, 300.0), (450.0, 330.0), (300.0, 120.0)]


def answered(places, scale=(1.0, 1.0), shift=(0.0, 0.0)):
    return [(x * scale[0] + shift[0], y * scale[1] + shift[1]) for x, y in places]


def worst(drift, expected, said):
    return max(math.dist(true, drift.apply(place)) for true, place in zip(expected, said))


def test_pixels_are_of_the_picture_as_the_model_saw_it():
    place = to_picture((70, 35), Convention.PIXELS, shown_px=(280, 140), picture_px=(1000, 700))
    assert place == (250.0, 175.0)


def test_the_grid_does_not_ask_how_large_the_picture_was_shown():
    places = [to_picture((250, 500), Convention.GRID_1000, shown, (640, 480)) for shown in ((28, 28), (640, 480))]
    assert places == [(160.0, 240.0)] * 2


def test_y_before_x_is_turned_round_on_the_way():
    assert to_picture((250, 500), Convention.GRID_1000_YX, (28, 28), (640, 480)) == (320.0, 120.0)
    assert from_picture((320, 120), Convention.GRID_1000_YX, (28, 28), (640, 480)) == (250.0, 500.0)


@pytest.mark.parametrize("convention", Convention)
def test_to_the_model_s_numbers_and_back_nothing_is_rounded(convention):
    place = (123.456, 7.8)
    there = from_picture(place, convention, (308, 252), (999, 777))
    assert to_picture(there, convention, (308, 252), (999, 777)) == pytest.approx(place, abs=1e-9)
    corner = from_picture((999, 777), convention, (308, 252), (999, 777))
    assert corner == pytest.approx(frame_size(convention, (308, 252)))


def test_a_point_on_the_picture_stays_and_another_moves_to_the_nearest_pixel():
    assert within((0.0, 9.9), (20, 10)) == (0.0, 9.9)
    assert within((-3.0, 10.0), (20, 10)) == (0.5, 9.5)
    assert within((20.0, 4.25), (20, 10)) == (19.5, 4.25)


def test_a_box_beside_the_picture_is_clipped_to_nothing():
    assert clipped((-5, 2, 30, 8), (20, 10)) == (0, 2, 20, 8)
    left, _, right, _ = clipped((25, 2, 30, 8), (20, 10))
    assert left == right


def test_a_shift_and_a_scale_are_found():
    said = answered(MARKS, (1.25, 0.8), (12.0, -7.0))
    drift = fit_drift(MARKS, said)
    assert worst(drift, MARKS, said) < 1e-6
    assert (drift.scale_x, drift.scale_y) == pytest.approx((0.8, 1.25))


def test_one_wild_answer_does_not_spoil_the_fit():
    noise = random.Random(1)
    said = [(x + noise.uniform(-1, 1), y + noise.uniform(-1, 1)) for x, y in answered(MARKS, shift=(9.0, 4.0))]
    said[2] = (20.0, 500.0)
    drift = fit_drift(MARKS, said)
    others = [number for number in range(len(MARKS)) if number != 2]
    assert worst(drift, [MARKS[i] for i in others], [said[i] for i in others]) < 2.5
    assert (drift.dx_px, drift.dy_px) == pytest.approx((-9.0, -4.0), abs=2.5)


def test_answers_that_all_scatter_alike_are_all_fitted():
    noise = random.Random(2)
    said = [(x + noise.uniform(-4, 4), y + noise.uniform(-4, 4)) for x, y in MARKS]
    drift = fit_drift(MARKS, said)
    moved = [drift.apply(place) for place in said]
    for axis in (0, 1):  # what least squares over all of them leaves has no mean
        assert sum(place[axis] - mark[axis] for place, mark in zip(moved, MARKS)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_of_fewer_than_three_marks_only_the_shift_is_fitted(count):
    drift = fit_drift(MARKS[:count], answered(MARKS[:count], shift=(5.0, -3.0)))
    assert drift == Drift(dx_px=-5.0, dy_px=3.0)
    stretched = fit_drift(MARKS[:count], answered(MARKS[:count], scale=(2.0, 2.0)))
    assert (stretched.scale_x, stretched.scale_y) == (1.0, 1.0)


def test_no_mark_and_marks_all_in_one_place_tell_no_scale():
    assert fit_drift([], []) == Drift()
    assert fit_drift(MARKS, [(100.0, 100.0)] * len(MARKS)).scale_x == 1.0


def test_an_instance_is_corrected_and_stays_on_the_picture():
    one = Instance("ship", (10.0, 20.0, 90.0, 60.0), ((50.0, 40.0),), ((95.0, 5.0),), 0.5)
    corrected = Drift(20.0, -10.0).correct(one, (100, 80))
    assert corrected == Instance("ship", (30.0, 10.0, 100.0, 50.0), ((70.0, 30.0),), ((99.5, 0.5),), 0.5)


def test_a_box_that_leaves_the_picture_altogether_is_none():
    one = Instance("ship", (10.0, 20.0, 30.0, 40.0))
    assert Drift(dx_px=-50.0).correct(one, (100, 80)).box is None
    assert Drift().correct(Instance("ship", None, ((1.0, 2.0),)), (100, 80)).box is None
