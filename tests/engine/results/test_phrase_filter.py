from __future__ import annotations

import json
import math

import numpy as np
import pyogrio
import pyogrio.raw
import pytest
import rasterio
import shapely
from planted import PlantedPipeline, Truth
from rasters import texture

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.events import Warned
from rs_textseg_plugin.contract.grid import PixelGrid, Transform
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.text.phrase import parse_referring_expression, read_phrase
from rs_textseg_plugin.engine.results.phrase_filter import SceneObjects, _in_metres, choose
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY
from rs_textseg_plugin.engine.service import Engine

# name, left, bottom, right, top in metres
SCENE = [
    ("house", 0, 0, 10, 10),  # 0: 5 m from the road
    ("house", 0, 100, 20, 120),  # 1: the largest, in the north, far from all
    ("house", 35, 2, 40, 8),  # 2: the smallest, in a hole of the park
    ("house", 48, 0, 58, 9),  # 3: mostly outside of the park, 2 m in it
    ("road", 0, -10, 100, -5),  # 4
    ("road", 300, 0, 310, 10),  # 5: in the east, the smaller one
]
PARK = shapely.box(30, -4, 50, 20).difference(shapely.box(35, 2, 40, 8))


def things() -> SceneObjects:
    shapes = [shapely.box(*corners) for _, *corners in SCENE] + [PARK]
    names = [name for name, *_ in SCENE] + ["park"]
    shapes = np.array(shapes, dtype=object)
    return SceneObjects(shapes, np.array(names, dtype=object), shapely.area(shapes))


def test_a_phrase_is_answered_exactly(subtests):
    for phrase, expected in (
        ("house", [0, 1, 2, 3]),
        ("HOUSE|villa", [0, 1, 2, 3]),
        ("the largest house", [1]),
        ("the smallest house", [2]),
        ("the two largest houses", []),  # another word is another class
        ("the two largest house", [1, 0]),
        ("the 9 largest house", [1, 0, 3, 2]),
        ("the northernmost house", [1]),
        ("the southernmost house", [3]),
        ("the easternmost house", [3]),
        ("the westernmost house", [0]),
        ("house near a road", [0, 2, 3]),
        ("house not near a road", [1]),
        ("house within 5 m of a road", [0, 3]),
        ("house within 4.9 m of a road", []),
        ("house within 1 km of the easternmost road", [0, 1, 2, 3]),
        ("house near the easternmost road", []),
        ("house near the largest road", [0, 2, 3]),
        ("the largest house near a road", [0]),
        ("house inside the park", [2]),
        ("house outside the park", [0, 1, 3]),
        ("house not near a road and outside the park", [1]),
        ("house near a road and inside the park", [2]),
        ("house within 27 m of house", [0, 2, 3]),
        ("house within 7 m of house", []),
        ("house within 8 m of house", [2, 3]),
        ("house near a lake", []),
        ("house not near a lake", [0, 1, 2, 3]),
        ("house inside a lake", []),
        ("house inside house", []),
        ("lake near a road", []),
        ("the largest lake", []),
    ):
        with subtests.test(phrase=phrase):
            assert choose(read_phrase(phrase), things()).tolist() == expected


def test_more_than_half_of_an_object_has_to_lie_inside():
    shapes = np.array(
        [shapely.box(0, 0, 10, 10), shapely.box(4.9, 0, 50, 10), shapely.box(5.1, 0, 50, 10)], dtype=object
    )
    for other, expected in ((1, [0]), (2, [])):
        some = SceneObjects(shapes[[0, other]], np.array(["a", "b"], dtype=object), np.ones(2))
        assert choose(read_phrase("a inside b"), some).tolist() == expected


def grid(angle_degrees: float, crs: str, pixel: float) -> PixelGrid:
    cos, sin = pixel * math.cos(math.radians(angle_degrees)), pixel * math.sin(math.radians(angle_degrees))
    transform = Transform(cos, sin, 500000 if "32633" in crs else 15, sin, -cos, 5000000 if "32633" in crs else 60)
    return PixelGrid(crs_wkt=crs, transform=transform, width=100, height=80)


