"""Messages and requests on their way between the two processes."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_textseg_plugin.contract.errors import MemoryExhausted, WireError
from rs_textseg_plugin.contract.events import ClassSummary, Failed, Finished, Found, Progress, Warned
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.query import ClassSpec, Query, parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene, Stretch
from rs_textseg_plugin.contract.version import PROTOCOL, VERSION
from rs_textseg_plugin.contract.wire import Cancel, Key, Loaded, Ready, Run, RunEvent, Stop, decode, encode

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=12)
EXTENTS = st.builds(Extent, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
CLASSES = st.builds(ClassSpec, TEXTS, st.lists(TEXTS, max_size=3).map(tuple), TEXTS, st.booleans())
SCENES = st.builds(
    Scene,
    path=TEXTS,
    bands=st.lists(st.integers(1, 12), max_size=3).map(tuple),
    stretch=st.builds(Stretch, TEXTS, NUMBERS, NUMBERS),
    nodata=st.none() | NUMBERS,
    extent=st.none() | EXTENTS,
    mask_wkb_hex=TEXTS,
    ground_resolution_m=st.none() | NUMBERS,
    crs_wkt=TEXTS,
)
QUERIES = st.builds(Query, TEXTS, st.lists(CLASSES, max_size=3).map(tuple), st.booleans(), TEXTS)
VALUES = st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS
RECIPES = st.builds(Recipe, parameters=st.dictionaries(TEXTS, VALUES, max_size=3), models=TEXTS, device=TEXTS)
REQUESTS = st.builds(Request, SCENES, QUERIES, RECIPES, st.builds(Output, TEXTS, TEXTS, TEXTS, TEXTS))

SUMMARY = ClassSummary("Straße", "#6b6b6b", 12, 345.6, 0.71)
MESSAGES = [
    Ready(PROTOCOL, VERSION, 4711),
    Loaded(),
    Key("sk-1"),
    Key(""),
    Cancel("run 1"),
    Stop(),
    RunEvent("1", Progress("Looking at tiles", 3, 10, 0.25, None)),
    RunEvent("1", Progress("Looking at tiles", 4, 10, 0.35, 12.5)),
    RunEvent("1", Found({"road": 3, "Straße": 0})),
    RunEvent("1", Warned('two\nlines, "quotes" and \u2028')),
    RunEvent(
        "1", Finished("a.gpkg", (SUMMARY, SUMMARY), ("note",), "l.tif", "s.tif", "m.png", "CPU", ("sam",), True, 9.5)
    ),
    RunEvent("1", Finished("a.gpkg", ())),
    RunEvent("1", Failed("MemoryExhausted", "Out of memory.", "Traceback\n...")),
]
REQUEST = Request(Scene("a.tif"), parse_class_list("road"), Recipe(), Output("a.gpkg"))

GARBAGE = [
    "",
    "\n",
    "no json",
    "null",
    "5",
    '"run"',
    "[]",
    "{}",
    '{"type":"dance"}',
    '{"type":["run"]}',
    '{"type":"run","id":"1"}',
    '{"type":"run","id":"1","request":{}}',
    '{"type":"run","id":"1","request":5}',
    '{"type":"cancel"}',
    '{"type":"cancel","id":["a"]}',
    '{"type":"ready","protocol":1}',
    '{"type":"progress","stage":"x"}',
    '{"type":"progress","id":"1","stage":"x"}',
    '{"type":"warned","id":"1","message":"x","more":1}',
    '{"type":"finished","id":"1","path":"x","classes":5,"notes":[],"models":[]}',
    '{"type":"stop"',
    "[" * 100_000,
    '{"type":' + "9" * 5000 + "}",
]


@QUICK
@given(REQUESTS)
def test_a_request_is_the_same_after_the_wire(request):
    assert decode(encode(Run("1", request))) == Run("1", request)


def test_a_message_is_the_same_after_the_wire(subtests):
    for message in MESSAGES:
        with subtests.test(message=message):
            assert decode(encode(message)) == message


def test_a_message_is_one_line_of_ascii(subtests):
    for message in (*MESSAGES, Run("1", REQUEST)):
        with subtests.test(message=message):
            line = encode(message)
            assert line.isascii()
            assert line.endswith("\n")
            assert len(line.splitlines()) == 1


def test_a_path_that_is_no_unicode_crosses_the_wire():
    path = str(Path(b"/data/Stra\xdfe.tif".decode("utf-8", "surrogateescape")))
    request = Request(Scene(path), REQUEST.query, REQUEST.recipe, REQUEST.output)
    assert decode(encode(Run("1", request))).request.scene.path == path


def test_garbage_is_a_wire_error_that_says_how_long_the_line_is(subtests):
    for line in GARBAGE:
        with subtests.test(line=line):
            with pytest.raises(WireError) as caught:
                decode(line)
            assert f"A line of {len(line)} characters" in str(caught.value) or "request" in str(caught.value)
            assert len(str(caught.value)) < 400


@QUICK
@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8))
def test_any_json_that_is_no_message_is_a_wire_error(data):
    with pytest.raises(WireError):
        decode(json.dumps(data))


def test_a_request_of_another_version_is_refused_with_the_advice_to_update(subtests):
    for part, damage in (
        ("scene", {"newer": 1}),
        ("recipe", {"newer": 1}),
        ("output", {"newer": 1}),
        ("scene", {"bands": None}),
        ("scene", {"extent": [1, 2, 3, 4]}),
        ("query", {"classes": None}),
        ("query", {"classes": [{"name": "road"}]}),
    ):
        with subtests.test(part, damage=damage):
            data = REQUEST.to_json()
            data[part].update(damage)
            with pytest.raises(WireError, match="update both"):
                Request.from_json(data)


def test_a_failure_becomes_the_error_that_it_was():
    error = Failed("MemoryExhausted", "Out of memory.").to_error()
    assert type(error) is MemoryExhausted
    assert str(error) == "Out of memory."


LINES_WITH_A_KEY = [
    '{"type":"key","value":"sk-hidden"',
    '{"type":"key","value":["sk-hidden"]}',
    '{"type":"key","sk-hidden":1}',
    '{"type":"api key","value":"sk-hidden"}',
    "key sk-hidden",
    '{"type":"kee","value":"sk-hidden"}',
    '{"type":"sk-hidden"}',
    '{"typ":"key","value":"sk-hidden"}',
    '{"type":"run","value":"sk-hidden"}',
    '{"type":"warned","id":"1","sk-hidden":1}',
    '{"type":"ready","sk-hidden":1}',
    '"sk-hidden"',
]


def test_a_line_that_may_hold_a_key_is_not_shown(subtests):
    for line in LINES_WITH_A_KEY:
        with subtests.test(line=line):
            with pytest.raises(WireError, match="not shown") as caught:
                decode(line)
            assert "sk-hidden" not in "".join(traceback.format_exception(caught.value))


def test_a_key_has_no_repr():
    assert repr(Key("sk-hidden")) == "Key()"
