from __future__ import annotations

import numpy as np
import pytest
import torch
from literal_surgery import literal_points
from scipy.ndimage import distance_transform_edt, gaussian_filter, label

from rs_textseg_plugin.engine.sam.surgery_points import published_points, region_point_sets


@pytest.mark.parametrize(
    ("grid", "tile", "threshold", "down_sample"),
    [((14, 14), (1024, 1024), 0.8, 2), ((14, 14), (1024, 1024), 0.3, 2), ((9, 14), (300, 470), 0.6, 3),
     ((14, 14), (7, 5), 0.0, 1)],
)  # fmt: skip
def test_the_published_rule_is_the_published_one(grid, tile, threshold, down_sample):
    heat = np.random.default_rng(sum(grid)).normal(size=grid).astype(np.float32)
    points, labels = literal_points(torch.from_numpy(heat).flatten(), grid[0], tile, threshold, down_sample)
    found = published_points(heat, tile, threshold, down_sample)
    np.testing.assert_array_equal(found.points_px, points)
    np.testing.assert_array_equal(found.is_inside, labels)


def test_a_map_without_any_difference_gives_no_points():
    assert published_points(np.ones((4, 4), np.float32), (64, 64), 0.8, 2) is None


def test_a_map_that_is_one_cell_after_the_down_sampling_gives_no_points():
    heat = np.array([[0, 1], [2, 3]], np.float32)
    assert published_points(heat, (64, 64), 0.8, 2) is None


def sets_of(is_class, valid=None, min_px=1, max_regions=100, probability=None):
    valid = np.ones_like(is_class) if valid is None else valid
    probability = is_class.astype(np.float32) if probability is None else probability
    return region_point_sets(is_class, probability, valid, min_px, max_regions)


def two_regions() -> np.ndarray:
    is_class = np.zeros((60, 90), bool)
    is_class[10:20, 10:20] = True
    is_class[30:50, 40:70] = True
    return is_class


def test_each_region_has_points_of_its_own_the_largest_first():
    is_class = two_regions()
    large, small = sets_of(is_class)
    for one, place in ((large, np.s_[30:50, 40:70]), (small, np.s_[10:20, 10:20])):
        own = np.zeros_like(is_class)
        own[place] = True
        columns, rows = one.points_px[one.is_inside].astype(int).T
        assert own[rows, columns].all()
        columns, rows = one.points_px[~one.is_inside].astype(int).T
        assert len(columns) > 0
        assert not is_class[rows, columns].any()


def literal_sets(is_class, probability, valid, min_px, max_regions):
    """Every region as a mask of the whole tile, with distances over the whole tile."""
    regions, count = label(is_class & valid, structure=np.ones((3, 3)))
    masks = [regions == number for number in range(1, count + 1)]
    masks = [mask for mask in sorted(masks, key=lambda mask: -mask.sum()) if mask.sum() >= min_px]
    for region in masks[:max_regions]:
        depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
        rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
        margin = max(max(np.ptp(rows) + 1, np.ptp(columns) + 1) // 2, 8)
        row, column = np.indices(region.shape)
        near = (row >= rows[0] - margin) & (row <= rows[-1] + margin)
        near &= (column >= columns[0] - margin) & (column <= columns[-1] + margin)
        inside = literal_best(np.where(depth >= depth.max() / 2, depth, 0), 3, 2 * depth.max())
        beside = near & valid & ~is_class & (distance_transform_edt(~region) > max(2, depth.max() / 2))
        outside = literal_best(np.where(beside, 1 - probability, 0), len(inside), 2 * depth.max())
        yield [(x + 0.5, y + 0.5) for y, x in inside], [(x + 0.5, y + 0.5) for y, x in outside]


def literal_best(values, count, apart_px):
    chosen = []
    for place in np.argsort(-values, axis=None, kind="stable"):
        row, column = np.unravel_index(place, values.shape)
        far = all((row - r) ** 2 + (column - c) ** 2 >= apart_px**2 for r, c in chosen)
        if values[row, column] > 0 and far and len(chosen) < count:
            chosen.append((row, column))
    return chosen


@pytest.mark.parametrize("seed", range(4))
def test_points_are_those_of_masks_and_distances_over_the_whole_tile(seed):
    rng = np.random.default_rng(seed)
    probability = gaussian_filter(rng.random((70, 110)), 4)
    probability = ((probability - probability.min()) / np.ptp(probability)).astype(np.float32)
    is_class, valid = probability > 0.6, gaussian_filter(rng.random((70, 110)), 6) > 0.48
    found = region_point_sets(is_class, probability, valid, 10, 5)
    expected = list(literal_sets(is_class, probability, valid, 10, 5))
    assert len(found) == len(expected) >= 3
    for one, (inside, outside) in zip(found, expected):
        np.testing.assert_array_equal(one.points_px[one.is_inside], inside)
        np.testing.assert_array_equal(one.points_px[~one.is_inside], np.reshape(outside, (-1, 2)))


def test_a_long_region_has_several_points_and_a_round_one_has_one():
    long, square = np.zeros((40, 120), bool), np.zeros((40, 120), bool)
    long[15:25, 10:110] = True
    square[10:30, 10:30] = True
    assert sets_of(long)[0].is_inside.sum() == 3
    assert sets_of(square)[0].is_inside.sum() == 1


def test_points_beside_a_region_lie_where_the_class_is_least_probable():
    is_class = np.zeros((40, 40), bool)
    is_class[15:25, 15:25] = True
    probability = np.where(is_class, 0.9, 0.4).astype(np.float32)
    probability[32, 20] = 0.1
    (found,) = sets_of(is_class, probability=probability)
    np.testing.assert_array_equal(found.points_px[~found.is_inside], [[20.5, 32.5]])


def test_small_regions_and_more_than_asked_for_have_none():
    assert len(sets_of(two_regions(), min_px=101)) == 1
    assert len(sets_of(two_regions(), max_regions=1)) == 1
    assert sets_of(np.zeros((5, 5), bool)) == []


def test_no_point_lies_where_there_is_no_data():
    is_class, valid = two_regions(), np.ones((60, 90), bool)
    valid[:, 55:] = False
    for one in sets_of(is_class, valid):
        columns, rows = one.points_px.astype(int).T
        assert valid[rows, columns].all()


def test_a_region_that_fills_the_tile_has_points_on_it_only():
    (found,) = sets_of(np.ones((20, 30), bool))
    assert found.is_inside.all()


def test_a_region_of_one_pixel_has_a_point_at_its_centre():
    is_class = np.zeros((5, 5), bool)
    is_class[2, 3] = True
    (found,) = sets_of(is_class)
    np.testing.assert_array_equal(found.points_px[found.is_inside], [[3.5, 2.5]])
