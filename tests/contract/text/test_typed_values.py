from __future__ import annotations

import pytest
from rs_textseg_plugin.algorithms.parameter_text import parse_bands, parse_parameters

from rs_textseg_plugin.contract.errors import RecipeError, SceneError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("points_per_side=8", {"points_per_side": "8"}),
        (" a = 1 ; b=x=y ;", {"a": "1", "b": "x=y"}),
        ("competitor=", {"competitor": ""}),
    ],
)
def test_parameters_are_pairs_between_semicolons(text, values):
    assert parse_parameters(text) == values


@pytest.mark.parametrize("text", ["points_per_side", "=8", "a=1;nonsense"])
def test_an_entry_that_is_no_pair_is_refused(text):
    with pytest.raises(RecipeError, match="write key=value"):
        parse_parameters(text)


def test_a_key_that_is_given_twice_is_refused():
    with pytest.raises(RecipeError, match="'a' is given twice"):
        parse_parameters("a=1;a=2")


@pytest.mark.parametrize(("text", "bands"), [("", ()), ("4", (4,)), ("3,2,1", (3, 2, 1)), (" 1 2  3 ", (1, 2, 3))])
def test_bands_are_one_or_three_numbers(text, bands):
    assert parse_bands(text) == bands


@pytest.mark.parametrize("text", ["1,2", "0", "red", "1;2;3", "-1", "1,2,3,4"])
def test_other_bands_are_refused_with_their_text(text):
    with pytest.raises(SceneError, match=f"The bands '{text}' are not understood"):
        parse_bands(text)
