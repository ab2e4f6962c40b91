"""The worker process with the real engine."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient


@pytest.fixture(scope="module")
def client():
    client = WorkerProcessClient(Path(sys.executable))
    yield client
    client.close()


@pytest.fixture
def request_of_one_tile(make_request, raster_file, tiny_models, tmp_path):
    request = make_request("road, water", raster=str(raster_file), output=str(tmp_path / "result.gpkg"))
    recipe = Recipe(models=str(tiny_models), parameters={"points_per_side": 2, "templates": "1"}, device="cpu")
    return dataclasses.replace(request, recipe=recipe)


def test_the_worker_answers_cancels_refuses_and_answers_again(client, request_of_one_tile, tmp_path):
    *_, last = client.run(request_of_one_tile)
    assert isinstance(last, Finished)
    assert Path(last.path).is_file()
    Path(last.path).unlink()

    events = []
    for event in client.run(request_of_one_tile):
        events.append(event)
        client.cancel()
    assert events[-1].kind == "Cancelled"
    assert not Path(last.path).exists()

    nowhere = dataclasses.replace(request_of_one_tile.recipe, models=str(tmp_path / "nowhere"))
    *_, refused = client.run(dataclasses.replace(request_of_one_tile, recipe=nowhere))
    assert refused.kind == "ModelError"

    *_, again = client.run(request_of_one_tile)
    assert isinstance(again, Finished)
    assert client.is_warm
