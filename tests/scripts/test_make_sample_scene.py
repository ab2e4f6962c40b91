"""The sample scene is the same each time, and lies somewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from make_sample_scene import draw_scene, write_scene
from scenes.camera import light
from scenes.canvas import Canvas

SIZE_PX = 320


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "new folder" / "scene.tif", SIZE_PX, seed=1)


def test_the_same_seed_gives_the_same_file_and_another_seed_another_picture(scene, tmp_path):
    again = write_scene(tmp_path / "again.tif", SIZE_PX, seed=1)
    assert again.read_bytes() == scene.read_bytes()
    with rasterio.open(scene) as file:
        assert not np.array_equal(np.moveaxis(file.read(), 0, -1), draw_scene(SIZE_PX, seed=2))


def test_the_scene_has_a_place_a_resolution_and_colours(scene):
    with rasterio.open(scene) as file:
        assert file.crs.to_epsg() == 32632
        assert file.transform.almost_equals(rasterio.Affine(0.25, 0, 512_000, 0, -0.25, 5_403_000))
        assert (file.width, file.height, file.count) == (SIZE_PX, SIZE_PX, 3)
        assert set(file.dtypes) == {"uint8"}
        assert [band.name for band in file.colorinterp] == ["red", "green", "blue"]


def test_the_file_is_tiled_and_compressed(scene):
    with rasterio.open(scene) as file:
        assert file.block_shapes == [(256, 256)] * 3
        assert file.compression.name == "deflate"


def test_the_picture_uses_the_range_of_a_camera(scene):
    with rasterio.open(scene) as file:
        values = file.read()
    assert 70 < values.mean() < 150
    assert values.std() > 20
    assert (values == 255).mean() < 0.01
    assert (values == 0).mean() < 0.01


def test_a_mast_throws_its_shadow_away_from_the_sun():
    canvas = Canvas(100, seed=0)
    canvas.colour[:] = 0.5
    canvas.height_m[60, 60] = 8
    brightness = light(canvas).mean(axis=-1)
    # the sun stands in the south-east (150 degrees), so the shadow runs up and to the left
    assert brightness[46, 52] < 0.6 * brightness[74, 68]
    assert brightness[74, 68] == pytest.approx(brightness[5, 95], rel=0.05)
