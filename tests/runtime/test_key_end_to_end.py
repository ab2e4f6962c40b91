"""The key on its way from QGIS's process to the server, and nowhere else: a real worker, a real server on loopback."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from openai_server import OpenAiServer, fails, says

from rs_textseg_plugin.contract.events import Failed, Finished, Warned
from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER
from rs_textseg_plugin.contract.query import parse_phrase
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output
from rs_textseg_plugin.contract.server.api_key import VARIABLE
from rs_textseg_plugin.contract.wire import Key, Stop, encode
from rs_textseg_plugin.runtime.child_environment import worker_environment
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient

KEY = "sk-/" + "hIdDeN" * 5
FORMS = (
    KEY,
    quote(KEY, safe=""),
    base64.b64encode(KEY.encode()).decode(),
    base64.b64encode(b"me:" + KEY.encode()).decode(),
)
PROXY_PASSWORD = "open" + "sesame"
ANSWER = json.dumps(
    {"instances": [{"label": "house", "box": [8, 8, 40, 40], "positive_points": [[20, 20]], "confidence": 0.9}]}
)


@pytest.fixture(scope="module")
def proxy():
    """A proxy that the host hands on, for whatever address; it answers itself."""
    with OpenAiServer(says(ANSWER)) as server, pytest.MonkeyPatch.context() as environment:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            environment.delenv(name, raising=False)
            environment.delenv(name.lower(), raising=False)
        yield server


@pytest.fixture
def serve(proxy):
    """Start a server with a script, which is closed with the test."""
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
        given = {"base_url": server.base_url, "model": "scripted", "tries": 1, "min_area_m2": 0}
        recipe = Recipe("vlm-sam", str(tiny_models), given, device="cpu")
        request = make_request("road", raster=str(raster_file))
        return dataclasses.replace(
            request, query=parse_phrase("the house"), recipe=recipe, output=output, consent_to_send=server.base_url
        )

    return build


@pytest.fixture(scope="module")
def client(proxy):
    handed_on = {"HTTP_PROXY": f"http://ada:{PROXY_PASSWORD}@127.0.0.1:{proxy.port}"}
    client = WorkerProcessClient(Path(sys.executable), api_key=lambda: KEY, proxies=lambda: handed_on)
    yield client
    client.close()


def files_with(text: str, folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if text.encode() in path.read_bytes()}


def test_the_key_reaches_the_server_and_no_proxy_no_file_and_no_event(serve, proxy, client, asked, tmp_path):
    server = serve(says(ANSWER))
    events = list(client.run(asked(server)))
    assert isinstance(events[-1], Finished), events[-1]
    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"
    assert proxy.connections == 0
    assert any(isinstance(event, Warned) and "which stay on this machine" in event.message for event in events)
    assert KEY not in repr(events)
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names >= {"result.gpkg", "labels.tif", "scores.tif", "map.png", "clicks.geojson"}
    assert files_with(server.base_url, tmp_path) >= {"result.gpkg", "labels.tif"}  # so the key would be found as well
    assert files_with(KEY, tmp_path) == set()


def test_an_answer_that_holds_the_key_brings_it_into_no_file_and_no_event(serve, client, asked, tmp_path):
    labels = [{"label": f"roof {form} end", "box": [8 + i, 8, 40 + i, 40]} for i, form in enumerate(FORMS)]
    unusable = [{"label": "roof", "box": [form, 1]} for form in FORMS]
    server = serve(says(json.dumps({"instances": [*labels, *unusable]})))
    events = list(client.run(asked(server)))
    assert isinstance(events[-1], Finished), events[-1]
    assert files_with("***", tmp_path) >= {"result.gpkg", "clicks.geojson"}  # so the key would be there as well
    assert "left out" in repr(events)
    for form in FORMS:
        core = form[6:30]  # letters of it that no neighbour has a part in
        assert core not in repr(events)
        assert files_with(core, tmp_path) == set()


def test_lines_that_are_no_message_are_not_shown_by_the_worker_even_where_they_hold_a_key():
    lines = [encode(Key(KEY)).replace('"key"', '"kee"'), encode(Key(KEY)).replace('"value"', '"valu"'), f"{KEY}\n"]
    listens = "import sys; from rs_textseg_plugin.engine.worker import Inbox; inbox = Inbox(sys.stdin); inbox.start()"
    worker = subprocess.run(
        [sys.executable, "-c", f"{listens}; print(inbox.next_order())"],
        input="".join([*lines, encode(Stop())]),
        env=worker_environment(os.environ),
        cwd=PACKAGE_FOLDER.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert worker.stdout == "None\n"
    assert worker.stderr.count("(not shown)") == 3, worker.stderr
    assert "hIdDeN" not in worker.stderr


def test_the_proxy_that_the_host_hands_on_is_taken_and_told_before_the_first_picture(proxy, client, asked):
    request = asked(proxy)
    elsewhere = "http://vlm.invalid/v1"

    def run(**given: object) -> list:
        recipe = dataclasses.replace(request.recipe, parameters={**request.recipe.parameters, **given})
        return list(client.run(dataclasses.replace(request, recipe=recipe, consent_to_send=elsewhere)))

    *_, refused = run(base_url=elsewhere)
    assert "allow_plain_http=true" in refused.message
    assert proxy.connections == 0
    events = run(base_url=elsewhere, allow_plain_http=True)
    assert isinstance(events[-1], Finished), events[-1]
    assert proxy.received[0].path.startswith(elsewhere)
    told = next(event.message for event in events if isinstance(event, Warned))
    assert told.endswith(f"which leave this machine through the proxy 127.0.0.1:{proxy.port}.")
    assert PROXY_PASSWORD not in repr(events)


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
