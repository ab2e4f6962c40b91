"""Referring phrases over the sample scene, whose truth gives the answers.

Planted: the truth's own polygons are the segments, so that only the phrase can be answered wrongly. The expected
answers come from resources/demo/truth.gpkg with shapely, written out phrase by phrase.
Real: the demo models look for the classes. They are no good judges of what is there, so a phrase has to pick exactly
those of their own polygons, as a class list gives them, that the same geometry picks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
import shapely
from planted import PlantedPipeline, Truth, segments_of

from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.query import Query, parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.text.phrase import parse_referring_expression
from rs_textseg_plugin.engine.answers.answer import Answer
from rs_textseg_plugin.engine.service import Engine
from stage import ROOT

DEMO = ROOT / "resources" / "demo"
EXACT = {"simplify_m": 0, "min_area_m2": 0, "fill_holes_m2": 0, "objects": "instances"}
MAP_UNITS_PER_METRE = 0.9996018  # of UTM, 12 km from the central meridian

Shapes = dict[str, list[shapely.Polygon]]


def never() -> bool:
    return False


def read(path: str | Path) -> Shapes:
    _, _, wkb, (names,) = pyogrio.raw.read(path, columns=["class"])
    shapes: Shapes = {}
    for name, shape in zip(names, shapely.from_wkb(wkb)):
        for polygon in shapely.get_parts(shape):
            shapes.setdefault(name, []).append(polygon)
    return shapes


@lru_cache
def planted() -> tuple[Shapes, np.ndarray, np.ndarray]:
    """The truth's polygons by class, the number of the polygon at each pixel (0: none), and the class of each."""
    shapes = read(DEMO / "truth.gpkg")
    numbered = [(polygon, name) for name, polygons in shapes.items() for polygon in polygons]
    with rasterio.open(DEMO / "scene.tif") as scene:
        pairs = ((polygon, number) for number, (polygon, _) in enumerate(numbered, start=1))
        objects = rasterio.features.rasterize(pairs, scene.shape, transform=scene.transform, dtype="int32")
    return shapes, objects, np.array(["", *(name for _, name in numbered)], dtype=object)


class TruthOfTheSample(PlantedPipeline):
    """Answers with the truth's polygons of the classes that are asked for."""

    def __init__(self, names) -> None:
        _, objects, classes = planted()
        of_polygon = np.array([names.competing.index(name) if name in names.competing else -1 for name in classes])
        labels = of_polygon[objects]
        super().__init__(Truth(labels, np.where(labels >= 0, objects, 0)), names)

    def answer(self, observation, control) -> Answer:
        part = observation.window.slices
        return Answer(segments_of(Truth(self._truth.classes[part], self._truth.objects[part]), self._names.size), None)


@pytest.fixture(scope="module")
def planted_engine() -> Engine:
    return Engine({"text2seg": lambda inputs: TruthOfTheSample(inputs.legend)})


def found(engine: Engine, query: Query, folder: Path, pipeline: str = "text2seg", extent=None, **given) -> Shapes:
    output = Output(str(folder / "out.gpkg"))
    recipe = Recipe(pipeline, "demo", {**EXACT, **given}, device="cpu")
    list(engine.run(Request(Scene(str(DEMO / "scene.tif"), extent=extent), query, recipe, output), never))
    return read(output.path)


def area(shape) -> float:
    return shape.area


def north(shape) -> float:
    return shape.centroid.y


def east(shape) -> float:
    return shape.centroid.x


def most(shapes, key, count=1):
    """The first of that many in falling order; the next one must not be as good."""
    ordered = sorted(shapes, key=key, reverse=True)
    assert len(ordered) > count
    assert key(ordered[count - 1]) > key(ordered[count])
    return ordered[:count]


def least(shapes, key, count=1):
    return most(shapes, lambda shape: -key(shape), count)


def near(shape, others, metres=50.0) -> bool:
    return min(shape.distance(other) for other in others) <= metres * MAP_UNITS_PER_METRE


def inside(shape, others) -> bool:
    outlines = shapely.union_all([shapely.Polygon(other.exterior) for other in others])
    return shape.intersection(outlines).area > shape.area / 2


