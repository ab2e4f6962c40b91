"""Class lists and phrases as they are typed."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.query import EVERYTHING_ELSE, Query, parse_class_list, parse_phrase

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
