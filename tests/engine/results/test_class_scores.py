from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import rasterio
import shapely
from osgeo import gdal
from planted import Seen, Truth, planted_engine

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.contract.grid import TileGrid, Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, Segment
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.results.class_scores import check_room
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY
from rs_textseg_plugin.engine.service import Engine

WIDTH, HEIGHT, TILE_PX, OVERLAP_PX = 224, 128, 128, 32  # two tiles
TEXT = "building|roof, road, water, -shadow"
STEP = 1 / 4096  # values are rounded down to its multiples


@pytest.fixture
def raster(tmp_path):
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(1, 0, 500000, 0, -1, 5000000)) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (3, HEIGHT, WIDTH), np.uint8))
    return path


@pytest.fixture
def request_for(raster, tmp_path, tiny_models):
    def make(text=TEXT, **scene):
        parameters = {"tile_px": TILE_PX, "overlap_px": OVERLAP_PX, "min_area_m2": 0, "fill_holes_m2": 0}
        parameters["competitor"] = "background"
        recipe = Recipe(models=str(tiny_models), parameters=parameters, device="cpu")
        output = Output(str(tmp_path / "out.gpkg"), class_scores=str(tmp_path / "classes.tif"))
        return Request(Scene(str(raster), **scene), parse_class_list(text), recipe, output)

    return make


def never() -> bool:
    return False


def map_of(window: Window, words: int) -> ClassMap:
    """A map of its own for every tile: neighbours do not agree."""
    logits = np.random.default_rng(window.col).normal(scale=3, size=(1, words, 16, 16)).astype(np.float16)
    whole = Window(0, 0, window.width, window.height)
    size = (window.height, window.width)
    return ClassMap(logits, (whole,), whole, size, size)


@dataclass
class Drawn:
    """A pipeline that answers with `map_of`, and with the segments that it is given."""

    legend: Legend
    segments: tuple[Segment, ...] = ()
    prob_threshold: float = 0.5
    duplicate_iou: float = 1.0

    def to(self, device, dtype) -> None:
        pass

    def observe(self, image, control) -> Seen:
        return Seen(image.window)

    def answer(self, observation: Seen, control) -> Answer:
        return Answer(self.segments, map_of(observation.window, len(self.legend.words)))


def written(request, segments=()):
    """Run a request; return bands, descriptions and tags of the class scores, and the last event."""
    engine = Engine({"sam-clip": lambda inputs: Drawn(inputs.legend, segments)})
    *_, finished = engine.run(request, never)
    with rasterio.open(request.output.class_scores) as file:
        return file.read(), file.descriptions, file.tags(), finished


def blended(names: Legend) -> np.ndarray:
    """What the two tiles' maps give together, done plainly: mean weighted by the distance to the tiles' borders."""
    total, weights = np.zeros((names.size, HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))
    for col in (0, TILE_PX - OVERLAP_PX):
        window = Window(col, 0, TILE_PX, HEIGHT)
        part = map_of(window, len(names.words)).probabilities(names, Window(0, 0, TILE_PX, HEIGHT))
        centres = np.arange(TILE_PX) + 0.5
        ramp = np.minimum(np.minimum(centres, TILE_PX - centres) / OVERLAP_PX, 1)
        weight = ramp[:, None] * ramp[None, :]
        total[(slice(None), *window.slices)] += weight * part
        weights[window.slices] += weight
    return total / weights


def test_every_class_has_a_band_with_its_probability_after_blending(request_for):
    bands, descriptions, _, finished = written(request_for())
    names = Legend.of(parse_class_list(TEXT), "background")
    expected = blended(names)
    assert len(list(TileGrid(WIDTH, HEIGHT, TILE_PX, OVERLAP_PX).tiles())) == 2
    assert descriptions == ("building", "road", "water")
    assert bands.dtype == np.float32
    assert expected[:3].std() > 0.1
    difference = expected[:3] - bands
    assert -1e-5 < difference.min() < difference.max() < STEP + 1e-5
    assert finished.class_scores.endswith("classes.tif")


