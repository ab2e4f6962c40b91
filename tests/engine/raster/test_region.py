"""What is asked for, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon, box

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Extent, PixelGrid, Transform, Window
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.raster.region import Region, asked_region

GRID = PixelGrid(100, 80, Transform(2, 0, 1000, 0, -2, 5000))  # x 1000..1200, y 4840..5000
SOUTH_UP = PixelGrid(100, 80, Transform(2, 0, 1000, 0, 2, 4840))
TURNED = PixelGrid(100, 80, Transform(1.2, 1.6, 1000, 1.6, -1.2, 5000))


def region(grid: PixelGrid = GRID, extent: tuple[float, ...] | None = None, mask=None) -> Region:
    wkb = mask if isinstance(mask, str) else shapely.to_wkb(mask, hex=True) if mask is not None else ""
    return asked_region(Scene("a.tif", extent=Extent(*extent) if extent else None, mask_wkb_hex=wkb), grid)


def centres(grid: PixelGrid) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    return grid.transform.to_map(cols, rows)


def test_all_of_the_raster_is_asked_for_if_nothing_is_said():
    assert region().window == GRID.window
    assert region().inside(GRID.window).all()


def test_an_extent_covers_every_pixel_that_it_touches():
    asked = region(extent=(1011.0, 4900.0, 1021.0, 4905.0))
    assert asked.window == Window(5, 47, 6, 3)
    inside = asked.inside(Window(0, 40, 20, 20))
    assert inside.sum() == 18
    assert inside[7:10, 5:11].all()


def test_an_extent_that_sticks_out_is_cut():
    assert region(extent=(900, 4000, 1010, 6000)).window == Window(0, 0, 5, 80)


@pytest.mark.parametrize("grid", [GRID, SOUTH_UP, TURNED])
def test_a_mask_holds_the_pixels_whose_centres_it_holds(grid):
    x, y = grid.transform.to_map(50, 40)
    mask = MultiPolygon([Point(x, y).buffer(31.3), box(x + 40.2, y + 40.4, x + 48.7, y + 48.3)]) - Point(x, y).buffer(9)
    asked = region(grid, mask=mask)
    expected = shapely.contains_xy(mask, *centres(grid))
    assert np.array_equal(asked.inside(grid.window), expected)
    assert not expected.all()
    rows, cols = np.nonzero(expected)
    assert asked.window.intersection(Window(cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1)) == Window(
        cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1
    )
    part = Window(33, 21, 40, 30)
    assert np.array_equal(asked.inside(part), expected[part.slices])


def test_on_a_turned_grid_the_extent_stays_a_rectangle_of_the_map():
    extent = (1080.0, 4990.0, 1110.0, 5010.0)
    x, y = centres(TURNED)
    expected = (x > extent[0]) & (x < extent[2]) & (y > extent[1]) & (y < extent[3])
    assert np.array_equal(region(TURNED, extent).inside(TURNED.window), expected)
    assert expected.sum() == pytest.approx(150, abs=8)


def test_extent_and_mask_are_both_respected():
    asked = region(extent=(1000, 4900, 1100, 5000), mask=box(1050, 4850, 1150, 4950))
    assert asked.window == Window(25, 25, 25, 25)
    assert asked.inside(GRID.window).sum() == 625


def test_a_mask_that_crosses_itself_or_has_heights_is_understood():
    bow = Polygon([(1000, 4900, 5), (1100, 5000, 5), (1100, 4900, 5), (1000, 5000, 5)])
    assert region(mask=bow).inside(GRID.window).sum() == pytest.approx(1250, rel=0.05)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"extent": (2000, 4900, 2100, 5000)},
            r"extent \(2000, 4900, 2100, 5000\) lies outside .*1000, 4840, 1200, 5000",
        ),
        ({"extent": (1100, 4900, 1100, 5000)}, r"extent \(1100, 4900, 1100, 5000\) is empty"),
        ({"extent": (1100, 4900, float("nan"), 5000)}, "is empty"),
        ({"mask": box(0, 0, 10, 10)}, r"mask \(0, 0, 10, 10\) lies outside"),
        ({"mask": Point(1100, 4900)}, r"mask \(Point\) has no area"),
        ({"mask": Polygon()}, "has no area"),
        ({"mask": "00ff"}, "no geometry in hexadecimal WKB"),
        ({"mask": "xyz"}, "no geometry in hexadecimal WKB"),
        ({"mask": box(1100.1, 4900.1, 1100.3, 4900.3)}, "covers no pixel's centre"),
        ({"mask": box(1000, 4900, 1050, 5000), "extent": (1100, 4900, 1150, 5000)}, "covers no pixel's centre"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_values(asked, words):
    with pytest.raises(SceneError, match=words):
        region(**asked)


def test_a_mask_is_searched_for_pixels_in_all_of_its_rows():
    tall = PixelGrid(10, 5000, Transform(1, 0, 0, 0, -1, 0))
    far_apart = MultiPolygon([box(1.1, -10.3, 1.3, -10.1), box(2, -4500, 6, -4490)])
    assert region(tall, mask=far_apart).inside(Window(0, 4400, 10, 200)).sum() == 40
