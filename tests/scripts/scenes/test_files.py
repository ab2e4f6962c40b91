"""The files of a scene agree with each other, in every variant."""

from __future__ import annotations

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from scenes.drawing import draw
from scenes.files import to_sixteen_bits, with_collar, write
from scenes.words import CLASSES, THINGS

SIZE_PX = 256
CAR = CLASSES.index("car") + 1


@pytest.fixture(scope="module")
def scene():
    return draw(3, SIZE_PX)


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    return write(tmp_path_factory.mktemp("scenes") / "new folder", scene)


@pytest.fixture(scope="module")
def collared(scene, tmp_path_factory):
    return write(tmp_path_factory.mktemp("collared"), scene, collar=True, sixteen_bit=True)


def read_truth(folder):
    meta, _, geometry, columns = pyogrio.raw.read(folder / "truth.gpkg", columns=["class", "object"])
    return meta, shapely.from_wkb(geometry), *columns


def burn(pairs, folder):
    with rasterio.open(folder / "labels.tif") as file:
        return rasterize(pairs, out_shape=file.shape, transform=file.transform, dtype="int32")


def test_the_picture_and_the_labels_are_what_was_drawn(scene, folder):
    with rasterio.open(folder / "scene.tif") as picture, rasterio.open(folder / "labels.tif") as labels:
        assert np.array_equal(np.moveaxis(picture.read(), 0, -1), scene.rgb)
        assert np.array_equal(labels.read(1), scene.classes)
        assert picture.crs.to_epsg() == labels.crs.to_epsg() == 32632
        assert picture.transform == labels.transform
        assert picture.transform.a == 0.25
        assert picture.nodata is None
        assert labels.nodata == 0


def test_the_labels_carry_the_names_and_a_colour_each(folder):
    with rasterio.open(folder / "labels.tif") as labels:
        names = [labels.tags()[f"CLASS_{value}"] for value in range(1, len(CLASSES) + 1)]
        colours = [labels.colormap(1)[value] for value in range(len(CLASSES) + 1)]
    assert names == list(CLASSES)
    assert len(set(colours)) == len(colours)
    assert colours[CAR] == (0xFF, 0x7F, 0x00, 255)
    assert colours[0][3] == 0


@pytest.mark.parametrize("variant", ["folder", "collared"])
def test_the_polygons_agree_with_the_labels_pixel_for_pixel(variant, request):
    where = request.getfixturevalue(variant)
    meta, polygons, classes, objects = read_truth(where)
    assert meta["crs"] == "EPSG:32632"
    assert shapely.is_valid(polygons).all()
    with rasterio.open(where / "labels.tif") as labels:
        truth = labels.read(1)
    assert np.array_equal(burn([(p, CLASSES.index(c) + 1) for p, c in zip(polygons, classes)], where), truth)
    assert sorted(objects) == list(range(1, len(objects) + 1))


def test_each_object_is_one_feature(scene, folder):
    _, polygons, classes, objects = read_truth(folder)
    assert np.array_equal(burn(list(zip(polygons, objects)), folder), scene.objects)
    assert (classes == "car").sum() == np.unique(scene.objects[scene.classes == CAR]).size > 1
    stuff = [polygon for polygon, name in zip(polygons, classes) if name not in THINGS]
    assert all(shapely.get_num_geometries(polygon) == 1 for polygon in stuff)


def test_a_collar_is_black_is_declared_nowhere_and_has_no_truth(collared):
    with rasterio.open(collared / "scene.tif") as picture, rasterio.open(collared / "labels.tif") as labels:
        black = (picture.read() == 0).all(axis=0)
        assert 0.1 < black.mean() < 0.5
        assert black[[0, 0, -1, -1], [0, -1, 0, -1]].all()
        assert not black[SIZE_PX // 2, SIZE_PX // 2]
        assert picture.nodata is None
        assert (picture.read_masks() == 255).all()
        assert not labels.read(1)[black].any()


def test_a_collar_changes_nothing_inside(scene):
    framed = with_collar(scene)
    inside = framed.rgb.any(axis=-1)
    assert np.array_equal(framed.rgb[inside], np.maximum(scene.rgb[inside], 1))
    assert np.array_equal(framed.classes[inside], scene.classes[inside])


def test_sixteen_bits_use_more_numbers_than_eight_in_the_same_order(scene, collared):
    with rasterio.open(collared / "scene.tif") as picture:
        assert set(picture.dtypes) == {"uint16"}
    numbers = to_sixteen_bits(scene)
    assert np.unique(numbers).size > 1000
    assert 180 <= numbers.min() < numbers.max() <= 2900
    assert np.corrcoef(numbers.ravel(), scene.rgb.ravel())[0, 1] > 0.97


def test_the_resolution_reaches_the_files(tmp_path):
    folder = write(tmp_path, draw(1, 64, ground_resolution_m=0.4))
    with rasterio.open(folder / "scene.tif") as picture:
        assert picture.transform.a == pytest.approx(0.4)
        left, bottom, right, top = picture.bounds
    bounds = shapely.total_bounds(read_truth(folder)[1])
    assert bounds[0] >= left - 1e-6
    assert bounds[1] >= bottom - 1e-6
    assert bounds[2] <= right + 1e-6
    assert bounds[3] <= top + 1e-6
    assert bounds[2] - bounds[0] > 20


def test_writing_again_replaces(scene, folder):
    before = len(read_truth(folder)[1])
    write(folder, scene)
    assert len(read_truth(folder)[1]) == before
