"""Class lists and phrases as they are typed."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.query import EVERYTHING_ELSE, MOST_CLASSES, Query, parse_class_list, parse_phrase

CLASS_LISTS = [
    ("building", [("building", ("building",), False)]),
    ("building|roof|house", [("building", ("building", "roof", "house"), False)]),
    ("road, water", [("road", ("road",), False), ("water", ("water",), False)]),
    ("road; water\ncar", [("road", ("road",), False), ("water", ("water",), False), ("car", ("car",), False)]),
    (" , road ,, ", [("road", ("road",), False)]),
    ("road, -shadow", [("road", ("road",), False), ("shadow", ("shadow",), True)]),
    ("road, - cast   shadow", [("road", ("road",), False), ("cast shadow", ("cast shadow",), True)]),
    (" swimming   pool | pool|pool ", [("swimming pool", ("swimming pool", "pool"), False)]),
    ("|roof", [("roof", ("roof",), False)]),
    ("t-junction", [("t-junction", ("t-junction",), False)]),
    ("Wasser, Straße", [("Wasser", ("Wasser",), False), ("Straße", ("Straße",), False)]),
]

REFUSED = [
    ("", "names no class"),
    (" ,;\n ", "names no class"),
    ("*", "names no class"),
    ("-shadow, -cloud", "only negative"),
    ("-shadow, *", "only negative"),
    ("road, |", "no word"),
    ("road, -", "no word"),
    ("road, water, Road", "'road' is named twice"),
    ("road, -road", "'road' is named twice"),
]


def test_a_class_list_is_read(subtests):
    for text, classes in CLASS_LISTS:
        with subtests.test(text=text):
            query = parse_class_list(text)
            assert [(spec.name, spec.aliases, spec.negative) for spec in query.classes] == classes
            assert query.text == text.strip()
            assert query.phrase == ""


def test_a_class_list_that_asks_for_nothing_is_refused_with_the_reason(subtests):
    for text, reason in REFUSED:
        with subtests.test(text=text), pytest.raises(QueryError, match=reason):
            parse_class_list(text)


def test_everything_else_comes_last_among_the_output_classes(subtests):
    for text in ("road, *", "road, everything else", "*, road", "road, Everything Else"):
        with subtests.test(text=text):
            query = parse_class_list(text)
            assert query.everything_else
            assert [spec.name for spec in query.output_classes] == ["road", EVERYTHING_ELSE]


def test_negative_classes_are_never_output():
    query = parse_class_list("road, -shadow, water")
    assert [spec.name for spec in query.output_classes] == ["road", "water"]
    assert [spec.name for spec in query.positives] == ["road", "water"]
    assert not query.everything_else


def test_classes_of_one_list_have_different_colours():
    query = parse_class_list("building, roof, road, street, " + ", ".join(f"thing {i}" for i in range(6)))
    colours = [spec.colour for spec in query.classes]
    assert len(set(colours)) == len(colours)


def test_a_phrase_is_taken_as_it_is():
    query = parse_phrase("  the bridge, across the river ")
    assert query.phrase == query.text == "the bridge, across the river"
    assert [spec.name for spec in query.output_classes] == ["the bridge, across the river"]


def test_the_class_of_a_long_phrase_has_a_short_name():
    phrase = "the bridge " * 30
    query = parse_phrase(phrase)
    assert query.phrase == phrase.strip()
    (spec,) = query.classes
    assert len(spec.name) <= 80
    assert spec.name.endswith("...")


def test_an_empty_phrase_is_refused():
    with pytest.raises(QueryError, match="phrase is empty"):
        parse_phrase(" \n")


def test_a_query_is_the_same_after_json(subtests):
    for query in (parse_class_list("a|b, -c, *"), parse_phrase("where?")):
        with subtests.test(query=query):
            assert Query.from_json(json.loads(json.dumps(dataclasses.asdict(query)))) == query


def test_a_class_list_longer_than_a_result_holds_is_refused_at_once():
    text = ", ".join(f"thing {i}" for i in range(10_000))
    start_s = time.process_time()
    with pytest.raises(QueryError, match="names 10000 classes, and a result holds at most 255"):
        parse_class_list(text)
    assert time.process_time() - start_s < 0.2


def test_the_longest_class_list_is_as_long_as_a_result_holds():
    names = [f"thing {i}" for i in range(MOST_CLASSES)]
    query = parse_class_list(", ".join([*names, "-cloud", "-haze"]))
    assert len(query.positives) == MOST_CLASSES
    assert len({spec.colour for spec in query.classes}) == MOST_CLASSES + 2
    for more in ("one more", "*"):
        with pytest.raises(QueryError, match="names 256 classes"):
            parse_class_list(", ".join([*names, more]))


def test_ten_thousand_words_are_read_in_a_fifth_of_a_second(subtests):
    for name, separator in (("negative classes", ", -"), ("aliases", "|")):
        with subtests.test(name):
            start_s = time.process_time()
            query = parse_class_list("road, x" + separator + separator.join(f"thing {i}" for i in range(10_000)))
            assert time.process_time() - start_s < 0.2
            assert sum(len(spec.aliases) for spec in query.classes) == 10_002


def test_a_name_with_a_character_that_cannot_be_seen_is_refused_and_shown_escaped(subtests):
    for character, shown in (("\x07", r"\\x07"), ("\x1b", r"\\x1b"), ("\0", r"\\x00"), ("\u202e", r"\\u202e"),
                             ("\ud800", r"\\ud800"), ("\u2066", r"\\u2066")):  # fmt: skip
        for read in (parse_class_list, parse_phrase):
            with (
                subtests.test(shown, read=read.__name__),
                pytest.raises(QueryError, match=rf"'ro{shown}ad'") as failure,
            ):
                read(f"ro{character}ad")
            assert f"U+{ord(character):04X}" in str(failure.value)
            assert str(failure.value).isprintable()


def test_names_of_every_script_are_read(subtests):
    for name in (
        "Straße",
        "дорога",
        "道路",
        "\u0637\u0631\u064a\u0642",
        "\u0645\u06cc\u200c\u062e",
        "\U0001f6e3\ufe0f",
    ):
        with subtests.test(name):
            assert parse_class_list(name).classes[0].name == name


def test_blanks_of_any_kind_in_a_name_become_single_blanks():
    assert parse_class_list("swimming\t\x0b pool\r").classes[0].name == "swimming pool"


def test_a_class_list_of_a_megabyte_does_not_come_back_in_a_sentence(subtests):
    word = "x" * 1_000_000
    for text in (f"-{word}", f"{word}, {word}", f"{word}\x07", f"road, {'|' * 1_000_000}", "," * 999_999 + "-shadow"):
        with subtests.test(text[:9]):
            with pytest.raises(QueryError) as failure:
                parse_class_list(text)
            assert len(str(failure.value)) < 300
