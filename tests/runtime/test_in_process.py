"""The in-process client with the real engine: tiny models with random weights, a raster of one tile."""

from __future__ import annotations

import dataclasses

import pytest

from rs_textseg_plugin.contract.events import Finished, Progress
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.runtime.client import BUSY
from rs_textseg_plugin.runtime.in_process import InProcessClient


@pytest.fixture
def request_of_one_tile(make_request, raster_file, tiny_models, tmp_path):
    request = make_request("road, water", raster=str(raster_file), output=str(tmp_path / "result.gpkg"))
    recipe = Recipe(models=str(tiny_models), parameters={"points_per_side": 2, "templates": "1"}, device="cpu")
    return dataclasses.replace(request, recipe=recipe)


def test_the_engine_runs_in_this_process(request_of_one_tile, tmp_path):
    events = list(InProcessClient().run(request_of_one_tile))
    assert isinstance(events[0], Progress)
    assert isinstance(events[-1], Finished)
    assert (tmp_path / "result.gpkg").is_file()


def test_a_cancelled_run_ends_as_cancelled_and_writes_nothing(request_of_one_tile, tmp_path):
    client, events = InProcessClient(), []
    for event in client.run(request_of_one_tile):
        events.append(event)
        client.cancel()
    assert events[-1].kind == "Cancelled"
    assert not (tmp_path / "result.gpkg").exists()


def test_an_error_of_the_engine_is_an_event_with_its_traceback(request_of_one_tile, tmp_path):
    recipe = dataclasses.replace(request_of_one_tile.recipe, models=str(tmp_path / "nowhere"))
    *_, last = InProcessClient().run(dataclasses.replace(request_of_one_tile, recipe=recipe))
    assert last.kind == "ModelError"
    assert "nowhere" in last.message
    assert "Traceback" in last.details


def test_a_second_run_at_the_same_time_is_refused_and_a_later_one_is_not(request_of_one_tile):
    client = InProcessClient()
    first = client.run(request_of_one_tile)
    next(first)
    assert list(client.run(request_of_one_tile)) == [BUSY]
    client.close()
    *_, last = first
    assert last.kind == "Cancelled"
    *_, last = client.run(request_of_one_tile)
    assert isinstance(last, Finished)
