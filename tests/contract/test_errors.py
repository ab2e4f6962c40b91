"""The tree of errors and its way across the wire."""

from __future__ import annotations

from rs_textseg_plugin.contract import errors
from rs_textseg_plugin.contract.errors import (
    Cancelled,
    EngineError,
    InputError,
    QueryError,
    TextSegError,
    error_from_name,
    shown,
)

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


def test_a_message_has_an_end_and_keeps_its_own():
    message = str(QueryError(f"{'x' * 1_000_000} is wrong: take another."))
    assert len(message) <= 2000
    assert message.endswith("is wrong: take another.")


def test_a_message_shows_control_characters_and_does_not_obey_them():
    assert str(QueryError("a\x1b[2Jb\x9bc\nd\te")) == "a\\x1b[2Jb\\x9bc\nd\te"


def test_a_value_is_shown_in_quotes_and_with_an_end(subtests):
    for value, words in (("road", "'road'"), ("a\x07", "'a\\x07'"), (7, "7"), ("x" * 80, f"'{'x' * 80}'")):
        with subtests.test(words):
            assert shown(value) == words
    for value in ("x" * 81, "\x07" * 10**6, list(range(1000))):
        assert len(shown(value)) <= 84
        assert "..." in shown(value)
