"""The tree of errors and its way across the wire."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract import errors
from rs_textseg_plugin.contract.errors import Cancelled, EngineError, InputError, TextSegError, error_from_name

EVERY_KIND = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TextSegError)]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_an_error_comes_back_from_its_name_as_the_same_kind(kind):
    error = error_from_name(kind.__name__, "The file a.tif is missing.")
    assert type(error) is kind
    assert str(error) == "The file a.tif is missing."


@pytest.mark.parametrize("name", ["NewerError", "", "ValueError", "SystemExit"])
def test_an_unknown_name_becomes_an_engine_error(name):
    assert type(error_from_name(name, "x")) is EngineError


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_exit_status_tells_bad_input_failure_and_cancellation_apart(kind):
    wanted = 2 if issubclass(kind, InputError) else 130 if kind is Cancelled else 1
    assert kind("x").exit_status == wanted
