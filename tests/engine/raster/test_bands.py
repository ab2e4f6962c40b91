"""Which pixels the raster calls missing, and which bands are read."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasters import scene_of, texture, write_raster

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.raster.bands import BandSource, Patch, choose_bands

PALETTE = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 2: (0, 200, 50, 255), 3: (9, 9, 9, 0)}


VRT_BAND = """
<VRTRasterBand dataType="{}" band="{}">{}<SimpleSource>
<SourceFilename relativeToVRT="1">{}</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand>"""


def write_vrt(path, width: int, height: int, bands: str):
    place = "<GeoTransform>500000, 1, 0, 5000000, 0, -1</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{place}{bands}</VRTDataset>')
    return path


def read_all(path, **fields) -> Patch:
    with rasterio.open(path) as dataset:
        source = BandSource(dataset, choose_bands(dataset, scene_of(path, **fields)))
        return source.read(Window(0, 0, source.width, source.height))


def read_overview(path, **fields) -> Patch:
    with rasterio.open(path) as native, rasterio.open(path, overview_level=0) as overview:
        source = BandSource(native, choose_bands(native, scene_of(path, **fields)), overview)
        return source.read(Window(0, 0, source.width, source.height))


@pytest.fixture
def left_half() -> np.ndarray:
    missing = np.zeros((96, 128), bool)
    missing[:, :64] = True
    return missing


def test_bands_are_taken_by_number_and_in_that_order(tmp_path):
    values = texture(bands=4)
    patch = read_all(write_raster(tmp_path / "a.tif", values), bands=(4, 2, 1))
    assert np.array_equal(patch.values, values[[3, 1, 0]])
    assert patch.valid.all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_values_of_every_type_come_as_they_are(tmp_path, dtype):
    values = texture().astype(dtype)
    patch = read_all(write_raster(tmp_path / "a.tif", values))
    assert patch.values.dtype == dtype
    assert np.array_equal(patch.values, values)


def test_a_raster_whose_bands_differ_in_type_is_read(tmp_path):
    write_raster(tmp_path / "a.tif", texture(bands=1))
    write_raster(tmp_path / "b.tif", texture(bands=1).astype("uint16") * 100)
    places = [("Byte", 1, "", "a.tif"), ("UInt16", 2, "", "b.tif"), ("Byte", 3, "", "a.tif")]
    path = write_vrt(tmp_path / "mixed.vrt", 128, 96, "".join(VRT_BAND.format(*place) for place in places))
    patch = read_all(path)
    assert patch.values.dtype == np.uint16
    assert np.array_equal(patch.values[1], patch.values[0] * 100)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 7), ("uint16", 65535), ("int16", -32768), ("float32", -9999.0)]
)
def test_declared_nodata_is_missing(tmp_path, left_half, dtype, nodata):
    values = np.where(left_half, nodata, texture()).astype(dtype)
    assert np.array_equal(read_all(write_raster(tmp_path / "a.tif", values, nodata=nodata)).valid, ~left_half)


def test_a_pixel_with_nodata_in_one_band_only_is_a_colour(tmp_path):
    values = texture()
    values[:, 5, 6] = (200, 7, 7)
    values[:, 8, 9] = 7
    valid = read_all(write_raster(tmp_path / "a.tif", values, nodata=7)).valid
    assert valid[5, 6]
    assert not valid[8, 9]


@pytest.mark.parametrize("nodata", [None, np.nan])
def test_pixels_that_are_no_number_are_missing(tmp_path, nodata):
    values = texture().astype("float32")
    values[0, 3, 4], values[1, 5, 6] = np.nan, np.inf
    valid = read_all(write_raster(tmp_path / "a.tif", values, nodata=nodata)).valid
    assert sorted(map(tuple, np.argwhere(~valid))) == [(3, 4), (5, 6)]


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("float32", 0.1)])
def test_the_nodata_value_of_the_scene_counts_beside_the_declared_one(tmp_path, left_half, dtype, nodata):
    values = np.where(left_half, nodata, texture()).astype(dtype)
    values[:, :10] = 255
    path = write_raster(tmp_path / "a.tif", values, nodata=255)
    expected = ~left_half
    expected[:10] = False
    assert np.array_equal(read_all(path, nodata=nodata).valid, expected)


def test_a_nodata_value_that_the_type_cannot_hold_marks_nothing(tmp_path):
    assert read_all(write_raster(tmp_path / "a.tif", texture()), nodata=-9999.0).valid.all()


def test_a_mask_band_is_followed(tmp_path, left_half):
    assert np.array_equal(read_all(write_raster(tmp_path / "a.tif", texture(), mask=~left_half)).valid, ~left_half)


def test_a_mask_in_a_file_of_its_own_is_followed(tmp_path, left_half):
    path = write_raster(tmp_path / "a.tif", texture())
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(~left_half)
    assert (tmp_path / "a.tif.msk").exists()
    assert np.array_equal(read_all(path).valid, ~left_half)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_alpha_band_is_followed(tmp_path, left_half, dtype):
    alpha = np.where(left_half, 0, np.iinfo(dtype).max)
    path = write_raster(tmp_path / "a.tif", texture().astype(dtype), alpha=alpha)
    assert np.array_equal(read_all(path).valid, ~left_half)


def test_an_overview_has_the_mask_of_the_raster_even_if_only_the_bands_have_overviews(tmp_path, left_half):
    path = write_raster(tmp_path / "a.tif", texture(), overviews=[2])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(~left_half)
    assert np.array_equal(read_overview(path).valid, ~left_half[::2, ::2])


def test_an_overview_keeps_declared_nodata(tmp_path, left_half):
    values = np.where(left_half, 7, texture()).astype("uint8")
    path = write_raster(tmp_path / "a.tif", values, nodata=7, overviews=[2])
    assert np.array_equal(read_overview(path).valid, ~left_half[::2, ::2])


@pytest.mark.parametrize("bands", [(1,), (1, 2, 3)])
def test_a_colour_table_becomes_colours(tmp_path, bands):
    indices = np.random.default_rng(0).integers(0, 4, (1, 20, 30), dtype=np.uint8)
    path = write_raster(tmp_path / "a.tif", indices, palette=PALETTE)
    patch = read_all(path, bands=bands)
    assert patch.values.shape == (3, 20, 30)
    assert np.array_equal(patch.values[:, indices[0] == 2], np.tile([[0], [200], [50]], (indices[0] == 2).sum()))
    assert patch.valid.all()
    with rasterio.open(path) as dataset:
        assert "colour table" in choose_bands(dataset, scene_of(path, bands=bands)).notes[0]


def test_a_transparent_colour_is_missing(tmp_path):
    write_raster(tmp_path / "a.tif", np.array([[[0, 1], [2, 3]]], np.uint8))
    entries = "".join(f"<Entry c1='{r}' c2='{g}' c3='{b}' c4='{a}'/>" for r, g, b, a in PALETTE.values())
    colours = f"<ColorInterp>Palette</ColorInterp><ColorTable>{entries}</ColorTable>"
    path = write_vrt(tmp_path / "a.vrt", 2, 2, VRT_BAND.format("Byte", 1, colours, "a.tif"))
    assert read_all(path).valid.tolist() == [[True, True], [True, False]]


def test_nodata_of_a_colour_table_is_the_index(tmp_path):
    indices = np.array([[[0, 1], [2, 2]]], np.uint8)
    patch = read_all(write_raster(tmp_path / "a.tif", indices, palette=PALETTE, nodata=1), nodata=0.0)
    assert patch.valid.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize(
    ("count", "bands", "words"),
    [
        (1, (1, 2, 3), r"a\.tif has 1 band, but bands 1, 2, 3 .*--bands 1 for a grey image"),
        (4, (1, 2, 5), r"a\.tif has 4 bands, but bands 1, 2, 5 .*--bands 1,2,3"),
        (4, (0,), "has 4 bands, but bands 0 were asked for"),
        (4, (1, 2), "bands 1, 2 were asked for: give one band"),
    ],
)
def test_bands_that_cannot_be_read_are_refused_in_words(tmp_path, count, bands, words):
    with pytest.raises(SceneError, match=words):
        read_all(write_raster(tmp_path / "a.tif", texture(bands=count)), bands=bands)


def test_complex_numbers_are_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture(bands=1).astype("complex64"))
    with pytest.raises(SceneError, match="complex numbers"):
        read_all(path, bands=(1,))


def test_a_truncated_file_is_named_with_the_place(tmp_path):
    path = write_raster(tmp_path / "a.tif", texture(512, 512), tiled=True, blockxsize=256, blockysize=256)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(SceneError, match=r"a\.tif cannot be read at columns 0 to 511, rows 0 to 511 .*damaged"):
        read_all(path)
