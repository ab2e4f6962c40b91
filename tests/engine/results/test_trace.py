from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
import shapely
from scipy.ndimage import gaussian_filter

from rs_textseg_plugin.contract.grid import Transform, Window
from rs_textseg_plugin.engine.results.trace import fill_holes, join_pieces, repaired, to_map, trace


def land_cover(seed: int, smooth: float, classes: int = 5, size: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(rng.random((size, size + 31)), smooth) for _ in range(classes)])
    return fields.argmax(axis=0).astype(np.int32)


@pytest.mark.parametrize("smooth", [0.3, 1.0, 4.0])
def test_polygons_hold_exactly_the_pixels_of_their_region(smooth):
    numbers = land_cover(0, smooth)
    values, polygons = trace(numbers, Window(0, 0, numbers.shape[1], numbers.shape[0]), 0)
    burnt = rasterio.features.rasterize(zip(polygons, values), out_shape=numbers.shape, fill=0, dtype="int32")
    np.testing.assert_array_equal(burnt, numbers)
    assert shapely.area(polygons).sum() == np.count_nonzero(numbers)
    assert (shapely.get_coordinates(polygons) % 1 == 0).all()


@pytest.mark.parametrize("tolerance_px", [0, 1.0, 3.0])
@pytest.mark.parametrize("smooth", [0.3, 1.0, 4.0])
def test_polygons_are_valid_and_share_their_borders(smooth, tolerance_px):
    numbers = land_cover(1, smooth) + 1  # no background: a partition of the whole block
    window = Window(0, 0, numbers.shape[1], numbers.shape[0])
    _, polygons = trace(numbers, window, tolerance_px)
    assert shapely.is_valid(polygons).all()
    # Gaps would make the union smaller than the block, overlaps the sum of areas larger.
    assert shapely.union_all(polygons).area == pytest.approx(numbers.size, abs=1e-6)
    assert shapely.area(polygons).sum() == pytest.approx(numbers.size, abs=1e-6)


def test_simplification_removes_the_steps_of_a_slanted_border():
    rows, cols = np.mgrid[:200, :200]
    numbers = (rows > 0.5 * cols + 30).astype(np.int32)
    window = Window(0, 0, 200, 200)
    _, (exact,) = trace(numbers, window, 0)
    _, (simple,) = trace(numbers, window, 1.0)
    assert shapely.get_num_coordinates(exact) > 200
    assert shapely.get_num_coordinates(simple) < 20
    assert simple.symmetric_difference(exact).area < 0.01 * exact.area


def test_a_hole_is_a_hole():
    numbers = np.zeros((9, 9), np.int32)
    numbers[1:8, 1:8], numbers[3:6, 3:6] = 4, 0
    values, (polygon,) = trace(numbers, Window(10, 20, 9, 9), 0)
    assert list(values) == [4]
    assert polygon.equals(shapely.box(11, 21, 18, 28).difference(shapely.box(13, 23, 16, 26)))


def test_a_region_that_touches_itself_in_a_corner_gives_valid_polygons_of_the_same_area():
    numbers = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 1]], np.int32)
    for tolerance_px in (0, 0.1):
        _, polygons = trace(numbers, Window(0, 0, 4, 4), tolerance_px)
        assert shapely.is_valid(polygons).all()
        assert shapely.area(polygons).sum() == np.count_nonzero(numbers)


@pytest.mark.parametrize("tolerance_px", [0, 1.0])
def test_pieces_from_two_blocks_join_without_a_trace_of_the_cut(tolerance_px):
    rows, cols = np.mgrid[:100, :200]
    numbers = ((rows - 50) ** 2 + (cols - 100) ** 2 / 3 < 40**2).astype(np.int32)
    left, right = Window(0, 0, 100, 100), Window(100, 0, 100, 100)
    pieces = [trace(numbers[w.slices], w, tolerance_px)[1][0] for w in (left, right)]
    joined = join_pieces(pieces)
    assert joined.geom_type == "Polygon"
    assert joined.is_valid
    if tolerance_px == 0:
        _, (whole,) = trace(numbers, Window(0, 0, 200, 100), 0)
        assert joined.equals(whole)
    on_the_cut = np.count_nonzero(shapely.get_coordinates(joined)[:, 0] == 100)
    assert on_the_cut <= 2 + 2 * (tolerance_px == 0)


def test_holes_are_filled_by_size_and_only_where_one_region_surrounds_data():
    numbers = np.ones((20, 30), np.int32)
    numbers[:, 20:] = 2
    numbers[2:4, 2:4] = 0  # 4 px, to be filled
    numbers[8:12, 8:12] = 0  # 16 px, too large
    numbers[5:7, 19:21] = 0  # between two regions
    numbers[0:2, 10:12] = 0  # at the frame
    numbers[15:17, 4:6] = 0  # missing data
    has_data = np.ones(numbers.shape, bool)
    has_data[15:17, 4:6] = False
    filled = fill_holes(numbers, 10, has_data)
    changed = np.argwhere(filled != numbers)
    assert {tuple(place) for place in changed} == {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert (filled[2:4, 2:4] == 1).all()
    np.testing.assert_array_equal(fill_holes(numbers, 0), numbers)


def test_map_coordinates_follow_the_transform_of_a_rotated_grid():
    transform = Transform(0.5, 0.2, 1000.0, 0.1, -0.4, 2000.0)
    (placed,) = to_map(np.array([shapely.box(2, 3, 7, 11)], dtype=object), transform)
    assert placed.area == pytest.approx(5 * 8 * abs(transform.determinant))
    assert transform.to_map(2, 3) in [tuple(c) for c in shapely.get_coordinates(placed)]


def test_a_repaired_polygon_is_never_a_collection_of_areas_and_lines():
    spike = shapely.Polygon([(0, 0), (4, 0), (4, 4), (4, 8), (4, 4), (0, 4)])
    assert repaired(np.array([spike], dtype=object))[0].equals(shapely.box(0, 0, 4, 4))
    assert repaired(np.array([spike], dtype=object))[0].geom_type == "Polygon"
