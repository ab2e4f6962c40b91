"""What a pipeline says of objects, from its answers to the files of a result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
from planted import PlantedPipeline, Truth

from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.service import Engine

LONG = "ü" * 300


class Saying(PlantedPipeline):
    """Says something long of every object."""

    def answer(self, observation, control):
        exact = super().answer(observation, control)
        return replace(exact, segments=tuple(replace(one, remark=LONG) for one in exact.segments))


@pytest.fixture
def truth() -> Truth:
    classes = np.full((96, 160), -1)
    classes[20:60, 30:140], classes[70:90, 10:50] = 0, 1  # the first one lies in two tiles
    return Truth(classes, classes + 1)


def run(truth, tmp_path, tiny_models, suffix, pipeline="text2seg"):
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": 160, "height": 96, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (3, 96, 160), np.uint8))
    recipe = Recipe(pipeline, str(tiny_models), {"tile_px": 96, "overlap_px": 32}, device="cpu")
    output = Output(str(tmp_path / f"out{suffix}"))
    engine = Engine({pipeline: lambda inputs: Saying(truth, inputs.legend)})
    events = list(engine.run(Request(Scene(str(path)), parse_class_list("building, road"), recipe, output), bool))
    return events, output.path


def test_a_geopackage_has_the_whole_text_once_for_an_object_of_two_tiles(truth, tmp_path, tiny_models):
    _, path = run(truth, tmp_path, tiny_models, ".gpkg")
    assert pyogrio.raw.read(path, columns=["branches"])[3][0].tolist() == [LONG, LONG]


def test_a_shapefile_has_what_it_can_hold_and_the_result_says_so(truth, tmp_path, tiny_models):
    events, path = run(truth, tmp_path, tiny_models, ".shp")
    assert pyogrio.raw.read(path, columns=["branches"])[3][0].tolist() == ["ü" * 127] * 2
    note = "A Shapefile holds 254 bytes of a text: the rest of the field branches is cut off"
    assert sum(text.startswith(note) for text in events[-1].notes) == 1


def test_a_method_that_says_nothing_has_no_field_for_it(truth, tmp_path, tiny_models):
    _, path = run(truth, tmp_path, tiny_models, ".gpkg", "sam-clip")
    assert "branches" not in pyogrio.read_info(path)["fields"]
    assert pyogrio.read_info(path)["fields"][-1] == "query"
