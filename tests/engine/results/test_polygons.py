from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyproj
import pytest
import rasterio.features
import shapely
from planted import Truth, labelled, legend, scene_of, three_squares
from scipy.ndimage import gaussian_filter
from skimage.measure import label as label_components

from rs_textseg_plugin.contract.grid import PixelGrid, Transform, Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.mosaic.mosaic import LabelledScene
from rs_textseg_plugin.engine.results import polygons
from rs_textseg_plugin.engine.results.polygons import Features, Polygonizer, PolygonSettings, Tally

BLOCK = 64
EXACT = PolygonSettings(min_area_m2=0, fill_holes_m2=0, simplify_m=0)
HALF_METRE = Transform(0.5, 0, 500_000, 0, -0.5, 5_000_000)  # a pixel is 0.25 m2 of the map


def grid_of(width: int, height: int, transform: Transform = HALF_METRE, crs: str = "") -> PixelGrid:
    """A grid of 0.5 m pixels without a CRS, so that map units are metres, unless told otherwise."""
    return PixelGrid(width, height, transform, crs)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(polygons, "BLOCK_PX", BLOCK)


@pytest.fixture(scope="module")
def truth() -> Truth:
    rng = np.random.default_rng(5)
    fields = np.stack([gaussian_filter(rng.random((150, 210)), 7) for _ in range(4)])
    classes = fields.argmax(axis=0) - 1
    classes[50:80, 50:80], classes[60:70, 60:70] = 1, -1  # a ring about the corner of four blocks
    classes[:, 128] = 2  # a line along a block border, over all blocks of its column
    return Truth(classes, label_components(classes + 1, background=0, connectivity=1))


@dataclass(frozen=True)
class Result:
    """All blocks of a scene put together."""

    features: Features
    labels: np.ndarray
    scores: np.ndarray


def polygonized(scene: LabelledScene, names: Legend, settings=EXACT, grid: PixelGrid | None = None) -> Result:
    extent = scene.extent
    maker = Polygonizer(scene, names, grid or grid_of(extent.col_stop, extent.row_stop), settings)
    blocks = [maker.block(window) for window in maker.blocks()]
    labels = np.full((extent.height, extent.width), 99, np.uint8)
    scores = np.full((extent.height, extent.width), -1, np.float32)
    for block in blocks:
        place = block.window.relative_to(extent).slices
        labels[place], scores[place] = block.labels, block.scores
    parts = zip(*(vars(block.features).values() for block in blocks))
    columns = [None if part[0] is None else np.concatenate(part) for part in parts]
    return Result(Features(*columns), labels, scores)


