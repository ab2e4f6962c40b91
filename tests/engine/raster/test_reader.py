"""Scenes are read alike in any window, refused in words, and read ahead."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasters import CORNER, north_up, rotated, scene_of, texture, with_black_corner, write_raster
from shapely import to_wkb
from shapely.geometry import box

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Extent, Window
from rs_textseg_plugin.engine.raster import reader as raster
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m
from rs_textseg_plugin.engine.raster.reader import SceneReader, open_scene, prefetched

WGS84 = CRS.from_epsg(4326).to_wkt()


def read_whole(path, **fields):
    with open_scene(scene_of(path, **fields)) as reader:
        return reader.read(reader.grid.window)


def open_files() -> set[str]:
    return {Path(file.path).name for file in psutil.Process().open_files()}


def assert_windows_agree(reader: SceneReader) -> None:
    """Tiles of several sizes hold exactly the pixels of the whole."""
    whole = reader.read(reader.grid.window)
    for tile_px, overlap_px in ((40, 8), (33, 1), (64, 32)):
        for tile in reader.tile_grid(tile_px, overlap_px).tiles():
            image = reader.read(tile.window)
            assert np.array_equal(image.rgb, whole.rgb[tile.window.slices])
            assert np.array_equal(image.valid, whole.valid[tile.window.slices])


@pytest.fixture
def plain(tmp_path):
    return write_raster(tmp_path / "plain.tif", texture())


def test_pixels_at_the_native_resolution_are_the_raster_s_own(plain):
    with open_scene(scene_of(plain)) as reader:
        image = reader.read(Window(20, 10, 30, 40))
        assert np.array_equal(image.rgb, np.moveaxis(texture(), 0, -1)[10:50, 20:50])
        assert image.window == Window(20, 10, 30, 40)
        assert reader.extent == reader.grid.window == Window(0, 0, 128, 96)
        assert reader.notes == ()
    assert (image.rgb.dtype, image.valid.dtype) == (np.uint8, np.bool_)
    assert image.rgb.flags.c_contiguous
    assert image.valid.all()


def test_one_band_is_grey(tmp_path):
    values = texture(bands=1)
    image = read_whole(write_raster(tmp_path / "a.tif", values), bands=(1,))
    assert image.rgb.shape == (96, 128, 3)
    for band in range(3):
        assert np.array_equal(image.rgb[..., band], values[0])


@pytest.mark.parametrize("resolution", [None, 0.4, 1.5, 2.0, 2.7, 11.0])
@pytest.mark.parametrize(
    "kind", ["bytes", "16 bit", "float with holes", "collar", "alpha", "overviews", "mask, overviews"]
)
def test_overlapping_windows_agree_exactly_with_the_whole(tmp_path, kind, resolution):
    values, path = texture(), tmp_path / "a.tif"
    corner = with_black_corner(values, 60)
    holes = np.where(np.random.default_rng(3).uniform(size=values.shape[1:]) < 0.1, np.nan, values.astype("float32"))
    rows = {
        "bytes": {"values": values},
        "16 bit": {"values": values.astype("uint16") * 31},
        "float with holes": {"values": holes},
        "collar": {"values": corner, "compress": "jpeg", "photometric": "ycbcr"},
        "alpha": {"values": values, "alpha": np.where(corner[0] > 0, 255, 0)},
        "overviews": {"values": values, "overviews": [2, 4]},
        "mask, overviews": {"values": values, "mask": corner[0] > 0, "overviews": [2, 4]},
    }
    write_raster(path, **rows[kind])
    with open_scene(scene_of(path, ground_resolution_m=resolution)) as reader:
        assert_windows_agree(reader)


def test_overviews_are_read_where_the_resolution_is_coarser(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture(), overviews=[2, 4])
    with rasterio.open(path, "r+", overview_level=1) as overview:
        overview.write(np.full((3, 24, 32), 77, np.uint8))
    assert (read_whole(path, ground_resolution_m=4.0).rgb == 77).all()
    assert (read_whole(path, ground_resolution_m=3.0).rgb == 77).mean() < 0.1
    assert (read_whole(path).rgb == 77).mean() < 0.1


def test_overviews_in_a_file_of_their_own_are_read(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture())
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
    assert (tmp_path / "a.tif.ovr").exists()
    rgb = read_whole(path, ground_resolution_m=2.0).rgb
    with rasterio.open(path, overview_level=0) as overview:
        assert np.array_equal(rgb, np.moveaxis(overview.read(), 0, -1))


def test_a_large_window_is_the_same_in_strips(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "a.tif", with_black_corner(texture(), 50))
    at_once = read_whole(path, ground_resolution_m=1.5)
    monkeypatch.setattr(raster, "_SOURCE_PX_AT_ONCE", 1000)
    in_strips = read_whole(path, ground_resolution_m=1.5)
    assert np.array_equal(in_strips.rgb, at_once.rgb)
    assert np.array_equal(in_strips.valid, at_once.valid)
    assert in_strips.window == at_once.window


@pytest.mark.parametrize(
    "transform", [north_up(), rotated(40), Affine(1, 0, 500000, 0, 1, 5000000)], ids=["north up", "turned", "south up"]
)
def test_pixels_stay_where_they_are_on_the_map(tmp_path, transform):
    values = texture()
    values[:, 40:48, 60:68] = 254
    path = write_raster(tmp_path / "a.tif", values, transform=transform)
    with open_scene(scene_of(path, ground_resolution_m=2.0)) as reader:
        rows, cols = np.nonzero((reader.read(reader.grid.window).rgb == 254).all(axis=2))
        x, y = reader.grid.transform.to_map(cols.mean() + 0.5, rows.mean() + 0.5)
    assert (x, y) == pytest.approx(transform @ (64, 44), abs=0.5)


def test_degrees_are_worked_on_as_squares_of_the_ground(tmp_path):
    transform = north_up(1e-5, corner=(15.0, 60.0))
    path = write_raster(tmp_path / "a.tif", texture(), transform=transform, crs="EPSG:4326")
    with open_scene(scene_of(path)) as reader:
        assert_windows_agree(reader)
        col_m, row_m = ground_resolution_m(reader.grid)
        assert col_m == pytest.approx(row_m, rel=0.01)
        assert reader.native_grid.height == 96
        assert reader.grid.height == pytest.approx(192, abs=2)
        assert "resampled to square pixels" in reader.notes[0]


@pytest.mark.filterwarnings("error")
def test_a_raster_without_georeference_is_read_with_a_note_and_no_warning(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture(), transform=None, crs=None)
    with open_scene(scene_of(path, ground_resolution_m=2.0)) as reader:
        assert reader.read(reader.grid.window).rgb.shape == (48, 64, 3)
        assert reader.grid.transform.to_map(64, 48) == (128.0, -96.0)
        assert [note.split(":")[0] for note in reader.notes] == [
            "The raster is not georeferenced",
            "The raster has no coordinate reference system",
        ]


def test_missing_pixels_are_black_and_not_valid(tmp_path):
    values = texture().astype("float32")
    values[:, :30] = -9999
    image = read_whole(write_raster(tmp_path / "a.tif", values, nodata=-9999))
    assert not image.valid[:30].any()
    assert image.valid[30:].all()
    assert (image.rgb[:30] == 0).all()
    white = np.where(np.isin(values, -9999), 255, values).astype("uint8")
    assert (read_whole(write_raster(tmp_path / "b.tif", white, nodata=255)).rgb[:30] == 0).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("resolution", [None, 2.0])
def test_what_is_no_number_never_reaches_the_arithmetic(tmp_path, resolution):
    values = texture().astype("float32")
    values[0, 5, 5], values[:, 40:60, 40:60] = np.inf, np.nan
    image = read_whole(write_raster(tmp_path / "a.tif", values), ground_resolution_m=resolution)
    assert not image.valid.all()
    assert image.rgb[image.valid].min(axis=1).max() > 0


def test_tiles_are_anchored_to_the_raster_and_not_to_the_extent(plain):
    extent = Extent(CORNER[0] + 50, CORNER[1] - 80, CORNER[0] + 100, CORNER[1] - 40)
    with open_scene(scene_of(plain, extent=extent)) as reader, open_scene(scene_of(plain)) as whole:
        assert reader.extent == Window(50, 40, 50, 40)
        assert reader.grid == whole.grid
        assert reader.tile_grid(64, 16) == whole.tile_grid(64, 16)
        assert np.array_equal(reader.read(Window(0, 0, 64, 64)).rgb, whole.read(Window(0, 0, 64, 64)).rgb)
        assert reader.inside(Window(40, 30, 20, 20)).sum() == 100


def test_extent_and_mask_are_followed_on_a_resampled_grid(plain):
    mask = box(CORNER[0] + 20, CORNER[1] - 60, CORNER[0] + 60, CORNER[1] - 20)
    scene = scene_of(plain, mask_wkb_hex=to_wkb(mask, hex=True), ground_resolution_m=2.0)
    with open_scene(scene) as reader:
        assert reader.inside(reader.grid.window).sum() == 400
        assert reader.extent == Window(10, 10, 20, 20)


@pytest.mark.parametrize("window", [Window(100, 0, 29, 10), Window(-1, 0, 5, 5), Window(0, 0, 0, 5)])
def test_a_window_beside_the_grid_is_a_mistake_of_the_caller(plain, window):
    with open_scene(scene_of(plain)) as reader, pytest.raises(ValueError, match="no part of the grid of 128 x 96 px"):
        reader.read(window)


def test_what_is_no_raster_is_refused_in_words(tmp_path):
    with pytest.raises(SceneError, match=r"There is no raster .*missing\.tif"):
        open_scene(scene_of(tmp_path / "missing.tif"))
    text = tmp_path / "notes.txt"
    text.write_text("no raster")
    with pytest.raises(SceneError, match=r"notes\.txt' cannot be opened as a raster"):
        open_scene(scene_of(text))
    empty = tmp_path / "empty.vrt"
    empty.write_text('<VRTDataset rasterXSize="0" rasterYSize="0"/>')
    with pytest.raises(SceneError, match=r"empty\.vrt' cannot be opened as a raster"):
        open_scene(scene_of(empty))


def test_a_container_of_rasters_names_what_is_in_it(tmp_path):
    path = tmp_path / "two.gpkg"
    profile = {"driver": "GPKG", "width": 8, "height": 8, "count": 1, "dtype": "uint8", "transform": north_up()}
    for table, append in (("first", {}), ("second", {"APPEND_SUBDATASET": "YES"})):
        with rasterio.open(path, "w", crs="EPSG:3857", RASTER_TABLE=table, **profile, **append) as dataset:
            dataset.write(np.full((1, 8, 8), 9, np.uint8))
    with pytest.raises(SceneError, match=r"no band of its own: choose one .*:first"):
        open_scene(scene_of(path))


def test_an_extent_without_a_valid_pixel_is_refused(tmp_path):
    values = texture()
    values[:, :48] = 7
    path = write_raster(tmp_path / "a.tif", values, nodata=7)
    upper = Extent(CORNER[0], CORNER[1] - 40, CORNER[0] + 128, CORNER[1])
    with pytest.raises(SceneError, match="asked for holds no valid pixel"):
        open_scene(scene_of(path, extent=upper))
    mask = to_wkb(box(CORNER[0], CORNER[1] - 40, CORNER[0] + 20, CORNER[1]), hex=True)
    with pytest.raises(SceneError, match="asked for holds no valid pixel"):
        open_scene(scene_of(path, mask_wkb_hex=mask))
    corner_only = tmp_path / "corner.tif"
    values[:, :, :64] = 7
    write_raster(corner_only, values, nodata=7)
    around_it = box(CORNER[0], CORNER[1] - 96, CORNER[0] + 128, CORNER[1]) - box(
        CORNER[0] + 60, CORNER[1] - 96, CORNER[0] + 128, CORNER[1] - 40
    )
    with pytest.raises(SceneError, match="asked for holds no valid pixel"):
        open_scene(scene_of(corner_only, mask_wkb_hex=to_wkb(around_it, hex=True)))
    lower = Extent(CORNER[0], CORNER[1] - 49, CORNER[0] + 128, CORNER[1])
    with open_scene(scene_of(path, extent=lower)) as reader:
        assert reader.extent.height == 49


def test_a_single_valid_pixel_far_from_the_corner_is_found(tmp_path):
    values = np.full((3, 1100, 2100), 7, np.uint8)
    values[:, 1090, 2090] = 100
    with open_scene(scene_of(write_raster(tmp_path / "a.tif", values, nodata=7))) as reader:
        assert reader.read(Window(2090, 1090, 1, 1)).valid.all()


def test_a_refused_scene_leaves_no_file_open(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.full((3, 20, 20), 7, np.uint8), nodata=7)
    with pytest.raises(SceneError) as caught:
        open_scene(scene_of(path))
    assert path.name not in open_files()
    assert caught.traceback, "as long as the error is kept, so are the variables of the call"


def test_a_closed_scene_leaves_no_file_open_and_may_be_closed_again(plain):
    with open_scene(scene_of(plain)) as reader:
        assert plain.name in open_files()
    assert plain.name not in open_files()
    reader.close()


def test_gdal_may_keep_many_blocks():
    """Rasterio takes this option in bytes; as megabytes it would keep nothing, and every block be read many times."""
    with raster.gdal_settings() as settings:
        assert settings.options["GDAL_CACHEMAX"] >= 64 * 1024**2


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_images_come_in_order_and_the_reader_stays_close(plain, ahead):
    with open_scene(scene_of(plain)) as reader:
        windows, asked = [Window(8 * i, 0, 8, 8) for i in range(10)], []

        def watched():
            for window in windows:
                asked.append(window)
                yield window

        for done, image in enumerate(prefetched(reader, watched(), ahead), start=1):
            assert image.window == windows[done - 1]
            assert np.array_equal(image.rgb, reader.read(image.window).rgb)
            assert len(asked) <= done + ahead
        assert len(asked) == 10


def test_images_are_read_while_the_caller_works(plain):
    with open_scene(scene_of(plain)) as reader:
        images = prefetched(reader, [Window(0, 0, 9, 9), Window(9, 0, 9, 9)], 1)
        next(images)
        threads = {thread.name for thread in threading.enumerate()}
        assert any(name.startswith("scene-reader") for name in threads)
        images.close()


def test_reading_ahead_can_shrink_during_the_run(plain):
    with open_scene(scene_of(plain)) as reader:
        asked, limit = [], 4

        def watched():
            for i in range(12):
                asked.append(i)
                yield Window(8 * i, 0, 8, 8)

        images = prefetched(reader, watched(), lambda: limit)
        next(images)
        assert len(asked) == 5
        limit = 0
        for done, _ in enumerate(images, start=2):
            assert len(asked) <= max(5, done)
        assert len(asked) == 12


def test_the_reading_thread_ends_when_the_caller_stops_early(plain):
    with open_scene(scene_of(plain)) as reader:
        images = prefetched(reader, (Window(i, 0, 8, 8) for i in range(100)), 3)
        next(images)
        images.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("scene-reader")]


@pytest.fixture
def broken_at_the_end(tmp_path):
    """A raster whose last row is lost, which the look at every other pixel does not notice."""
    path = write_raster(tmp_path / "broken.tif", texture(1501, 1024), blockysize=1, compress="deflate")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 20)
    return path


def test_damage_is_named_with_file_and_place(broken_at_the_end):
    with open_scene(scene_of(broken_at_the_end)) as reader:
        assert reader.read(Window(0, 1400, 1024, 100)).valid.all()
        with pytest.raises(
            SceneError, match=r"broken\.tif cannot be read at columns 10 to 59, rows 1450 to 1500 .*damaged"
        ):
            reader.read(Window(10, 1450, 50, 51))


def test_an_error_while_reading_ahead_reaches_the_caller(broken_at_the_end):
    good, bad = Window(0, 0, 64, 64), Window(0, 1437, 64, 64)
    with open_scene(scene_of(broken_at_the_end)) as reader:
        images = prefetched(reader, [good, bad, good], 2)
        assert next(images).window == good
        with pytest.raises(SceneError, match="cannot be read"):
            next(images)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("scene-reader")]


def test_a_second_thread_waits_for_the_first(plain):
    with open_scene(scene_of(plain)) as reader:
        images = []
        thread = threading.Thread(target=lambda: images.append(reader.read(Window(0, 0, 9, 9))))
        with reader._lock:
            thread.start()
            thread.join(0.1)
            assert thread.is_alive()
        thread.join(10)
        assert len(images) == 1


def test_valid_pixels_are_looked_for_where_the_survey_saw_them(tmp_path):
    """A broken first row, which the survey does not sample, lies in a part without any valid pixel."""
    values = texture(2100, 512)
    values[:, :1100] = 7
    path = write_raster(tmp_path / "a.tif", values, nodata=7, blockysize=1, compress="deflate", interleave="pixel")
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes([255] * 12))
    with open_scene(scene_of(path)) as reader, pytest.raises(SceneError, match="rows 0 to 9"):
        reader.read(Window(0, 0, 10, 10))


def test_overviews_that_only_some_bands_have_are_not_used(tmp_path):
    write_raster(tmp_path / "a.tif", texture())
    write_raster(tmp_path / "half.tif", texture(48, 64))
    band = """<VRTRasterBand dataType="Byte" band="{0}">{1}<SimpleSource>
        <SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>{0}</SourceBand></SimpleSource>
        </VRTRasterBand>"""
    overview = (
        '<Overview><SourceFilename relativeToVRT="1">half.tif</SourceFilename><SourceBand>1</SourceBand></Overview>'
    )
    bands = "".join(band.format(number, overview if number == 1 else "") for number in (1, 2, 3))
    place = "<GeoTransform>500000, 1, 0, 5000000, 0, -1</GeoTransform><SRS>EPSG:32633</SRS>"
    path = tmp_path / "a.vrt"
    path.write_text(f'<VRTDataset rasterXSize="128" rasterYSize="96">{place}{bands}</VRTDataset>')
    expected = read_whole(tmp_path / "a.tif", ground_resolution_m=2.0).rgb
    assert np.array_equal(read_whole(path, ground_resolution_m=2.0).rgb, expected)
