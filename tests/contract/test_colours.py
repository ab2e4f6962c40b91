"""Colours of classes."""

from __future__ import annotations

import re

import pytest

from rs_textseg_plugin.contract.colours import pick_colour


@pytest.mark.parametrize(
    ("words", "colour"), [(("water",), "#2b83ba"), (("WATER",), "#2b83ba"), (("brook", "river"), "#2b83ba")]
)
def test_a_known_thing_has_its_usual_colour(words, colour):
    assert pick_colour(words, []) == colour


def test_a_colour_that_is_taken_is_not_given_again():
    assert pick_colour(("river",), ["#2b83ba"]) != "#2b83ba"


def test_every_class_of_a_long_list_has_a_colour_of_its_own():
    taken: list[str] = []
    for i in range(255):
        taken.append(pick_colour((f"thing {i}",), taken))
    assert len(set(taken)) == 255
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in taken)
