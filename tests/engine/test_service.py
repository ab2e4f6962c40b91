from __future__ import annotations

import json
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
import shapely
import torch
from osgeo import gdal
from planted import PlantedPipeline, Truth, planted_engine
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from tiny_detector import write_tiny_detector

from rs_textseg_plugin.contract.catalog import ModelFile
from rs_textseg_plugin.contract.errors import (
    Cancelled,
    MemoryExhausted,
    OutputError,
    QueryError,
    RecipeError,
)
from rs_textseg_plugin.contract.events import Finished, Found, Progress, Warned
from rs_textseg_plugin.contract.grid import Extent, Window
from rs_textseg_plugin.contract.query import parse_class_list, parse_phrase
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, Segment
from rs_textseg_plugin.engine.job.request_check import check_request
from rs_textseg_plugin.engine.loading.files import verified
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY
from rs_textseg_plugin.engine.service import Engine

SIZE = 300
EXACT = {"tile_px": 128, "overlap_px": 32, "simplify_m": 0, "min_area_m2": 0, "fill_holes_m2": 0}


@pytest.fixture(scope="module")
def truth() -> Truth:
    rng = np.random.default_rng(7)
    fields = np.stack([gaussian_filter(rng.random((SIZE, SIZE)), 8) for _ in range(4)])
    classes = fields.argmax(axis=0) - 1
    return Truth(classes, label(classes + 1, background=0, connectivity=1))


@pytest.fixture
def raster(tmp_path):
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (3, SIZE, SIZE), np.uint8))
    return path


@pytest.fixture
def request_for(raster, tmp_path, tiny_models):
    def make(text="building, road, water", **parameters):
        recipe = Recipe(models=str(tiny_models), parameters={**EXACT, **parameters}, device="cpu")
        return Request(Scene(str(raster)), parse_class_list(text), recipe, Output(str(tmp_path / "out.gpkg")))

    return make


def target(link: Path) -> str:
    return str(link.readlink()) if link.is_symlink() else ""


def never() -> bool:
    return False


def polygons_in(path):
    meta, _, wkb, columns = pyogrio.raw.read(path)
    return shapely.from_wkb(wkb), dict(zip(meta["fields"], columns))


def burnt(path, names=("building", "road", "water"), size=SIZE):
    polygons, fields = polygons_in(path)
    values = [names.index(name) + 1 for name in fields["class"]]
    transform = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)
    return rasterio.features.rasterize(
        zip(polygons, values), out_shape=(size, size), transform=transform, dtype="uint8"
    )


def test_the_polygons_are_the_truth_pixel_for_pixel(truth, request_for, tmp_path):
    events = list(planted_engine(truth).run(request_for(), never))
    np.testing.assert_array_equal(burnt(tmp_path / "out.gpkg"), truth.classes + 1)
    polygons, fields = polygons_in(tmp_path / "out.gpkg")
    assert len(polygons) == truth.objects.max()
    assert shapely.is_valid(polygons).all()
    np.testing.assert_allclose(shapely.area(polygons), fields["area_m2"], rtol=2e-3)  # UTM's scale at 15 E is 0.9996
    np.testing.assert_allclose(fields["margin"], fields["score"] - fields["runner_up_score"], atol=2e-4)
    assert (fields["score"] > 0.8).all()
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert sum(row.count for row in finished.classes) == len(polygons)
    assert finished.classes[0].area_m2 == pytest.approx(fields["area_m2"][fields["class"] == "building"].sum(), abs=0.1)


