"""Parameters: their defaults, their types and their bounds."""

from __future__ import annotations

import math

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.parameter import Parameter

COUNT = Parameter("count", 3, "int", "Help.", "source", 1, 10)
SHARE = Parameter("share", 0.5, "float", "Help.", "source", 0, 1)
SCALE = Parameter("scale", None, "float", "Help.", "source", 0.01)
FLAG = Parameter("flag", False, "bool", "Help.", "source")
WORD = Parameter("word", "a", "str", "Help.", "source", choices=("a", "b"))
TEXT = Parameter("text", "", "str", "Help.", "source")

READABLE = [
    (COUNT, None, 3),
    (COUNT, "7", 7),
    (COUNT, 7, 7),
    (COUNT, 7.0, 7),
    (COUNT, "7.0", 7),
    (COUNT, "1", 1),
    (COUNT, "10", 10),
    (SHARE, "0.25", 0.25),
    (SHARE, 1, 1.0),
    (SHARE, "1e-3", 0.001),
    (SCALE, None, None),
    (SCALE, "auto", None),
    (SCALE, "50", 50.0),
    (FLAG, "true", True),
    (FLAG, "No", False),
    (FLAG, 1, True),
    (FLAG, True, True),
    (WORD, "b", "b"),
    (TEXT, "auto", "auto"),
    (TEXT, 5, "5"),
]

UNREADABLE = [
    (COUNT, "7.5", "whole number from 1 to 10"),
    (COUNT, "many", "whole number from 1 to 10"),
    (COUNT, "", "whole number"),
    (COUNT, "0", "out of its range"),
    (COUNT, 11, "out of its range"),
    (COUNT, "inf", "not understood"),
    (COUNT, "nan", "not understood"),
    (COUNT, math.inf, "not understood"),
    (SHARE, "1.01", "from 0 to 1"),
    (SHARE, "nan", "not understood"),
    (SHARE, "auto", "not understood"),
    (SHARE, True, "not understood"),
    (SCALE, "0", "at least 0.01"),
    (SCALE, "inf", "not understood"),
    (FLAG, "perhaps", "true or false"),
    (WORD, "c", "choose one of a, b"),
    (WORD, "A", "choose one of a, b"),
]


def test_a_value_is_read_in_the_type_of_its_parameter(subtests):
    for parameter, value, wanted in READABLE:
        with subtests.test(parameter=parameter.name, value=value):
            read = parameter.read(value)
            assert read == wanted
            assert type(read) is type(wanted)


def test_a_value_that_does_not_fit_is_refused_with_its_name_and_what_is_wanted(subtests):
    for parameter, value, reason in UNREADABLE:
        with subtests.test(parameter=parameter.name, value=value):
            with pytest.raises(RecipeError, match=reason) as caught:
                parameter.read(value)
            assert f"{parameter.name}={value!r}" in str(caught.value)
