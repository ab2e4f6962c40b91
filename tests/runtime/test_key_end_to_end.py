"""The key on its way from QGIS's process to the server, and nowhere else: a real worker, a real server on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path

import pytest
from openai_server import OpenAiServer, fails, says

from rs_textseg_plugin.contract.events import Failed, Finished
from rs_textseg_plugin.contract.query import parse_phrase
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output
from rs_textseg_plugin.contract.server.api_key import VARIABLE
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient

KEY = "sk-" + "hIdDeN" * 5
ANSWER = json.dumps(
    {"instances": [{"label": "house", "box": [8, 8, 40, 40], "positive_points": [[20, 20]], "confidence": 0.9}]}
)


@pytest.fixture
def serve(monkeypatch):
    """Start a server with a script, which is closed with the test; the worker reaches it without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with contextlib.ExitStack() as servers:
        yield lambda *script: servers.enter_context(OpenAiServer(*script))


@pytest.fixture
def asked(make_request, raster_file, tiny_models, tmp_path):
    """A request that writes every file there is."""

    def build(server: OpenAiServer):
        folder = tmp_path / "results"
        folder.mkdir()
        names = ("result.gpkg", "labels.tif", "scores.tif", "map.png")
        output = Output(*(str(folder / name) for name in names), clicks=str(folder / "clicks.geojson"))
        given = {"base_url": server.base_url, "model": "scripted", "tries": 1}
        recipe = Recipe("vlm-sam", str(tiny_models), given, device="cpu")
        request = make_request("road", raster=str(raster_file))
        return dataclasses.replace(
            request, query=parse_phrase("the house"), recipe=recipe, output=output, consent_to_send=server.base_url
        )

    return build


@pytest.fixture(scope="module")
def client():
    client = WorkerProcessClient(Path(sys.executable), api_key=lambda: KEY)
    yield client
    client.close()


def files_with(text: str, folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if text.encode() in path.read_bytes()}


def test_the_key_reaches_the_server_and_no_file_and_no_event(serve, client, asked, tmp_path):
    server = serve(says(ANSWER))
    events = list(client.run(asked(server)))
    assert isinstance(events[-1], Finished), events[-1]
    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(events)
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names >= {"result.gpkg", "labels.tif", "scores.tif", "map.png", "clicks.geojson"}
    assert files_with(server.base_url, tmp_path) >= {"result.gpkg", "labels.tif"}  # so the key would be found as well
    assert files_with(KEY, tmp_path) == set()


def test_a_server_that_sends_the_key_back_gets_it_into_no_event_and_no_log(serve, client, asked):
    server = serve(fails(403, f"Your key {KEY} is not for this."))
    *_, last = client.run(asked(server))
    assert isinstance(last, Failed)
    assert last.message.startswith(f"The server {server.base_url} (model scripted) does not let the key in")
    assert KEY not in repr(last)


def test_without_one_of_its_own_the_worker_takes_the_key_of_the_environment(serve, asked, monkeypatch):
    monkeypatch.setenv(VARIABLE, "sk-of-the-environment")
    server = serve(says(ANSWER))
    client = WorkerProcessClient(Path(sys.executable))
    try:
        *_, last = client.run(asked(server))
    finally:
        client.close()
    assert isinstance(last, Finished), last
    assert server.received[0].headers["authorization"] == "Bearer sk-of-the-environment"
