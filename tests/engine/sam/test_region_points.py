from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label

from rs_textseg_plugin.engine.sam.region_points import region_points

SIZE = (40, 60)


def drawn(*boxes: tuple[int, int, int, int], class_index: int = 0) -> np.ndarray:
    """A map without classes but for boxes of (row, row_stop, col, col_stop)."""
    labels = np.full(SIZE, -1)
    for row, row_stop, col, col_stop in boxes:
        labels[row:row_stop, col:col_stop] = class_index
    return labels


def points_of(labels, valid=None, min_px=1, max_points=200) -> list[tuple[float, float]]:
    found = region_points(labels, np.ones(labels.shape, bool) if valid is None else valid, min_px, max_points)
    assert found.dtype == np.float64
    assert found.shape == (len(found), 2)
    return [(float(x), float(y)) for x, y in found]


def test_a_square_gives_the_centre_of_its_middle_pixel():
    assert points_of(drawn((10, 15, 20, 25))) == [(22.5, 12.5)]


def test_the_point_of_a_ring_lies_inside_its_band():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(rows - 20, columns - 30)
    ring = (distance > 8) & (distance < 15)
    ((x, y),) = points_of(np.where(ring, 2, -1))
    assert ring[int(y), int(x)]
    assert 10 < np.hypot(y - 20.5, x - 30.5) < 13


def test_two_blobs_give_two_points_the_larger_first():
    assert points_of(drawn((2, 5, 2, 5), (10, 17, 20, 27))) == [(23.5, 13.5), (3.5, 3.5)]


def test_touching_regions_of_two_classes_give_a_point_each():
    labels = drawn((10, 15, 20, 25))
    labels[10:15, 25:30] = 1
    assert sorted(points_of(labels)) == [(22.5, 12.5), (27.5, 12.5)]


def test_regions_that_touch_at_a_corner_are_one():
    assert len(points_of(drawn((5, 8, 5, 8), (8, 11, 8, 11)))) == 1
    assert len(points_of(drawn((5, 8, 5, 8), (9, 12, 8, 11)))) == 2


def test_regions_that_are_too_small_give_no_point():
    labels = drawn((5, 8, 5, 9))
    assert len(points_of(labels, min_px=12)) == 1
    assert points_of(labels, min_px=13) == []


def test_a_region_at_the_border_of_the_map_is_not_asked_at_the_border():
    assert points_of(drawn((0, 5, 0, 5))) == [(2.5, 2.5)]


def test_pixels_without_data_belong_to_no_region():
    valid = np.ones(SIZE, bool)
    valid[:, 22] = False
    assert sorted(points_of(drawn((10, 13, 19, 26)), valid)) == [(20.5, 11.5), (24.5, 11.5)]
    assert points_of(drawn((10, 13, 19, 26)), np.zeros(SIZE, bool)) == []


@pytest.mark.parametrize("most", [0, 1, 2])
def test_only_the_largest_regions_are_taken_when_there_are_too_many(most):
    labels = drawn((2, 5, 2, 5), (10, 17, 20, 27), (30, 35, 40, 45))
    assert points_of(labels, max_points=most) == [(23.5, 13.5), (42.5, 32.5), (3.5, 3.5)][:most]


def test_a_map_without_classes_gives_no_point():
    assert points_of(drawn()) == []


def test_every_region_of_a_random_map_is_asked_at_a_pixel_as_deep_as_any():
    rng = np.random.default_rng(3)
    labels = np.kron(rng.integers(-1, 3, (6, 7)), np.ones((4, 3), int))
    found = points_of(labels, min_px=20)
    regions = label(labels + 1, background=0, connectivity=2)
    numbers, sizes = np.unique(regions[regions > 0], return_counts=True)
    expected = {int(number) for number, size in zip(numbers, sizes) if size >= 20}
    assert {int(regions[int(y), int(x)]) for x, y in found} == expected
    assert len(found) == len(expected) > 2
    for x, y in found:
        depths = literal_depths(regions == regions[int(y), int(x)])
        assert depths[int(y), int(x)] == depths.max()


def literal_depths(region: np.ndarray) -> np.ndarray:
    """Squared distance of every pixel of a region to the nearest pixel outside, those around the map included."""
    outside = np.argwhere(~np.pad(region, 1)) - 1
    depths = np.zeros(region.shape, int)
    for row, column in np.argwhere(region):
        depths[row, column] = ((outside - (row, column)) ** 2).sum(axis=1).min()
    return depths