def test_values_are_the_maps_own_where_one_tile_sees_alone(request_for):
    bands, *_ = written(request_for())
    names = Legend.of(parse_class_list(TEXT), "background")
    alone = Window(10, 20, 50, 60)
    own = map_of(Window(0, 0, TILE_PX, HEIGHT), len(names.words)).probabilities(names, alone)[:3]
    np.testing.assert_allclose(bands[(slice(None), *alone.slices)], own, atol=STEP)


def test_classes_sum_to_at_most_one_and_negatives_have_the_rest(request_for):
    bands, *_ = written(request_for())
    sums = bands.astype(np.float64).sum(axis=0)
    assert sums.max() <= 1
    assert sums.min() < 0.5


def test_an_object_gives_its_scores_to_its_pixels(request_for):
    scores = np.array([0.75, 0.125, 0.0625, 0, 0], np.float32)
    segment = Segment(Window(40, 40, 16, 8), PackedMask.of(np.ones((8, 16), bool)), 0, scores)
    bands, *_ = written(request_for(), (segment,))
    for col in (40, 40 + TILE_PX - OVERLAP_PX):  # both tiles answer with it
        inside = bands[:, 40:48, col : col + 16]
        np.testing.assert_array_equal(inside, np.broadcast_to(scores[:3, None, None], inside.shape))


def test_what_was_not_asked_for_and_what_holds_no_data_is_nan(request_for, raster):
    with rasterio.open(raster, "r+") as file:
        file.write(np.zeros((3, 20, 30), np.uint8), window=rasterio.windows.Window(100, 90, 30, 20))
    mask = shapely.box(500020, 4999880, 500150, 4999990)
    bands, *_ = written(request_for(mask_wkb_hex=shapely.to_wkb(mask, hex=True), nodata=0))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[10:120, 20:150] = True
    expected[90:110, 100:130] = False
    with rasterio.open(request_for().output.class_scores) as file:
        assert np.isnan(file.nodata)
        x, y = file.transform * (0, 0)
    found = np.zeros_like(expected)
    rows, cols = slice(round(5000000 - y), None), slice(round(x - 500000), None)
    part = found[rows, cols][: bands.shape[1], : bands.shape[2]]
    part[:] = ~np.isnan(bands[0])
    np.testing.assert_array_equal(found, expected)
    assert (np.isnan(bands) == np.isnan(bands[0])).all()


def test_the_file_says_how_it_was_made(request_for):
    request = request_for()
    _, _, tags, _ = written(request)
    assert Request.from_json(json.loads(tags[PROVENANCE_KEY])["request"]) == request


def test_it_is_written_only_if_asked_for(request_for, tmp_path):
    request = request_for("building, road, water")
    truth = Truth(np.zeros((HEIGHT, WIDTH), np.int64), np.ones((HEIGHT, WIDTH), np.int64))
    output = replace(request.output, class_scores="")
    *_, finished = planted_engine(truth).run(replace(request, output=output), never)
    assert finished.class_scores == ""
    assert list(tmp_path.glob("*.tif")) == [tmp_path / "scene.tif"]


def test_a_disk_that_is_too_small_is_told_before_the_models_are_loaded(request_for, tmp_path):
    loaded = []
    engine = Engine({"sam-clip": lambda inputs: loaded.append(inputs)})
    request = request_for(", ".join(f"thing {number}" for number in range(200)))
    large = tmp_path / "large.vrt"
    gdal.Translate(str(large), request.scene.path, format="VRT", width=60_000, height=60_000).FlushCache()
    with pytest.raises(OutputError, match=r"The scores of 200 classes over .* need about .* GB"):
        list(engine.run(replace(request, scene=replace(request.scene, path=str(large))), never))
    assert loaded == []


def test_room_is_needed_twice_where_the_scratch_folder_is_on_the_same_disk(tmp_path):
    target = str(tmp_path / "classes.tif")
    with pytest.raises(OutputError, match=r"need about 2000000\.0 GB while they are written"):
        check_room(target, tmp_path, Window(0, 0, 10**7, 10**7), 10)
    check_room("", tmp_path, Window(0, 0, 10**7, 10**7), 10)
    check_room(target, tmp_path, Window(0, 0, 100, 100), 10)
