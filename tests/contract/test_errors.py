"""The tree of errors and its way across the wire."""

from __future__ import annotations

from rs_textseg_plugin.contract import errors
from rs_textseg_plugin.contract.errors import Cancelled, EngineError, InputError, TextSegError, error_from_name

EVERY_KIND = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TextSegError)]


def test_an_error_comes_back_from_its_name_as_the_same_kind(subtests):
    for kind in EVERY_KIND:
        with subtests.test(kind.__name__):
            error = error_from_name(kind.__name__, "The file a.tif is missing.")
            assert type(error) is kind
            assert str(error) == "The file a.tif is missing."


def test_an_unknown_name_becomes_an_engine_error(subtests):
    for name in ("NewerError", "", "ValueError", "SystemExit"):
        with subtests.test(name=name):
            assert type(error_from_name(name, "x")) is EngineError


def test_the_exit_status_tells_bad_input_failure_and_cancellation_apart(subtests):
    for kind in EVERY_KIND:
        with subtests.test(kind.__name__):
            wanted = 2 if issubclass(kind, InputError) else 130 if kind is Cancelled else 1
            assert kind("x").exit_status == wanted
