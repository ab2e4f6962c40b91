"""The demo set as it ships: on drawn scenes that no training saw it is mostly right, and it says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio

from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.service import Engine
from scenes.drawing import DrawnScene, draw
from scenes.files import write
from scenes.words import CLASSES

SEED, SIZE_PX = 4_000_009, 448
ALL_OF_IT = Recipe(models="demo", parameters={"closed_list": True})


@pytest.fixture(scope="module")
def drawn() -> DrawnScene:
    return draw(SEED, SIZE_PX, 0.25, "mixed")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def raster(drawn, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("drawn"), drawn) / "scene.tif"


def segment(
    engine: Engine, raster: Path, folder: Path, text: str, recipe: Recipe = ALL_OF_IT, **scene
) -> tuple[Finished, np.ndarray]:
    """Run the demo set; return the last event and the labels."""
    output = Output(str(folder / "result.gpkg"), str(folder / "labels.tif"))
    request = Request(Scene(str(raster), **scene), parse_class_list(text), recipe, output)
    finished = list(engine.run(request, lambda: False))[-1]
    with rasterio.open(finished.label_raster) as file:
        return finished, file.read(1)


def test_most_of_a_scene_that_it_never_saw_is_right(engine, drawn, raster, tmp_path):
    finished, labels = segment(engine, raster, tmp_path, ", ".join(CLASSES))
    known = drawn.classes > 0
    assert (labels[known] == drawn.classes[known]).mean() > 0.75
    assert finished.is_demo
    assert finished.notes == ()


def test_what_was_not_asked_for_stays_empty(engine, drawn, raster, tmp_path):
    asked = ("building", "road", "car")
    others = (drawn.classes > 0) & ~np.isin(drawn.classes, [CLASSES.index(name) + 1 for name in asked])
    _, closed = segment(engine, raster, tmp_path, ", ".join(asked))
    _, labels = segment(engine, raster, tmp_path, ", ".join(asked), Recipe(models="demo"))
    assert (closed[others] > 0).mean() > 0.5
    assert (labels[others] > 0).mean() < 0.1


def test_the_three_branches_of_text2seg_are_mostly_right(engine, drawn, raster, tmp_path):
    recipe = Recipe("text2seg", "demo", {"closed_list": True})
    finished, labels = segment(engine, raster, tmp_path, ", ".join(CLASSES), recipe)
    known = drawn.classes > 0
    found = known & (labels > 0)
    assert (labels[found] == drawn.classes[found]).mean() > 0.75
    assert found.sum() > 0.5 * known.sum()
    _, _, _, (branches,) = pyogrio.raw.read(finished.path, columns=["branches"])
    assert {"boxes", "points", "crops"} <= {branch for text in branches for branch in text.split("+")}


@pytest.mark.parametrize(("seed", "kind"), [(4_000_013, "rural"), (4_000_014, "mixed"), (4_000_018, "rural")])
def test_absent_classes_stay_absent_in_the_vote_where_the_union_finds_some(engine, tmp_path, seed, kind):
    scene = draw(seed, 256, 0.25, kind)
    raster = write(tmp_path / "drawn", scene) / "scene.tif"
    absent = np.setdiff1d(np.arange(1, len(CLASSES) + 1), scene.classes)
    union = {"closed_list": True, "combine": "union", "least_presence": 0.0}
    _, of_union = segment(engine, raster, tmp_path, ", ".join(CLASSES), Recipe("text2seg", "demo", union))
    _, of_vote = segment(
        engine, raster, tmp_path, ", ".join(CLASSES), Recipe("text2seg", "demo", {"closed_list": True})
    )
    assert np.isin(of_union, absent).any()
    assert not np.isin(of_vote, absent).any()
    assert of_vote.any()


def test_synonyms_say_the_same(engine, drawn, raster, tmp_path):
    words = {"building": "house", "road": "street", "water": "river", "grass": "lawn", "cropland": "farmland"}
    _, labels = segment(engine, raster, tmp_path, ", ".join(words.get(name, name) for name in CLASSES))
    known = drawn.classes > 0
    assert (labels[known] == drawn.classes[known]).mean() > 0.7


def test_a_word_that_it_never_learned_finds_next_to_nothing(engine, raster, tmp_path):
    _, labels = segment(engine, raster, tmp_path, ", ".join([*CLASSES, "helicopter"]))
    assert (labels == len(CLASSES) + 1).mean() < 0.01


def test_pixels_of_another_size_are_told(engine, raster, tmp_path):
    finished, _ = segment(engine, raster, tmp_path, "water", ground_resolution_m=1.0)
    assert any("0.2 to 0.3 m" in note for note in finished.notes)
