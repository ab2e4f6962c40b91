"""Colours of classes."""

from __future__ import annotations

import re

import pytest

from rs_textseg_plugin.contract.colours import Palette, pick_colour


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


def test_a_palette_gives_the_colours_that_picking_one_by_one_gives():
    words = [("building",), ("roof",), ("road", "street"), ("brook", "river"), *((f"thing {i}",) for i in range(300))]
    palette, taken = Palette(), []
    for one in words:
        taken.append(pick_colour(one, taken))
    assert [palette.pick(one) for one in words] == taken


def test_colours_have_no_end():
    palette = Palette()
    assert len({palette.pick((f"thing {i}",)) for i in range(5000)}) > 1500
