"""The key of an endpoint: it is read, cleaned and refused, and never shown."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote

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


def test_a_key_in_a_text_becomes_unreadable_however_it_is_written(subtests):
    key = "sk-a/1+B=2~c.3_D"
    every_letter = "".join(f"%{byte:02X}" for byte in key.encode())
    standard = [
        base64.b64encode(f"{before}{key}{after}".encode()).decode()
        for before in ("", "u:", "me:")
        for after in ("", "!!")
    ]
    for written in (
        key,
        quote(key, safe=""),
        re.sub("%..", lambda code: code[0].lower(), quote(key, safe="")),
        quote(quote(key, safe=""), safe=""),
        every_letter,
        json.dumps(key),
        json.dumps(key).replace("/", r"\/"),
        "".join(f"\\u{ord(letter):04x}" for letter in key),
        *standard,
        *(text.translate(str.maketrans("+/", "-_")) for text in standard),
        *(quote(text, safe="") for text in standard),
    ):
        with subtests.test(written):
            cleaned = without_key(f"before {written} after", key)
            assert cleaned.startswith("before ")
            assert cleaned.endswith(" after")
            assert "***" in cleaned
            assert len(cleaned.replace("***", "")) <= len("before  after") + 12  # what stood beside it in base64


def test_a_word_too_short_to_be_a_secret_leaves_texts_as_they_are(subtests):
    for key in ("", "a", "sk1"):
        with subtests.test(key):
            assert without_key('{"label": "a sk1"}', key) == '{"label": "a sk1"}'