def test_instances_stay_apart_and_regions_do_not(truth, request_for, tmp_path):
    halves = Truth(truth.classes, truth.objects * 2 + (np.arange(SIZE) > SIZE // 2))
    for objects, more in (("regions", False), ("instances", True)):
        list(planted_engine(halves).run(request_for(objects=objects), never))
        assert (len(polygons_in(tmp_path / "out.gpkg")[0]) > truth.objects.max()) == more


class DrawnTwice(PlantedPipeline):
    """One thing on the seam of two tiles, which each of them draws in its own way, and no map."""

    def __init__(self, duplicate_iou: float, names) -> None:
        super().__init__(Truth(np.zeros((0, 0)), np.zeros((0, 0))), names)
        self.duplicate_iou = duplicate_iou

    def answer(self, observation, control) -> Answer:
        places = {(0, 0): Window(105, 50, 14, 10), (96, 0): Window(10, 48, 10, 22)}
        place = places.get((observation.window.col, observation.window.row))
        if place is None:
            return Answer((), None)
        mask = PackedMask.of(np.ones((place.height, place.width), bool))
        scores = np.eye(self._names.size, dtype=np.float32)[0]
        return Answer((Segment(place, mask, 0, scores),), None)


@pytest.mark.parametrize(("duplicate_iou", "count"), [(0.2, 1), (0.5, 3)])  # the smaller one cuts the other in two
def test_what_two_tiles_draw_differently_counts_once_as_the_pipeline_says(request_for, duplicate_iou, count):
    engine = Engine({"sam-clip": lambda inputs: DrawnTwice(duplicate_iou, inputs.legend)})
    finished = list(engine.run(request_for(objects="instances"), never))[-1]
    assert sum(row.count for row in finished.classes) == count


def test_progress_counts_tiles_and_estimates_the_time_left(truth, request_for):
    events = list(planted_engine(truth).run(request_for(), never))
    tiles = [event for event in events if isinstance(event, Progress) and event.stage == "Segmenting"]
    assert [event.tiles_done for event in tiles] == list(range(10))
    assert {event.tiles_total for event in tiles} == {9}
    assert tiles[0].seconds_left is None
    assert all(event.seconds_left >= 0 for event in tiles[1:])
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert sum([event for event in events if isinstance(event, Found)][-1].counts.values()) >= truth.objects.max()


def test_cancelling_stops_within_a_tile_and_writes_nothing(truth, request_for, tmp_path):
    seen = []
    run = planted_engine(truth, seen.append).run(request_for(), lambda: len(seen) >= 3)
    with pytest.raises(Cancelled):
        list(run)
    assert len(seen) == 3
    assert not (tmp_path / "out.gpkg").exists()


@pytest.mark.parametrize("tiles_joined", [1, 9])
def test_a_cancelled_run_leaves_no_scratch_file_open(truth, request_for, tmp_path, tiles_joined):
    """On Windows an open file keeps the scratch folder from being removed."""
    request = replace(request_for(), output=Output(str(tmp_path / "o.gpkg"), str(tmp_path / "l.tif")))
    said = []
    run = planted_engine(truth).run(request, lambda: ("Joining tiles", tiles_joined) in said)
    with pytest.raises(Cancelled) as held:  # it holds the frames, and with them what they left open
        said.extend((event.stage, event.tiles_done) for event in run if isinstance(event, Progress))
    assert said[-1] == ("Joining tiles", tiles_joined), held
    assert [link for link in map(target, Path("/proc/self/fd").iterdir()) if "/rs_textseg_" in link] == []


def test_an_extent_gives_what_the_whole_run_gives_there(truth, request_for, tmp_path):
    request = request_for()
    part = replace(request.scene, extent=Extent(500040, 4999880, 500110, 4999960))
    list(planted_engine(truth).run(replace(request, scene=part), never))
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[80:240, 80:220] = (truth.classes + 1)[80:240, 80:220]
    np.testing.assert_array_equal(burnt(tmp_path / "out.gpkg"), expected)


def test_label_and_score_rasters_agree_with_the_polygons(truth, request_for, tmp_path):
    output = Output(
        str(tmp_path / "out.gpkg"), str(tmp_path / "l.tif"), str(tmp_path / "s.tif"), str(tmp_path / "map.png")
    )
    list(planted_engine(truth).run(replace(request_for(min_area_m2=60), output=output), never))
    with rasterio.open(tmp_path / "l.tif") as labels, rasterio.open(tmp_path / "s.tif") as scores:
        np.testing.assert_array_equal(labels.read(1), burnt(tmp_path / "out.gpkg"))
        found = labels.read(1) > 0
        assert np.isnan(scores.read(1)[~found]).all()
        assert (scores.read(1)[found] > 0.8).all()
        assert labels.tags()["CLASS_2"] == "road"
    assert (polygons_in(tmp_path / "out.gpkg")[1]["area_m2"] >= 59).all()
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_a_filled_hole_has_the_score_of_the_polygon_that_fills_it(request_for, tmp_path):
    classes = np.zeros((SIZE, SIZE), np.int64)
    classes[100:104, 100:104] = -1
    request = request_for(fill_holes_m2=5)
    output = replace(request.output, label_raster=str(tmp_path / "l.tif"), score_raster=str(tmp_path / "s.tif"))
    truth = Truth(classes, label(classes + 1, background=0, connectivity=1))
    list(planted_engine(truth).run(replace(request, output=output), never))
    with rasterio.open(tmp_path / "l.tif") as labels, rasterio.open(tmp_path / "s.tif") as scores:
        assert (labels.read(1) == 1).all()
        score = polygons_in(tmp_path / "out.gpkg")[1]["score"][0]
        np.testing.assert_allclose(scores.read(1)[100:104, 100:104], score, atol=1e-4)


def test_negatives_are_never_output_and_everything_else_fills_the_rest(truth, request_for, tmp_path):
    names = ("building", "water", "everything else")
    list(
        planted_engine(Truth(truth.classes.copy(), truth.objects)).run(request_for("building, water, -road, *"), never)
    )
    labels = burnt(tmp_path / "out.gpkg", names)
    # The planted classes are 0 building, 1 water, 2 road, which is the legend's order: positives first.
    expected = np.choose(truth.classes + 1, [3, 1, 2, 3])
    np.testing.assert_array_equal(labels, expected)
    _, fields = polygons_in(tmp_path / "out.gpkg")
    assert "road" in set(fields["runner_up"])


def test_memory_that_runs_out_is_handled_in_steps_and_said(truth, request_for):
    failures = iter([True] * 2 + [False] * 99)

    def scarce(window):
        if next(failures):
            raise MemoryError("no room")

    events = list(planted_engine(truth, scarce).run(request_for(), never))
    notes = [event.message for event in events if isinstance(event, Warned) and "Memory ran out" in event.message]
    assert len(notes) == 2
    assert "4 times smaller" in notes[1]
    assert set(notes) <= set(events[-1].notes)


class Answering(PlantedPipeline):
    """A planted pipeline whose answer may be changed; `on_answer` may raise."""

    def __init__(self, truth, names, on_tile, change, on_answer=lambda control: None) -> None:
        super().__init__(truth, names, on_tile)
        self._change, self._on_answer = change, on_answer

    def answer(self, observation, control):
        self._on_answer(control)
        return self._change(super().answer(observation, control))


def same(answer: Answer) -> Answer:
    return answer


def test_memory_that_runs_out_while_a_tile_is_answered_is_handled_without_looking_at_it_again(
    truth, request_for, tmp_path
):
    failures, seen = iter([True] * 2 + [False] * 99), []

    def scarce(control):
        if next(failures):
            raise MemoryError("no room")

    engine = Engine({"sam-clip": lambda inputs: Answering(truth, inputs.legend, seen.append, same, scarce)})
    events = list(engine.run(request_for(), never))
    notes = [event.message for event in events if isinstance(event, Warned) and "Memory ran out" in event.message]
    assert len(notes) == 2
    assert len(seen) == 9
    np.testing.assert_array_equal(burnt(tmp_path / "out.gpkg"), truth.classes + 1)


def test_a_cancel_reaches_a_pipeline_that_is_answering(truth, request_for, tmp_path):
    asked = []

    def cancelled(control):
        asked.append(control.should_stop())
        raise Cancelled("The run was cancelled.")

    stop = []
    engine = Engine({"sam-clip": lambda inputs: Answering(truth, inputs.legend, stop.append, same, cancelled)})
    with pytest.raises(Cancelled):
        list(engine.run(request_for(), lambda: bool(stop)))
    assert asked == [True]
    assert not (tmp_path / "out.gpkg").exists()


def test_objects_that_went_into_the_map_are_counted_as_found(truth, request_for):
    def merged(answer: Answer) -> Answer:
        return Answer((), answer.class_map, (0, 0, 2, -1))

    engine = Engine({"sam-clip": lambda inputs: Answering(truth, inputs.legend, lambda window: None, merged)})
    found = [event for event in engine.run(request_for(), never) if isinstance(event, Found)]
    assert found[0].counts == {"building": 2, "water": 1}
    assert found[-1].counts == {"building": 18, "water": 9}


def test_memory_that_never_suffices_is_an_error_in_words(truth, request_for):
    def full(window):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    with pytest.raises(MemoryExhausted, match="smaller tile_px"):
        list(planted_engine(truth, full).run(request_for(), never))


def test_models_that_do_not_fit_on_the_device_run_on_the_cpu_and_the_result_says_so(truth, request_for, monkeypatch):
    tried = []

    def load(inputs):
        tried.append(inputs.control.device.type)
        if inputs.control.device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return PlantedPipeline(truth, inputs.legend)

    monkeypatch.setattr("rs_textseg_plugin.engine.job.plan.choose_device", lambda wanted: torch.device("meta"))
    asked = request_for(competitor="background")  # a vocabulary is compared with CLIP's words, which no meta device can
    events = list(Engine({"sam-clip": load}).run(asked, never))
    assert tried == ["meta", "cpu"]
    assert any("did not fit" in event.message for event in events if isinstance(event, Warned))
    assert any("did not fit" in note for note in events[-1].notes)
    assert events[-1].device.startswith("CPU")


def test_memory_that_runs_out_while_tiles_are_joined_is_an_error_in_words(truth, request_for, monkeypatch):
    def full(self, tile):
        raise MemoryError("no room for a core")

    monkeypatch.setattr("rs_textseg_plugin.engine.mosaic.painting.Painter.paint", full)
    with pytest.raises(MemoryExhausted, match="no room for a core"):
        list(planted_engine(truth).run(request_for(), never))


def test_other_errors_of_the_models_are_not_taken_for_memory(truth, request_for):
    def broken(window):
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(planted_engine(truth, broken).run(request_for(), never))


def test_a_second_question_about_the_same_raster_looks_at_no_tile_again(truth, request_for, raster):
    seen = []
    engine = planted_engine(truth, seen.append)
    list(engine.run(request_for("building, road, water"), never))
    first = len(seen)
    list(engine.run(request_for("ship, pier, sand", prob_threshold=0.3), never))
    assert (first, len(seen)) == (9, 9)
    with rasterio.open(raster, "r+") as file:
        file.write(np.full((1, 5, 5), 9, np.uint8), [1], window=rasterio.windows.Window(0, 0, 5, 5))
    list(engine.run(request_for("building, road, water"), never))
    assert len(seen) == 18


def test_a_repainted_source_of_a_vrt_is_looked_at_again(truth, request_for, raster):
    vrt = raster.with_name("scene.vrt")
    gdal.BuildVRT(str(vrt), [str(raster)]).FlushCache()
    seen = []
    engine = planted_engine(truth, seen.append)
    request = request_for()
    request = replace(request, scene=replace(request.scene, path=str(vrt)))
    list(engine.run(request, never))
    list(engine.run(request, never))
    assert len(seen) == 9
    with rasterio.open(raster, "r+") as file:
        file.write(np.full((1, 5, 5), 9, np.uint8), [1], window=rasterio.windows.Window(0, 0, 5, 5))
    list(engine.run(request, never))
    assert len(seen) == 18


def test_a_raster_that_is_changed_during_the_run_is_told_in_the_result(truth, request_for, raster, tmp_path):
    def repaint(window):
        with rasterio.open(raster, "r+") as file:
            file.write(np.full((1, 5, 5), 9, np.uint8), [1], window=rasterio.windows.Window(0, 0, 5, 5))

    request = request_for()
    output = replace(request.output, label_raster=str(tmp_path / "labels.tif"))
    events = list(planted_engine(truth, repaint).run(replace(request, output=output), never))
    note = f"{raster} was changed during the run, so the result may mix what it held before and after: run again."
    assert note in events[-1].notes
    assert note in [event.message for event in events if isinstance(event, Warned)]
    stored = json.loads(pyogrio.read_info(tmp_path / "out.gpkg")["layer_metadata"][PROVENANCE_KEY])
    assert note in stored["notes"]


def test_nothing_is_remembered_of_a_raster_whose_changes_nobody_would_see(truth, request_for, raster):
    seen = []
    engine = planted_engine(truth, seen.append)
    with rasterio.MemoryFile(raster.read_bytes()) as memory:
        request = request_for()
        request = replace(request, scene=replace(request.scene, path=memory.name))
        list(engine.run(request, never))
        list(engine.run(request, never))
    assert len(seen) == 18


def test_models_of_an_earlier_query_make_room_before_anything_gets_smaller(truth, request_for, tmp_path):
    """A detector, which the query does not need, is in memory, and a tile does not fit beside it."""
    seen = []

    def scarce(window):
        if earlier() is not None:
            raise MemoryError("no room")
        seen.append(window)

    engine = planted_engine(truth, scarce)
    weights = write_tiny_detector(tmp_path / "detector")
    checkpoint = verified(ModelFile("detector", weights.name), weights.parent)
    earlier = weakref.ref(engine.models.get(checkpoint, torch.device("cpu"), torch.float32))
    finished = list(engine.run(request_for(), never))[-1]
    assert len(seen) == 9
    assert [note for note in finished.notes if "Memory ran out" in note] == []


def test_models_of_an_earlier_query_make_room_for_those_of_the_next(truth, request_for, tmp_path):
    weights = write_tiny_detector(tmp_path / "detector")
    checkpoint = verified(ModelFile("detector", weights.name), weights.parent)

    def load(inputs):
        if earlier() is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return PlantedPipeline(truth, inputs.legend)

    engine = Engine({"sam-clip": load})
    earlier = weakref.ref(engine.models.get(checkpoint, torch.device("cpu"), torch.float32))
    finished = list(engine.run(request_for(), never))[-1]
    assert [note for note in finished.notes if "did not fit" in note] == []


def test_provenance_is_enough_to_repeat_the_run(truth, request_for, tmp_path):
    request = request_for()
    list(planted_engine(truth).run(request, never))
    stored = json.loads(pyogrio.read_info(tmp_path / "out.gpkg")["layer_metadata"][PROVENANCE_KEY])
    assert Request.from_json(stored["request"]) == request
    assert stored["parameters"]["points_per_side"] == 20
    assert set(stored["models"]) == {"sam", "clip"}
    assert all(len(model["sha256"]) == 64 for model in stored["models"].values())


def test_requests_that_cannot_be_met_are_refused_before_any_work(request_for):
    request = request_for()
    with pytest.raises(RecipeError, match="sam-klip"):
        check_request(replace(request, recipe=replace(request.recipe, pipeline="sam-klip")))
    with pytest.raises(RecipeError, match="points_per_side"):
        check_request(replace(request, recipe=replace(request.recipe, parameters={"points_per_side": 0})))
    with pytest.raises(QueryError, match="class lists"):
        check_request(replace(request, query=parse_phrase("the bridge")))
    with pytest.raises(QueryError, match="256 classes"):
        check_request(replace(request, query=parse_class_list(",".join(f"thing{i}" for i in range(256)))))
    with pytest.raises(OutputError, match="is the raster that is segmented"):
        check_request(replace(request, output=replace(request.output, label_raster=request.scene.path)))


def test_a_result_whose_target_is_taken_at_the_end_lies_beside_it_and_the_last_event_says_where(
    truth, request_for, tmp_path
):
    """Somebody makes a folder of that name while the run is under way: what cannot be replaced on any system."""
    request = request_for()
    output = replace(request.output, label_raster=str(tmp_path / "l.tif"))
    run = planted_engine(truth).run(replace(request, output=output), never)
    for event in run:
        if isinstance(event, Progress) and event.stage == "Joining tiles" and event.tiles_done == 1:
            (tmp_path / "out.gpkg").mkdir()
        finished = event
    assert finished.path == str(tmp_path / "out-2.gpkg")
    assert finished.label_raster == str(tmp_path / "l.tif")
    assert len(polygons_in(finished.path)[0]) == truth.objects.max()
    assert [note for note in finished.notes if "out.gpkg could not be replaced" in note and "out-2.gpkg" in note]


def test_a_second_run_with_the_same_output_is_told_and_the_first_one_is_not_disturbed(truth, request_for, tmp_path):
    first = planted_engine(truth).run(request_for(), never)
    next(first)
    with pytest.raises(OutputError, match=r"Another run is writing to .*out\.gpkg: wait until it has ended"):
        next(planted_engine(truth).run(request_for(), never))
    list(first)
    np.testing.assert_array_equal(burnt(tmp_path / "out.gpkg"), truth.classes + 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gpkg", "scene.tif"]
