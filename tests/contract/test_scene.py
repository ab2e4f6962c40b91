"""What is looked at."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.scene import Stretch, default_bands


def test_a_stretch_is_read(subtests):
    for text, stretch in (
        ("auto", Stretch("auto")),
        ("none", Stretch("none")),
        ("percentile", Stretch("percentile", 2.0, 98.0)),
        ("percentile:1:99.5", Stretch("percentile", 1.0, 99.5)),
        ("percentile:0:100", Stretch("percentile", 0.0, 100.0)),
        ("range:0:4000", Stretch("range", 0.0, 4000.0)),
        ("range:-1.5:2.5", Stretch("range", -1.5, 2.5)),
    ):
        with subtests.test(text=text):
            assert Stretch.parse(text) == stretch


def test_a_stretch_that_makes_no_sense_is_refused_with_its_text(subtests):
    for text in (
        "",
        "linear",
        "range",
        "range:5",
        "range:5:5",
        "range:9:5",
        "range:0:1:2",
        "range:a:b",
        "range:nan:5",
        "range:0:nan",
        "range:-inf:inf",
        "percentile:-1:50",
        "percentile:2:101",
        "percentile:98:2",
        "auto:0:255",
        "none:0:255",
        "Percentile:2:98",
    ):
        with subtests.test(text=text):
            with pytest.raises(SceneError, match="stretch") as caught:
                Stretch.parse(text)
            assert repr(text) in str(caught.value)


def test_without_a_choice_the_first_three_bands_are_read_or_the_first_of_fewer():
    assert [default_bands(count) for count in (1, 2, 3, 8)] == [(1,), (1,), (1, 2, 3), (1, 2, 3)]
