"""Where SAM looks when it draws one object of a larger picture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.sam_window import bounds_of, inside_picture, window_for


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.sampled_from([64, 256, 1024]),
    st.tuples(*[st.floats(0, 1)] * 4),
)
def test_an_object_is_always_seen_as_a_whole(width, height, input_px, shares):
    xs, ys = sorted((shares[0] * width, shares[2] * width)), sorted((shares[1] * height, shares[3] * height))
    window = window_for((xs[0], ys[0], xs[1], ys[1]), width, height, input_px)
    assert window.intersection(Window(0, 0, width, height)) == window
    assert window.col <= xs[0] <= xs[1] <= window.col_stop
    assert window.row <= ys[0] <= ys[1] <= window.row_stop
    assert window.width >= min(width, input_px)
    assert window.height >= min(height, input_px)


def test_small_objects_are_seen_at_their_own_resolution_and_share_what_sam_sees():
    first = window_for((500, 500, 540, 530), 2000, 2000, 256)
    second = window_for((505, 498, 544, 529), 2000, 2000, 256)
    assert first == second
    assert (first.width, first.height) == (256, 256)


def test_a_large_object_has_room_around_it():
    window = window_for((400, 600, 1000, 700), 2000, 2000, 256)
    assert (window.width, window.height) == (900, 900)


@pytest.mark.parametrize(
    ("one", "bounds"),
    [
        (Instance("", (1, 2, 3, 4)), (1, 2, 3, 4)),
        (Instance("", None, ((5, 6), (3, 9))), (3, 6, 5, 9)),
        (Instance("", (1, 2, 3, 4), ((5, 0),), ((100, 100),)), (1, 0, 5, 4)),
        (Instance("", None, (), ((1, 1),)), None),
    ],
)
def test_box_and_points_on_an_object_bound_it(one, bounds):
    assert bounds_of(one) == bounds


def test_what_of_an_instance_lies_in_a_picture_is_cut_to_it():
    picture = Window(100, 50, 40, 30)
    one = Instance("pier", (90, 60, 120, 200), ((110, 70), (90, 70)), ((139, 79), (140, 80)), 0.5)
    (part,) = inside_picture([one, Instance("far", (0, 0, 10, 10), ((5, 5),))], picture)
    assert part == Instance("pier", (0, 10, 20, 30), ((10, 20),), ((39, 29),), 0.5)
