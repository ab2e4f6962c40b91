"""The key of an endpoint: it is read, cleaned and refused, and never shown."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import InputError
from rs_textseg_plugin.contract.server.api_key import VARIABLE, checked_key, key_from_environment, no_key, without_key

KEY = "sk-" + "a1B2c3" * 5


def test_the_key_comes_from_the_environment_variable_without_white_space_around_it():
    assert key_from_environment({VARIABLE: f" {KEY}\n", "OPENAI_API_KEY": "another"}) == KEY


def test_without_the_variable_there_is_no_key():
    assert key_from_environment({"OPENAI_API_KEY": "another"}) == no_key() == ""


def test_a_key_of_visible_ascii_is_taken_without_white_space_around_it(subtests):
    for key in ("", KEY, f"{KEY}\r\n", "~!"):
        with subtests.test(key=key):
            assert checked_key(key) == key.strip()


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(subtests):
    for damage in (" ", "\n", "\r\nX-More: 1", "\u00e9", "\u200b", "\x00", "\x7f"):
        with subtests.test(damage=damage):
            with pytest.raises(InputError, match=VARIABLE) as caught:
                checked_key(KEY + damage + KEY)
            assert "a1B2" not in str(caught.value)


def test_a_key_in_a_text_becomes_unreadable_wherever_it_stands():
    assert without_key(f"{KEY}: no, {KEY}!", KEY) == "***: no, ***!"
    assert without_key("nothing to hide", "") == "nothing to hide"
