"""The sample scene is the same each time, and lies somewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio

from make_sample_scene import FOLDER, write_sample
from scenes.camera import light
from scenes.canvas import Canvas
from scenes.drawing import draw
from scenes.words import CLASSES
from truth_scenes import find_scenes

SIZE_PX = 320


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return write_sample(tmp_path_factory.mktemp("scene") / "new folder", SIZE_PX, seed=1) / "scene.tif"


def test_the_same_seed_gives_the_same_picture_and_another_seed_another_one(scene, tmp_path):
    again = write_sample(tmp_path / "again", SIZE_PX, seed=1) / "scene.tif"
    other = write_sample(tmp_path / "other", SIZE_PX, seed=2) / "scene.tif"
    assert again.read_bytes() == scene.read_bytes() != other.read_bytes()


def test_the_scene_has_a_place_a_resolution_and_colours(scene):
    with rasterio.open(scene) as file:
        assert file.crs.to_epsg() == 32632
        assert file.transform.almost_equals(rasterio.Affine(0.25, 0, 512_000, 0, -0.25, 5_403_000))
        assert (file.width, file.height, file.count) == (SIZE_PX, SIZE_PX, 3)
        assert set(file.dtypes) == {"uint8"}
        assert file.block_shapes == [(256, 256)] * 3


def test_packing_changes_the_picture_hardly(scene):
    with rasterio.open(scene) as file:
        assert file.compression.name == "jpeg"
        packed = np.moveaxis(file.read(), 0, -1).astype(int)
    drawn = draw(1, SIZE_PX, 0.25, "mixed").rgb.astype(int)
    assert np.abs(packed - drawn).mean() < 4


def test_the_picture_uses_the_range_of_a_camera(scene):
    with rasterio.open(scene) as file:
        values = file.read()
    assert 70 < values.mean() < 150
    assert values.std() > 20
    assert (values == 255).mean() < 0.01
    assert (values == 0).mean() < 0.01


def test_the_scene_that_ships_has_its_truth_beside_it():
    (sample,) = find_scenes(FOLDER)
    assert set(sample.classes.values()) == set(CLASSES)
    with rasterio.open(sample.image) as picture, rasterio.open(sample.labels) as labels:
        assert (picture.width, picture.height) == (labels.width, labels.height) == (2048, 2048)
        assert picture.crs == labels.crs
        present = set(np.unique(labels.read(1)).tolist())
    assert {CLASSES.index(name) + 1 for name in ("building", "road", "water", "car", "forest")} <= present
    fields = pyogrio.read_info(sample.polygons)
    assert fields["features"] > 2000
    assert "class" in fields["fields"]


def test_a_mast_throws_its_shadow_away_from_the_sun():
    canvas = Canvas(100, seed=0)
    canvas.colour[:] = 0.5
    canvas.height_m[60, 60] = 8
    brightness = light(canvas).mean(axis=-1)
    # the sun stands in the south-east (150 degrees), so the shadow runs up and to the left
    assert brightness[46, 52] < 0.6 * brightness[74, 68]
    assert brightness[74, 68] == pytest.approx(brightness[5, 95], rel=0.05)
