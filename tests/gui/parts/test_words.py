from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.events import ClassSummary, Finished, Progress
from rs_textseg_plugin.contract.recipe import Parameter
from rs_textseg_plugin.gui.parts.words import (
    answers_in_words,
    area_in_words,
    counts_in_words,
    found_in_words,
    parameter_label,
    progress_in_words,
    reading_in_words,
    result_in_words,
    time_left_in_words,
)


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress("segmenting", 2, 9, 0.2, 130.0), "Segmenting, tile 3 of 9, about 2 min left"),
        (Progress("segmenting", 0, 1, 0.1), "Segmenting, tile 1 of 1"),
        (Progress("loading models", 0, 0, 0.0), "Loading models"),
        (Progress("writing polygons", 9, 9, 0.95, 4.0), "Writing polygons, a few seconds left"),
        (Progress("done", 9, 9, 1.0, 0.0), "Done"),
    ],
)
def test_progress_is_told_by_tile_or_by_stage(progress, words):
    assert progress_in_words(progress) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "a few seconds left"),
        (34, "about 30 s left"),
        (89, "about 90 s left"),
        (90, "about 2 min left"),
        (3600, "about 60 min left"),
        (7300, "about 2 h left"),
    ],
)
def test_the_time_left_is_rounded(seconds, words):
    assert time_left_in_words(seconds) == words


def test_only_classes_that_were_found_are_counted():
    assert counts_in_words({"building": 12, "road": 0, "water": 3}) == "Found so far: building 12, water 3"
    assert counts_in_words({"road": 0}) == ""


@pytest.mark.parametrize(
    ("area_m2", "words"),
    [
        (0.25, "0.25 m²"),
        (12.34, "12.3 m²"),
        (9999, "9999 m²"),
        (10_000, "1 ha"),
        (123_456, "12.3 ha"),
        (1_234_567, "1.23 km²"),
        (12_345_678_900, "12346 km²"),
    ],
)
def test_an_area_has_the_unit_that_makes_it_short(area_m2, words):
    assert area_in_words(area_m2) == words


def test_a_result_is_told_with_count_time_device_and_that_the_models_are_for_demonstration():
    rows = (ClassSummary("road", "#000000", 2, 5.0, 0.5), ClassSummary("water", "#0000ff", 1, 5.0, 0.5))
    assert result_in_words(Finished("", rows, device="CPU", seconds=12.4)) == "3 polygons in 12 s on CPU."
    assert result_in_words(Finished("", rows[1:], device="CPU")) == "1 polygon in 1 s on CPU."
    demo = result_in_words(Finished("", rows, device="CPU", is_demo=True))
    assert demo == "3 polygons in 1 s on CPU. These are demo models, which only show how the product works."


def test_the_message_bar_has_one_sentence():
    rows = (ClassSummary("road", "#000000", 2, 5.0, 0.5),)
    assert found_in_words(Finished("", rows, device="CPU", is_demo=True)) == "2 polygons in 1 s."


def test_finding_nothing_is_told_with_what_to_do():
    rows = (ClassSummary("road", "#000000", 0, 0.0, 0.0),)
    assert result_in_words(Finished("", rows)).startswith("Nothing was found: try other words")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("tile_px", "Tile (px)"),
        ("min_area_m2", "Minimum area (m²)"),
        ("clip_long_side_px", "CLIP long side (px)"),
        ("points_per_side", "Points per side"),
        ("box_nms_thresh", "Box NMS threshold"),
    ],
)
def test_a_parameter_is_labelled_in_words_with_its_unit(name, label):
    assert parameter_label(Parameter(name, 1, "int", "", "")) == label


def test_a_phrase_is_told_as_it_was_read():
    assert reading_in_words("the biggest house near a road") == "Read as: the largest 'house' within 50 m of 'road'."


def test_words_of_a_phrase_that_are_not_understood_are_named():
    words = reading_in_words("the house left of a road between trees")
    assert "Not understood as a place or size: 'left', 'between'." in words


def test_a_phrase_that_cannot_be_read_has_no_reading():
    assert reading_in_words("near a road") == ""


def test_the_answer_of_a_language_model_is_numbered_and_cut_where_it_is_long():
    assert answers_in_words([]) == ""
    assert answers_in_words(["a roof (80 %)", "a pier"]) == "The model answered:\n1. a roof (80 %)\n2. a pier"
    assert answers_in_words(["x"] * 11).splitlines()[-2:] == ["8. x", "and 3 more"]