@pytest.mark.parametrize("angle", [0, 30])
def test_distances_and_directions_are_on_the_ground_in_rotated_and_in_geographic_rasters(angle):
    for crs, pixel in (("EPSG:32633", 2.0), ("EPSG:4326", 2.0 / 111_300)):
        here = grid(angle, rasterio.crs.CRS.from_string(crs).to_wkt(), pixel)
        x, y = here.transform.to_map(50, 40)
        step = pixel / 2.0  # one metre to the north in map units, nearly
        points = np.array([shapely.Point(x, y), shapely.Point(x, y + 10 * step)], dtype=object)
        first, second = shapely.get_coordinates(_in_metres(points, here))
        assert second[1] - first[1] == pytest.approx(10, rel=0.01)
        assert second[0] - first[0] == pytest.approx(0, abs=0.1)


ROWS, COLUMNS = 120, 160


def truth() -> Truth:
    """Three houses (class 0) and a road (class 1) of 1 m pixels."""
    classes, objects = np.full((ROWS, COLUMNS), -1), np.zeros((ROWS, COLUMNS), int)
    for number, (label, rows, columns) in enumerate(
        [(0, (10, 20), (10, 30)), (0, (60, 90), (10, 50)), (0, (95, 105), (100, 112)), (1, (108, 112), (0, 160))],
        start=1,
    ):
        classes[slice(*rows), slice(*columns)] = label
        objects[slice(*rows), slice(*columns)] = number
    return Truth(classes, objects)


class Sure(PlantedPipeline):
    """Pixels of no class are as probable for both; here they have to be more than that."""

    prob_threshold = 0.6


def run(tmp_path, tiny_models, query):
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": COLUMNS, "height": ROWS, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(1, 0, 500000, 0, -1, 5000000)) as file:
        file.write(texture(ROWS, COLUMNS))
    recipe = Recipe("text2seg", str(tiny_models), {"tile_px": 96, "overlap_px": 32}, device="cpu")
    output = Output(str(tmp_path / "out.gpkg"), str(tmp_path / "labels.tif"), str(tmp_path / "scores.tif"))
    engine = Engine({"text2seg": lambda inputs: Sure(truth(), inputs.legend)})
    events = list(engine.run(Request(Scene(str(path)), query, recipe, output), lambda: False))
    with rasterio.open(tmp_path / "labels.tif") as file:
        labels = file.read(1)
    _, _, shapes, (names,) = pyogrio.raw.read(tmp_path / "out.gpkg", columns=["class"])
    return events, list(zip(names, shapely.from_wkb(shapes))), labels


def test_the_result_holds_what_the_phrase_refers_to_and_nothing_else(tmp_path, tiny_models):
    query = parse_referring_expression("the largest house within 20 m of a road")
    events, found, labels = run(tmp_path, tiny_models, query)
    ((name, shape),) = found
    assert (name, shape.bounds) == ("house", (500010, 4999910, 500050, 4999940))
    expected = np.zeros((ROWS, COLUMNS), int)
    expected[60:90, 10:50] = 1
    np.testing.assert_array_equal(labels, expected)
    assert [(row.name, row.count) for row in events[-1].classes] == [("house", 1)]
    said = (
        "The phrase was read as: the largest 'house' within 20 m of 'road'. Found: 3 x 'house', 1 x 'road'; 1 of them"
    )
    provenance = json.loads(pyogrio.read_info(tmp_path / "out.gpkg")["layer_metadata"][PROVENANCE_KEY])
    for notes in (events[-1].notes, provenance["notes"], [e.message for e in events if isinstance(e, Warned)]):
        assert sum(note.startswith(said) for note in notes) == 1


def test_a_phrase_that_nothing_fits_gives_an_empty_result_and_says_what_was_not_understood(tmp_path, tiny_models):
    events, found, labels = run(tmp_path, tiny_models, parse_referring_expression("house inside a road"))
    assert found == []
    assert not labels.any()
    assert any("3 x 'house', 1 x 'road'; 0 of them fit" in note for note in events[-1].notes)
    events, *_ = run(tmp_path, tiny_models, parse_referring_expression("house left of a tree"))
    assert any("Not understood as geometry: 'left'" in note for note in events[-1].notes)


def test_a_class_list_holds_everything_and_no_note_of_a_phrase(tmp_path, tiny_models):
    events, found, _ = run(tmp_path, tiny_models, parse_class_list("house, road"))
    assert sorted(name for name, _ in found) == ["house", "house", "house", "road"]
    assert not any("phrase" in note for note in events[-1].notes)


def test_a_phrase_with_nothing_to_look_for_is_refused_before_anything_is_read():
    with pytest.raises(QueryError):
        parse_referring_expression("near a road")
