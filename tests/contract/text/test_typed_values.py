"""Values as they are typed: bands, numbers, extents, parameters, devices."""

from __future__ import annotations

import math

import pytest

from rs_textseg_plugin.contract.errors import RecipeError, SceneError
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.text.typed_values import (
    parse_bands,
    parse_device,
    parse_extent,
    parse_nodata,
    parse_parameters,
    parse_precision,
    parse_resolution,
    split_parameters,
)


def test_bands_are_one_or_three_numbers(subtests):
    for text, bands in (
        ("", ()),
        (" ", ()),
        ("4", (4,)),
        ("3,2,1", (3, 2, 1)),
        (" 1 2  3 ", (1, 2, 3)),
        ("4, 3 ,2", (4, 3, 2)),
        ("12,1,1", (12, 1, 1)),
    ):
        with subtests.test(text):
            assert parse_bands(text) == bands


def test_other_bands_are_refused_with_their_text(subtests):
    for text in ("1,2", "0", "1,0,2", "red", "1,2,red", "1;2;3", "-1", "1.0", "1,2,3,4"):
        with subtests.test(text), pytest.raises(SceneError, match=f"The bands '{text}' are not understood"):
            parse_bands(text)


def test_a_value_for_missing_pixels_is_any_number_or_none(subtests):
    for text, value in (("", None), ("  ", None), ("-9999", -9999.0), (" 0 ", 0.0), ("1e20", 1e20)):
        with subtests.test(text):
            assert parse_nodata(text) == value
    assert math.isnan(parse_nodata("nan"))
    assert math.isnan(parse_nodata(" NaN"))
    with pytest.raises(SceneError, match="The nodata value 'none' is not understood: write a number"):
        parse_nodata("none")


def test_a_resolution_is_a_length_in_metres_or_none(subtests):
    for text, metres in (("", None), (" ", None), ("0.5", 0.5), (" 10 ", 10.0)):
        with subtests.test(text):
            assert parse_resolution(text) == metres
    for text in ("0", "-1", "inf", "nan", "x", "0,5", "1 m"):
        with subtests.test(text), pytest.raises(SceneError, match=f"The resolution '{text}' is not understood: write"):
            parse_resolution(text)


def test_an_extent_is_two_corners_or_all_of_the_raster():
    assert parse_extent("") is None
    assert parse_extent("1,2,3,4") == Extent(1.0, 2.0, 3.0, 4.0)
    assert parse_extent(" -5.5 , 40, -5.25, 4.1e1") == Extent(-5.5, 40.0, -5.25, 41.0)


def test_what_is_no_extent_is_refused_with_its_text(subtests):
    for text, reason in (
        ("1,2,3", "is not understood: write xmin,ymin,xmax,ymax"),
        ("1,2,3,4,5", "is not understood"),
        ("1,2,3,x", "is not understood"),
        ("1 2 3 4", "is not understood"),
        ("3,2,1,4", "is empty: xmin must be below xmax"),
        ("1,2,1,4", "is empty"),
        ("1,4,3,2", "is empty"),
    ):
        with subtests.test(text), pytest.raises(SceneError, match=f"The extent '{text}' {reason}"):
            parse_extent(text)


def test_parameters_are_pairs(subtests):
    for text, values in (
        ("", {}),
        (" ; ", {}),
        ("points_per_side=8", {"points_per_side": "8"}),
        (" a = 1 ; b=x=y ;", {"a": "1", "b": "x=y"}),
        ("competitor=", {"competitor": ""}),
    ):
        with subtests.test(text):
            assert parse_parameters(split_parameters(text)) == values


def test_a_separate_entry_may_hold_a_semicolon():
    assert parse_parameters(["competitor=sea;sand", " b = 2"]) == {"competitor": "sea;sand", "b": "2"}


def test_an_entry_that_is_no_pair_is_refused(subtests):
    for entry in ("points_per_side", "=8", " = ", ""):
        with subtests.test(entry), pytest.raises(RecipeError, match=f"'{entry.strip()}' is not understood: write key="):
            parse_parameters(["a=1", entry])


def test_a_key_that_is_given_twice_is_refused(subtests):
    for entries in (["a=1", "a=2"], ["a=1", "b=1", " a =1"]):
        with (
            subtests.test(entries=entries),
            pytest.raises(RecipeError, match="The parameter 'a' is given twice: keep one"),
        ):
            parse_parameters(entries)


def test_a_device_is_a_kind_or_one_gpu_of_several(subtests):
    for text in ("auto", "cpu", "cuda", "mps", "cuda:0", "cuda:1", "cuda:15"):
        with subtests.test(text):
            assert parse_device(text) == text
    for text in ("tpu", "", "CPU", " cpu", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda:1\n", "mps:1", "gpu"):
        with subtests.test(text), pytest.raises(RecipeError) as caught:
            parse_device(text)
        assert str(caught.value) == (
            f"There is no device {text!r}: choose auto, cpu, cuda, mps, or cuda:1 for a second GPU."
        )


def test_a_precision_is_one_of_three(subtests):
    for text in ("auto", "fp32", "bf16"):
        with subtests.test(text):
            assert parse_precision(text) == text
    for text in ("fp16", "", "FP32"):
        with subtests.test(text), pytest.raises(RecipeError, match=f"no precision '{text}': choose auto, fp32, bf16"):
            parse_precision(text)