PHRASES: list[tuple[str, str, Callable]] = [
    ("the largest building", "building", lambda t: most(t["building"], area)),
    ("the three smallest storage tank", "storage tank", lambda t: least(t["storage tank"], area, 3)),
    ("the northernmost swimming pool", "swimming pool", lambda t: most(t["swimming pool"], north)),
    ("the two easternmost car park", "car park", lambda t: most(t["car park"], east, 2)),
    ("the ship", "ship", lambda t: t["ship"]),
    ("building within 20 m of water", "building", lambda t: [b for b in t["building"] if near(b, t["water"], 20)]),
    ("swimming pool near the largest building", "swimming pool",
     lambda t: [p for p in t["swimming pool"] if near(p, most(t["building"], area))]),
    ("storage tank not near a building", "storage tank",
     lambda t: [s for s in t["storage tank"] if not near(s, t["building"])]),
    ("car inside a car park", "car", lambda t: [c for c in t["car"] if inside(c, t["car park"])]),
    ("the largest solar panel outside a building", "solar panel",
     lambda t: most([s for s in t["solar panel"] if not inside(s, t["building"])], area)),
    ("the southernmost building not near a road", "building",
     lambda t: least([b for b in t["building"] if not near(b, t["road"])], north)),
    ("car not inside a car park and within 2.5 m of a building", "car",
     lambda t: [c for c in t["car"] if not inside(c, t["car park"]) and near(c, t["building"], 2.5)]),
    ("the largest cropland within 0.1 km of the ship", "cropland",
     lambda t: most([c for c in t["cropland"] if near(c, t["ship"], 100)], area)),
    ("the westernmost building near the easternmost water and not within 80 m of a car park", "building",
     lambda t: least([b for b in t["building"]
                      if near(b, most(t["water"], east)) and not near(b, t["car park"], 80)], east)),
]  # fmt: skip


@pytest.mark.parametrize(("phrase", "name", "expected"), PHRASES, ids=[phrase for phrase, *_ in PHRASES])
def test_planted_a_phrase_finds_exactly_the_polygons_that_the_truth_says(
    planted_engine, tmp_path, phrase, name, expected
):
    truth = planted()[0]
    answer = {shape.normalize() for shape in expected(truth)}
    assert 0 < len(answer) < len(truth[name]) or name == "ship"
    shapes = found(planted_engine, parse_referring_expression(phrase), tmp_path, tile_px=512, overlap_px=64)
    assert list(shapes) == [name]
    assert {shapely.simplify(shape, 0).normalize() for shape in shapes[name]} == {
        shapely.simplify(shape, 0).normalize() for shape in answer
    }


PLACE = Extent(512250, 5402600, 512362, 5402712)
LOOK = {"pipeline": "text2seg", "extent": PLACE, "objects": "regions", "min_area_m2": 10, "points_per_side": 8}

REAL: list[tuple[str, Callable]] = [
    ("the largest building near water and near a road and outside grass",
     lambda b, w, r, g: most([x for x in b if near(x, w) and near(x, r) and not inside(x, g)], area)),
    ("the two northernmost building not within 5 m of water and within 80 m of a road and not inside grass",
     lambda b, w, r, g: most([x for x in b if not near(x, w, 5) and near(x, r, 80) and not inside(x, g)], north, 2)),
]  # fmt: skip


@pytest.fixture(scope="module")
def demo_engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def seen(demo_engine, tmp_path_factory) -> Shapes:
    """What the demo models find for the class list that the phrases below stand for."""
    folder = tmp_path_factory.mktemp("classes")
    return found(demo_engine, parse_class_list("building, water, road, grass"), folder, **LOOK)


@pytest.mark.parametrize(("phrase", "expected"), REAL, ids=[phrase for phrase, _ in REAL])
def test_real_a_phrase_picks_those_of_the_polygons_that_geometry_picks(demo_engine, seen, tmp_path, phrase, expected):
    answer = expected(*(seen[name] for name in ("building", "water", "road", "grass")))
    assert 0 < len(answer) < len(seen["building"])
    shapes = found(demo_engine, parse_referring_expression(phrase), tmp_path, **LOOK)
    assert list(shapes) == ["building"]
    assert {shape.normalize() for shape in shapes["building"]} == {shape.normalize() for shape in answer}


@pytest.mark.parametrize("word", ["", "not "])
def test_real_a_distance_parts_the_polygons_that_lie_nearer_from_those_that_lie_farther(
    demo_engine, seen, tmp_path, word
):
    metres = round(float(np.median([min(x.distance(w) for w in seen["water"]) for x in seen["building"]])), 1)
    answer = [x for x in seen["building"] if near(x, seen["water"], metres) == (not word)]
    assert 0 < len(answer) < len(seen["building"])
    phrase = f"building {word}within {metres} m of water and within 1 km of a road and within 1 km of grass"
    shapes = found(demo_engine, parse_referring_expression(phrase), tmp_path, **LOOK)
    assert {shape.normalize() for shape in shapes["building"]} == {shape.normalize() for shape in answer}


def test_real_where_the_demo_models_see_well_the_phrase_finds_what_the_truth_says(demo_engine, tmp_path):
    phrase = "the westernmost water near a building and near a road and outside grass"
    (shape,) = found(demo_engine, parse_referring_expression(phrase), tmp_path, **LOOK)["water"]
    box = shapely.box(PLACE.xmin, PLACE.ymin, PLACE.xmax, PLACE.ymax)
    (truth,) = least([water for water in planted()[0]["water"] if water.intersects(box)], east)
    truth = truth.intersection(box)
    assert shape.intersection(truth).area > 0.7 * shape.union(truth).area