def ordered(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Polygons and labels in an order that does not depend on the blocks."""
    keys = np.column_stack([shapely.bounds(features.polygons), shapely.area(features.polygons), features.labels])
    order = np.lexsort(keys.T)
    return features.polygons[order], features.labels[order]


def test_blocks_cover_the_extent_once_and_their_borders_do_not_follow_it(small_blocks, truth, tmp_path):
    extent = Window(30, 70, 150, 60)
    scene = labelled(truth, tmp_path, 128, 32, extent=extent)
    blocks = Polygonizer(scene, legend(), grid_of(210, 150), EXACT).blocks()
    covered = np.zeros((150, 210), int)
    for window in blocks:
        covered[window.slices] += 1
    assert covered[extent.slices].min() == covered.max() == 1
    assert covered.sum() == extent.width * extent.height
    assert [window.col for window in blocks[:3]] == [30, 64, 128]
    assert sorted({window.row for window in blocks}) == [70, 128]


def test_objects_over_block_borders_come_back_as_one(small_blocks, truth, tmp_path):
    features = polygonized(labelled(truth, tmp_path, 128, 32), legend()).features
    assert len(features.polygons) == truth.objects.max()
    assert set(shapely.get_type_id(features.polygons)) == {shapely.GeometryType.POLYGON}
    ring = shapely.box(500_025, 5_000_000 - 40, 500_040, 5_000_000 - 25) - shapely.box(
        500_030, 5_000_000 - 35, 500_035, 5_000_000 - 30
    )
    holders = features.polygons[shapely.covers(features.polygons, ring)]
    assert len(holders) == 1


@pytest.mark.parametrize("extent", [Window(0, 0, 210, 150), Window(30, 20, 150, 101)])
def test_small_blocks_give_the_polygons_of_a_single_block(truth, tmp_path, monkeypatch, extent):
    scene = labelled(truth, tmp_path, 128, 32, extent=extent)
    whole = polygonized(scene, legend())
    monkeypatch.setattr(polygons, "BLOCK_PX", BLOCK)
    pieced = polygonized(scene, legend())
    expected, found = ordered(whole.features), ordered(pieced.features)
    np.testing.assert_array_equal(found[1], expected[1])
    assert shapely.equals(found[0], expected[0]).all()
    np.testing.assert_array_equal(shapely.get_num_coordinates(found[0]), shapely.get_num_coordinates(expected[0]))
    np.testing.assert_array_equal(pieced.labels, whole.labels)
    np.testing.assert_array_equal(pieced.scores, whole.scores)


def test_polygons_hold_exactly_the_pixels_of_their_class(small_blocks, truth, tmp_path):
    result = polygonized(labelled(truth, tmp_path, 128, 32), legend())
    assert shapely.is_valid(result.features.polygons).all()
    assert shapely.area(result.features.polygons).sum() == 0.25 * np.count_nonzero(truth.classes >= 0)
    painted = rasterio.features.rasterize(
        zip(result.features.polygons, result.features.labels),
        (150, 210),
        transform=rasterio.Affine(*vars(HALF_METRE).values()),
    )
    np.testing.assert_array_equal(painted, truth.classes + 1)
    np.testing.assert_array_equal(result.labels, truth.classes + 1)
    assert np.array_equal(np.isnan(result.scores), truth.classes < 0)


def test_a_scene_without_an_empty_pixel_loses_no_object(small_blocks, tmp_path):
    labels = np.ones((40, 100), np.uint8)
    labels[:, 30:] = 2
    result = polygonized(scene_of(labels, np.full((2, 3), 0.3), tmp_path), legend())
    assert sorted(result.features.labels) == [1, 2]
    assert shapely.area(result.features.polygons).sum() == 0.25 * labels.size
    np.testing.assert_array_equal(result.labels, labels)


def test_a_negative_class_and_a_loser_are_runners_up(small_blocks, tmp_path):
    names = Legend.of(parse_class_list("building, road, -shadow"), "background", closed_list=True)
    scores = np.array([[0.6, 0.1, 0.3], [0.25, 0.7, 0.05], [0.45, 0.5, 0.05]])
    features = polygonized(scene_of(three_squares((1, 2, 1)), scores, tmp_path), names).features
    order = np.argsort(shapely.bounds(features.polygons)[:, 0])
    assert list(features.labels[order]) == [1, 2, 1]
    np.testing.assert_allclose(features.scores[order], [0.6, 0.7, 0.45])
    assert list(features.runners_up[order]) == ["shadow", "building", "road"]
    np.testing.assert_allclose(features.runner_up_scores[order], [0.3, 0.25, 0.5])
    margins = features.scores - features.runner_up_scores
    np.testing.assert_allclose(margins[order], [0.3, 0.45, -0.05], atol=1e-6)


def test_a_class_that_stands_alone_has_its_competitor_as_the_runner_up(small_blocks, tmp_path):
    names = Legend.of(parse_class_list("building"), "background|ground")
    scores = np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3]])
    features = polygonized(scene_of(three_squares((1, 1, 1)), scores, tmp_path), names).features
    assert set(features.runners_up) == {names.competing[1]}
    np.testing.assert_allclose(np.sort(features.runner_up_scores), [0.1, 0.3, 0.4])


def test_everything_else_is_as_probable_as_the_best_class_is_not(small_blocks, tmp_path):
    names = Legend.of(parse_class_list("building, road, -shadow, *"), "background", closed_list=True)
    assert names.everything_else == 3
    scores = np.array([[0.2, 0.3, 0.5], [0.8, 0.15, 0.05], [0.35, 0.25, 0.4]])
    features = polygonized(scene_of(three_squares((3, 1, 3)), scores, tmp_path), names).features
    order = np.argsort(shapely.bounds(features.polygons)[:, 0])
    np.testing.assert_allclose(features.scores[order], [0.7, 0.8, 0.65])
    assert list(features.runners_up[order]) == ["shadow", "road", "shadow"]
    np.testing.assert_allclose(features.runner_up_scores[order], [0.5, 0.15, 0.4])


def geodesic_area_m2(polygon: shapely.Polygon, crs: str) -> float:
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    longitudes, latitudes = to_lonlat.transform(*shapely.get_coordinates(polygon).T)
    return abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(longitudes, latitudes)[0])


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", Transform(0.5, 0, 500_000, 0, -0.5, 5_000_000)),
        ("EPSG:32633", Transform(0.4, 0.3, 700_000, 0.3, -0.4, 6_500_000)),
        ("EPSG:3857", Transform(1, 0, 1_500_000, 0, -1, 8_400_000)),
        ("EPSG:4326", Transform(1e-5, 0, 24, 0, -1e-5, 60)),
        ("EPSG:4326", Transform(1e-3, 0, 24, 0, -1e-3, 60)),  # so large that the latitude of each object counts
    ],
)
def test_areas_are_those_on_the_ellipsoid(small_blocks, tmp_path, crs, transform):
    grid = grid_of(100, 40, transform, crs)
    scene = scene_of(three_squares((1, 2, 3)), np.full((3, 3), 0.3), tmp_path)
    features = polygonized(scene, legend(), grid=grid).features
    expected = [geodesic_area_m2(polygon, crs) for polygon in features.polygons]
    np.testing.assert_allclose(features.areas_m2, expected, rtol=2e-5)


def test_polygons_smaller_than_the_smallest_area_are_left_out(small_blocks, tmp_path):
    labels = three_squares((1, 2, 3))
    labels[10, 10] = 0  # the first is a pixel, 0.25 m2, smaller than the others
    scene = scene_of(labels, np.full((3, 3), 0.3), tmp_path)
    kept = {
        area: sorted(polygonized(scene, legend(), PolygonSettings(area, 0, 0)).features.labels)
        for area in (99.75, 100, 100.25)
    }
    assert kept == {99.75: [1, 2, 3], 100: [2, 3], 100.25: []}
    result = polygonized(scene, legend(), PolygonSettings(100, 0, 0))
    np.testing.assert_array_equal(result.labels, np.where(labels == 1, 0, labels))
    assert np.isnan(result.scores[labels == 1]).all()


def test_small_holes_are_filled_and_missing_data_and_large_ones_are_not(small_blocks, tmp_path):
    labels = np.zeros((60, 60), np.uint8)
    labels[5:55, 5:55] = 2
    labels[10:14, 10:14] = labels[20:24, 20:24] = labels[30:35, 30:35] = 0
    missing = np.zeros(labels.shape, bool)
    missing[21, 21] = True
    scene = scene_of(labels, np.array([[0.1, 0.8, 0.1]]), tmp_path, missing)
    result = polygonized(scene, legend(), PolygonSettings(0, 25 * 0.25, 0))
    expected = labels.copy()
    expected[10:14, 10:14] = 2
    np.testing.assert_array_equal(result.labels, expected)
    assert len(shapely.get_rings(result.features.polygons)) == 3
    assert result.features.areas_m2 == pytest.approx([0.25 * np.count_nonzero(expected)])
    assert (result.scores[10:14, 10:14] == np.float32(0.8)).all()
    assert result.scores[6, 6] == np.float32(0.5)


def test_simplification_follows_the_resolution_unless_a_length_is_given(tmp_path):
    steps = np.arange(40)
    labels = np.zeros((50, 50), np.uint8)
    for row in steps:
        labels[5 + row, 5 : 6 + row] = 1  # a staircase
    scene = scene_of(labels, np.full((1, 3), 0.3), tmp_path)

    def corners(simplify_m: float | None) -> int:
        result = polygonized(scene, legend(), PolygonSettings(0, 0, simplify_m))
        return int(shapely.get_num_coordinates(result.features.polygons)[0])

    assert corners(0) > 80
    assert corners(None) == corners(0.5) < 12
    assert corners(0.05) == corners(0)


def test_a_tally_sums_the_areas_and_weighs_the_scores_with_them():
    squares = np.array([shapely.box(0, 0, 1, 1)] * 3, dtype=object)
    some = np.zeros(3, np.float32)
    tally = Tally(3)
    for scores in ([0.5, 1.0, 0.2], [0.5, 0.0, 0.2]):
        labels, areas = np.array([1, 1, 3], np.uint8), np.array([10.0, 30.0, 5.0])
        tally.add(Features(squares, labels, np.array(scores, np.float32), some, some, areas))
    assert list(tally.count) == [0, 4, 0, 2]
    assert list(tally.area_m2) == [0, 80, 0, 10]
    np.testing.assert_allclose(tally.score_area, [0, 5 + 30 + 5 + 0, 0, 2], rtol=1e-6)
