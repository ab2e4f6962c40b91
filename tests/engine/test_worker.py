from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import pytest

import rs_textseg_plugin
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.wire import Cancel, Key, Run, encode

STAGED = Path(rs_textseg_plugin.__file__).parent.parent
NO_MESSAGES = (
    b"\xff\xfe\n",
    b'{"type":"cancel","id":["a"]}\n',
    b'{"type":"run","id":1}\n',
    b"[" * 100_000 + b"\n",
    b"\n",
)


@pytest.fixture
def a_run(tmp_path):
    request = Request(
        Scene(str(tmp_path / "none.tif")), parse_class_list("road"), Recipe(), Output(str(tmp_path / "a.gpkg"))
    )
    return lambda run_id: encode(Run(run_id, request)).encode()


def answers(*lines: bytes, runs: int) -> dict[str, str]:
    """Send lines to a real worker whose locale is strict; return what its runs ended with, by their ids."""
    command = [sys.executable, "-m", "rs_textseg_plugin.engine", "worker"]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=STAGED, env=strict) as worker:
        too_long = threading.Timer(60, worker.kill)
        too_long.start()
        worker.stdin.write(b"".join(lines))
        worker.stdin.flush()
        ends = (event for event in map(json.loads, worker.stdout) if event["type"] == "failed")
        kinds = {event["id"]: event["kind"] for event in islice(ends, runs)}
        worker.stdin.close()
        too_long.cancel()
    return kinds


def test_lines_that_are_no_messages_are_left_out(a_run):
    assert answers(*NO_MESSAGES, a_run("after them"), runs=1) == {"after them": "SceneError"}


def test_a_run_that_was_cancelled_while_it_waited_does_not_begin(a_run):
    lines = (a_run("first"), a_run("second"), encode(Cancel("second")).encode())
    assert answers(*lines, runs=2) == {"first": "SceneError", "second": "Cancelled"}


def test_a_run_that_cannot_be_read_is_answered_all_the_same(a_run):
    unreadable = b'{"type":"run","id":"strange","request":{"scene":{}}}\n'
    assert answers(unreadable, a_run("next"), runs=2) == {"strange": "WireError", "next": "SceneError"}


def test_a_key_whole_or_damaged_is_not_in_what_the_worker_says(a_run, capfd):
    whole = encode(Key("sk-hidden")).encode()
    assert answers(whole, whole[:-3] + b"\n", a_run("next"), runs=1) == {"next": "SceneError"}
    said = capfd.readouterr().err
    assert "not shown" in said
    assert "sk-hidden" not in said
