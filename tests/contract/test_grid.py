"""Laws of transforms, windows, extents and tiles."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_textseg_plugin.contract.grid import Extent, PixelGrid, TileGrid, Transform, Window

QUICK = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def transforms(draw) -> Transform:
    """North-up, south-up and rotated ones, with pixels of a centimetre to a kilometre."""
    width, height = draw(st.floats(0.01, 1000)), draw(st.floats(0.01, 1000))
    angle, flip = draw(st.floats(0, 2 * math.pi)), draw(st.sampled_from([-1, 1]))
    x, y = draw(st.floats(-2e7, 2e7)), draw(st.floats(-2e7, 2e7))
    cos, sin = math.cos(angle), math.sin(angle)
    return Transform(width * cos, -height * flip * sin, x, width * sin, height * flip * cos, y)


@st.composite
def windows(draw, side_px: int = 60) -> Window:
    return Window(
        *(draw(st.integers(-5, side_px)) for _ in range(2)), *(draw(st.integers(0, side_px)) for _ in range(2))
    )


@st.composite
def tile_grids(draw) -> TileGrid:
    tile_px = draw(st.integers(1, 60))
    overlap_px = draw(st.integers(0, tile_px // 2))
    return TileGrid(draw(st.integers(1, 200)), draw(st.integers(1, 200)), tile_px, overlap_px)


def pixels(window: Window) -> set[tuple[int, int]]:
    return {(col, row) for col in range(window.col, window.col_stop) for row in range(window.row, window.row_stop)}


@QUICK
@given(transforms(), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_a_pixel_comes_back_from_the_map(transform, col, row):
    back = transform.to_pixel(*transform.to_map(col, row))
    # 2e7 map units have a resolution of 4e-9, which is 4e-7 pixels of a centimetre
    assert back == pytest.approx((col, row), abs=1e-5)


@QUICK
@given(transforms(), st.floats(0.1, 50), st.floats(0.1, 50))
def test_a_scaled_grid_has_the_same_corner_and_larger_pixels(transform, scale_col, scale_row):
    scaled = transform.scaled(scale_col, scale_row)
    assert scaled.to_map(0, 0) == transform.to_map(0, 0)
    assert scaled.to_map(3, 2) == pytest.approx(transform.to_map(3 * scale_col, 2 * scale_row))
    assert scaled.determinant == pytest.approx(transform.determinant * scale_col * scale_row)


def test_the_determinant_is_negative_for_north_up_and_zero_for_a_degenerate_transform():
    assert Transform(0.5, 0, 10, 0, -0.5, 20).determinant == -0.25
    assert Transform(1, 2, 0, 2, 4, 0).determinant == 0


@QUICK
@given(windows(), windows())
def test_an_intersection_holds_exactly_the_common_pixels(one, other):
    common = one.intersection(other)
    assert pixels(common) == pixels(one) & pixels(other)
    assert common.is_empty == (not pixels(common))
    assert min(common.width, common.height) >= 0


@QUICK
@given(windows(), windows())
def test_a_relative_window_moves_back_to_where_it_was(window, origin):
    relative = window.relative_to(origin)
    assert relative.moved(origin.col, origin.row) == window
    assert (relative.width, relative.height) == (window.width, window.height)


def test_slices_are_rows_first():
    assert Window(2, 5, 3, 4).slices == (slice(5, 9), slice(2, 5))


@QUICK
@given(st.floats(-2e7, 2e7), st.floats(-2e7, 2e7), st.sampled_from([-0.1, 0.1]), windows())
def test_an_extent_along_pixel_edges_is_that_window_cut_to_the_grid(x, y, row_step, window):
    grid = PixelGrid(40, 30, Transform(0.1, 0, x, 0, row_step, y))
    edges = [(window.col, window.row), (window.col_stop, window.row_stop)]
    xs, ys = zip(*(grid.transform.to_map(*edge) for edge in edges))
    found = Extent(min(xs), min(ys), max(xs), max(ys)).window_on(grid)
    wanted = window.intersection(grid.window)
    assert found.is_empty == wanted.is_empty
    assert found == wanted or wanted.is_empty


@QUICK
@given(transforms(), st.floats(0, 40), st.floats(0, 30), st.floats(0, 20), st.floats(0, 20))
def test_an_extent_covers_every_pixel_it_touches(transform, col, row, width, height):
    grid = PixelGrid(40, 30, transform)
    corners = [transform.to_map(col + i * width, row + j * height) for i in (0, 1) for j in (0, 1)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    found = Extent(min(xs), min(ys), max(xs), max(ys)).window_on(grid)
    inner = (
        math.floor(col + 1e-3),
        math.floor(row + 1e-3),
        math.ceil(col + width - 1e-3),
        math.ceil(row + height - 1e-3),
    )
    assert pixels(
        Window(inner[0], inner[1], inner[2] - inner[0], inner[3] - inner[1]).intersection(grid.window)
    ) <= pixels(found)
    assert found == found.intersection(grid.window)


def test_an_extent_of_a_part_of_a_pixel_is_that_pixel():
    grid = PixelGrid(10, 10, Transform(1, 0, 100, 0, -1, 200))
    assert Extent(103.2, 195.1, 103.9, 195.8).window_on(grid) == Window(3, 4, 1, 1)


def test_an_extent_beside_the_raster_is_empty():
    grid = PixelGrid(10, 10, Transform(1, 0, 100, 0, -1, 200))
    assert Extent(111, 191, 115, 199).window_on(grid).is_empty


@QUICK
@given(tile_grids())
def test_cores_cover_each_axis_exactly_once(grid):
    for length_px in (grid.width, grid.height):
        spans = grid.spans(length_px)
        assert [i for span in spans for i in range(span.core_start, span.core_stop)] == list(range(length_px))


@QUICK
@given(tile_grids())
def test_every_window_contains_its_core_and_lies_in_the_grid(grid):
    for tile in grid.tiles():
        assert tile.core.intersection(tile.window) == tile.core
        assert tile.window.intersection(Window(0, 0, grid.width, grid.height)) == tile.window
        assert not tile.core.is_empty


@QUICK
@given(tile_grids())
def test_only_the_last_tile_of_an_axis_is_shorter_than_tile_px(grid):
    lengths = [span.stop - span.start for span in grid.spans(grid.width)]
    assert all(length == grid.tile_px for length in lengths[:-1])
    assert 0 < lengths[-1] <= grid.tile_px


@QUICK
@given(tile_grids())
def test_neighbours_overlap_by_exactly_overlap_px_and_others_not_at_all(grid):
    spans = grid.spans(grid.width)
    assert all(one.stop - other.start == grid.overlap_px for one, other in zip(spans, spans[1:]))
    assert all(one.stop <= other.start for one, other in zip(spans, spans[2:]))


@QUICK
@given(tile_grids(), windows(200))
def test_an_extent_selects_tiles_without_changing_them(grid, extent):
    selected = list(grid.tiles(extent))
    every = {tile.index: tile for tile in grid.tiles()}
    assert all(tile == every[tile.index] for tile in selected)
    asked = pixels(extent.intersection(Window(0, 0, grid.width, grid.height)))
    assert {tile.index for tile in selected} == {index for index, tile in every.items() if asked & pixels(tile.core)}


@QUICK
@given(tile_grids())
def test_tiles_come_row_by_row(grid):
    indices = [tile.index for tile in grid.tiles()]
    assert indices == sorted(set(indices))


@QUICK
@given(tile_grids(), st.integers(0, 300))
def test_a_larger_raster_has_the_same_tiles_but_for_the_last_ones(grid, more_px):
    small, large = grid.spans(grid.width), grid.spans(grid.width + more_px)
    assert large[: len(small) - 1] == small[:-1]


def test_a_raster_of_1500_pixels_has_two_tiles_of_1024_and_604():
    spans = TileGrid(1500, 1500, 1024, 128).spans(1500)
    assert [(span.start, span.stop, span.core_start, span.core_stop) for span in spans] == [
        (0, 1024, 0, 960),
        (896, 1500, 960, 1500),
    ]


def test_one_picture_can_be_the_only_tile():
    window = Window(300, 120, 200, 90)
    (tile,) = TileGrid.single(window).tiles(window)
    assert (tile.index, tile.window, tile.core) == ((0, 0), window, window)


def test_a_grid_that_cannot_be_is_refused_with_its_numbers(subtests):
    for tile_px, overlap_px, numbers in (
        (64, -1, "overlap_px -1 .* tile_px 64"),
        (64, 33, "overlap_px 33 .* tile_px 64"),
        (1024, 1024, "overlap_px 1024 .* tile_px 1024"),
        (0, 0, "tile_px 0 must"),
        (-8, 0, "tile_px -8 must"),
    ):
        with subtests.test(tile_px=tile_px, overlap_px=overlap_px), pytest.raises(ValueError, match=numbers):
            TileGrid(100, 100, tile_px, overlap_px)
