"""Clicks that are known beforehand, for masks and drawers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.clicks import Clicks, synthesise


class Drawer:
    """Draws what it was told to, one mask after the other, and remembers what it was asked."""

    def __init__(self, *masks: np.ndarray) -> None:
        self._masks = list(masks)
        self.asked: list[tuple[list[list[float]], list[bool]]] = []

    def __call__(self, points: np.ndarray, is_inside: np.ndarray) -> np.ndarray:
        self.asked.append((points.tolist(), is_inside.tolist()))
        return self._masks[min(len(self.asked), len(self._masks)) - 1]


def box(left, top, right, bottom, height=20, width=30) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def listed(clicks: Clicks) -> list[tuple[float, float, bool]]:
    return [(x, y, bool(inside)) for (x, y), inside in zip(clicks.points_px.tolist(), clicks.is_inside)]


NOTHING = box(0, 0, 0, 0)


def test_the_first_click_is_the_middle_of_a_square():
    square = box(10, 5, 17, 12)
    assert listed(synthesise(square, Drawer(square))) == [(13.5, 8.5, True)]


def test_of_equal_pixels_the_uppermost_and_then_the_leftmost_is_clicked():
    even = box(10, 4, 14, 8)  # four pixels in its middle are equally deep
    assert listed(synthesise(even, Drawer(even))) == [(11.5, 5.5, True)]
    two = box(2, 9, 5, 12) | box(20, 3, 23, 6)  # the right one is higher up
    assert listed(synthesise(two, Drawer(two))) == [(21.5, 4.5, True)]
    beside = box(2, 3, 5, 6) | box(20, 3, 23, 6)
    assert listed(synthesise(beside, Drawer(beside))) == [(3.5, 4.5, True)]


def test_the_middle_of_a_ring_is_never_clicked_as_inside():
    ring = box(5, 3, 18, 16) & ~box(9, 7, 14, 12)
    clicks = synthesise(ring, Drawer(NOTHING))
    assert len(clicks.points_px) == 6
    assert all(ring[int(y), int(x)] for x, y in clicks.inside)
    assert clicks.outside == ()


def test_a_filled_ring_gets_a_click_beside_it_in_its_hole():
    ring = box(5, 3, 18, 16) & ~box(9, 7, 14, 12)
    clicks = synthesise(ring, Drawer(box(5, 3, 18, 16), ring))
    assert clicks.is_inside.tolist() == [True, False]
    assert clicks.outside == ((11.5, 9.5),)


def test_the_second_of_two_blobs_is_clicked_when_only_the_first_was_drawn():
    large, small = box(2, 2, 13, 13), box(20, 4, 25, 9)
    clicks = synthesise(large | small, Drawer(large, large | small))
    assert listed(clicks) == [(7.5, 7.5, True), (22.5, 6.5, True)]


def test_what_is_missing_and_what_is_too_much_compete_for_the_next_click():
    target = box(0, 0, 10, 20)
    missing_three, too_much_five = box(0, 0, 7, 20), box(10, 0, 15, 20)
    clicks = synthesise(target, Drawer(missing_three | too_much_five, target))
    assert clicks.is_inside.tolist() == [True, False]
    (x, y), *_ = clicks.outside
    # Missing and too much lie side by side: 8 columns in all, of which the deepest are the 4th and 5th.
    assert (x, y) == (10.5, 3.5)


def test_the_frame_of_the_picture_counts_as_agreement():
    half = box(0, 0, 9, 20)
    assert listed(synthesise(half, Drawer(half))) == [(4.5, 4.5, True)]
    everything = np.ones((5, 5), bool)
    assert listed(synthesise(everything, Drawer(everything))) == [(2.5, 2.5, True)]


def test_a_drawer_that_does_not_follow_is_clicked_at_other_places():
    square = box(4, 4, 13, 13)
    clicks = synthesise(square, Drawer(NOTHING))
    places = listed(clicks)
    assert len(places) == len(set(places)) == 6
    assert places[0] == (8.5, 8.5, True)
    distances = [np.hypot(x - 8.5, y - 8.5) for x, y, _ in places[1:]]
    assert min(distances) > 1.5  # not right beside the first


def test_the_drawer_is_given_all_clicks_so_far():
    target, wide = box(4, 4, 9, 9), box(4, 4, 20, 9)
    drawer = Drawer(wide, target)
    clicks = synthesise(target, drawer)
    assert drawer.asked == [
        ([[6.5, 6.5]], [True]),
        ([[6.5, 6.5], clicks.points_px[1].tolist()], [True, False]),
    ]


def test_it_ends_when_nothing_is_left_to_correct():
    square = box(4, 4, 9, 9)
    drawer = Drawer(square)
    clicks = synthesise(square, drawer)
    assert len(clicks.points_px) == len(drawer.asked) == 1
    assert np.array_equal(clicks.drawn, square)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_there_are_no_more_clicks_than_asked_for(count):
    clicks = synthesise(box(3, 3, 25, 17), Drawer(NOTHING), count)
    assert len(clicks.points_px) == count


def test_an_empty_object_has_no_clicks_and_nothing_is_drawn():
    drawer = Drawer(box(3, 3, 9, 9))
    clicks = synthesise(NOTHING, drawer)
    assert (clicks.points_px.shape, clicks.is_inside.shape) == ((0, 2), (0,))
    assert (clicks.inside, clicks.outside, drawer.asked) == ((), (), [])
    assert not clicks.drawn.any()


def test_an_object_of_one_pixel_is_clicked_in_its_centre_once():
    pixel = box(7, 3, 8, 4)
    assert listed(synthesise(pixel, Drawer(NOTHING))) == [(7.5, 3.5, True)]


def test_the_same_mask_gets_the_same_clicks():
    blobs = np.random.default_rng(0).random((40, 40)) > 0.4
    drawn = np.random.default_rng(1).random((40, 40)) > 0.5
    assert listed(synthesise(blobs, Drawer(drawn))) == listed(synthesise(blobs, Drawer(drawn)))
