from __future__ import annotations

import dataclasses

import pytest

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.pipelines import find_pipeline
from rs_textseg_plugin.contract.query import parse_phrase
from rs_textseg_plugin.contract.text.phrase import (
    SUPERLATIVES,
    Described,
    ParsedPhrase,
    Relation,
    parse_phrase_for,
    parse_referring_expression,
    read_phrase,
)

ROAD, PARK = Described("road"), Described("park")


def within(distance_m, others=ROAD, negated=False) -> Relation:
    return Relation("within", others, negated, distance_m)


READABLE = [
    ("building", Described("building"), ()),
    ("The red building.", Described("red building"), ()),
    ("every building|roof", Described("building|roof"), ()),
    ("a  house | roof ", Described("house|roof"), ()),
    ("the largest building", Described("building", "largest"), ()),
    ("the BIGGEST building", Described("building", "largest"), ()),
    ("the two largest buildings", Described("buildings", "largest", 2), ()),
    ("largest 12 buildings", Described("buildings", "largest", 12), ()),
    ("three houses", Described("three houses"), ()),
    ("house near a road", Described("house"), (within(50),)),
    ("house near to the road?", Described("house"), (within(50),)),
    ("house close to the road", Described("house"), (within(50),)),
    ("house not near a road", Described("house"), (within(50, negated=True),)),
    ("house within 20 m of road", Described("house"), (within(20),)),
    ("house within 20.5m from road", Described("house"), (within(20.5),)),
    ("house within 1.5 km of road", Described("house"), (within(1500),)),
    ("house within 3 kilometres of road", Described("house"), (within(3000),)),
    ("house within 3 meters of road", Described("house"), (within(3),)),
    ("house not within 0 m of road", Described("house"), (within(0, negated=True),)),
    ("house inside the park", Described("house"), (Relation("inside", PARK),)),
    ("house inside of the park", Described("house"), (Relation("inside", PARK),)),
    ("house not inside a park", Described("house"), (Relation("inside", PARK, True),)),
    ("house outside a park", Described("house"), (Relation("inside", PARK, True),)),
    ("house not outside of a park", Described("house"), (Relation("inside", PARK),)),
    ("houses that are inside a park", Described("houses"), (Relation("inside", PARK),)),
    ("a house, which is not inside park, and within 9 m of road", Described("house"),
     (Relation("inside", PARK, True), within(9))),
    ("the smallest house near the largest road and not inside a park", Described("house", "smallest"),
     (within(50, Described("road", "largest")), Relation("inside", PARK, True))),
    ("house near house", Described("house"), (within(50, Described("house")),)),
    ("insider near outsiders", Described("insider"), (within(50, Described("outsiders")),)),
]  # fmt: skip


def test_a_phrase_is_read_by_the_grammar(subtests):
    for text, target, relations in READABLE:
        with subtests.test(text=text):
            assert read_phrase(text) == ParsedPhrase(target, relations)
            assert read_phrase(text).not_read == ()


def test_every_superlative_is_known(subtests):
    for word in SUPERLATIVES:
        with subtests.test(word=word):
            assert read_phrase(f"the {word} lake").target == Described("lake", word)


def test_what_is_not_understood_is_kept_whole_and_said(subtests):
    for text, words, not_read in (
        ("car left of the house", "car left of the house", ("left",)),
        ("the second building", "second building", ("second",)),
        ("house within 50 feet of a road", "house within 50 feet of a road", ("within",)),
        ("house near", "house near", ("near",)),
        ("the largest", "largest", ("largest",)),
        ("house or shed", "house or shed", ("or",)),
        ("the nearest car to the house", "nearest car to the house", ("nearest",)),
    ):
        with subtests.test(text=text):
            reading = read_phrase(text)
            assert reading.target.words == words
            assert reading.not_read == not_read


def test_what_is_not_understood_is_said_of_every_part():
    assert read_phrase("left house near road between fields").not_read == ("left", "between")


def test_a_phrase_without_anything_to_look_for_is_refused(subtests):
    for text in ("", "  . ", "near a road", "inside park", "house near a road and inside ,", "*", "|"):
        with subtests.test(text=text), pytest.raises(QueryError, match="write it in full, for example"):
            read_phrase(text)


def test_a_reading_says_in_words_how_it_was_read():
    text = "two biggest houses|villas near a road and outside the northernmost park"
    expected = "the 2 largest 'houses|villas' within 50 m of 'road' and not inside the northernmost 'park'"
    assert str(read_phrase(text)) == expected


def test_a_query_looks_for_everything_that_is_named_once_and_for_the_target_first():
    query = parse_referring_expression("House|villa near a road, not near house and inside Road|street")
    assert [spec.aliases for spec in query.positives] == [("House", "villa"), ("road",)]
    assert query.phrase == query.text == "House|villa near a road, not near house and inside Road|street"


def test_what_separates_classes_does_not_separate_a_phrase():
    query = parse_referring_expression("red, old; house near a -road")
    assert [spec.name for spec in query.positives] == ["red old house", "road"]


def test_a_phrase_is_read_by_the_grammar_or_left_to_a_language_model_as_the_pipeline_wants():
    phrase = "house near a road"
    assert [spec.name for spec in parse_phrase_for(find_pipeline("grounding-sam"), phrase).positives] == [
        "house",
        "road",
    ]
    asking = dataclasses.replace(find_pipeline("grounding-sam"), takes="phrase")
    assert parse_phrase_for(asking, phrase) == parse_phrase(phrase)


def test_a_pipeline_that_answers_class_lists_refuses_a_phrase():
    with pytest.raises(QueryError, match="sam-clip answers class lists, no phrases"):
        parse_phrase_for(find_pipeline("sam-clip"), "house near a road")
