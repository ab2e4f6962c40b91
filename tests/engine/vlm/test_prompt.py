from __future__ import annotations

import json

import pytest

from rs_textseg_plugin.engine.vlm.model import Convention
from rs_textseg_plugin.engine.vlm.parsing.answer import read_answer
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy, ask_for

STRICT_KEYWORDS = {"type", "properties", "required", "additionalProperties", "items", "description"}


def ask(phrase="the white ship", convention=Convention.PIXELS, **policy):
    return ask_for(phrase, (640, 480), convention, ClickPolicy(**policy))


def schemas_in(schema):
    yield schema
    for inner in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        yield from schemas_in(inner)


def members_of(asked):
    return asked.schema["properties"]["instances"]["items"]["properties"]


@pytest.mark.parametrize("policy", [{}, {"outside": 2}, {"inside": 0}, {"inside": 1, "outside": 3}])
def test_the_schema_is_one_that_strict_structured_output_accepts(policy):
    schema = ask(**policy).schema
    assert schema["type"] == "object"
    for one in schemas_in(schema):
        assert set(one) <= STRICT_KEYWORDS
        assert "type" in one
        if one["type"] == "object":
            assert one["additionalProperties"] is False
            assert one["required"] == [*one["properties"]]
        assert ("items" in one) == (one["type"] == "array")
    assert json.loads(json.dumps(schema)) == schema


def test_box_and_points_are_arrays_of_numbers_and_the_confidence_may_be_null():
    members = members_of(ask(outside=1))
    numbers = {"type": "array", "items": {"type": "number"}}
    assert members["box"].items() >= numbers.items()
    for name in ("positive_points", "negative_points"):
        assert members[name].items() >= {"type": "array", "items": numbers}.items()
    assert members["confidence"]["type"] == ["number", "null"]


def test_only_the_points_of_the_policy_are_asked_for():
    assert [*members_of(ask())] == ["label", "box", "positive_points", "confidence"]
    assert [*members_of(ask(inside=0, outside=2))] == ["label", "box", "negative_points", "confidence"]
    assert "negative" not in ask().question
    assert "up to 2 points" in ask(outside=2).question


def test_the_numbers_of_the_policy_are_in_the_question():
    question = ask(inside=5, most_instances=7).question
    assert "5 points on the thing" in question
    assert "not more than 7" in question
    assert "one point on the thing" in ask(inside=1).question


def test_pixels_come_with_the_size_that_the_model_sees():
    question = ask().question
    assert "640 pixels wide" in question
    assert "480 pixels high" in question


def test_y_is_asked_for_before_x_where_the_model_gives_it_so():
    asked = ask(convention=Convention.GRID_1000_YX, outside=1)
    assert "[top, left, bottom, right]" in asked.question
    assert asked.question.count("[[y, x], ...]") == 2
    assert "y always stands before x" in asked.question
    assert asked.schema == ask(outside=1).schema


def test_the_grid_comes_without_a_size():
    question = ask(convention=Convention.GRID_1000).question
    assert "0 at the left border to 1000 at the right border" in question
    assert "640" not in question
    assert "480" not in question


def test_what_the_picture_is_and_that_only_json_is_wanted_is_said():
    asked = ask()
    assert "straight down" in asked.system
    assert "JSON" in asked.system
    assert "the list is empty" in asked.question


def test_a_phrase_with_quotes_lines_and_braces_stays_one_phrase():
    phrase = 'the "big" roof\n{not} 100 % Öl'
    question = ask(phrase).question
    line = next(line for line in question.splitlines() if line.startswith("Find in this picture: "))
    assert json.loads(line.removeprefix("Find in this picture: ")) == phrase


def test_an_answer_that_only_repeats_the_form_finds_nothing():
    form = ask(outside=1).question.splitlines()[-1]
    reading = read_answer(form, (640, 480), (640, 480), Convention.PIXELS)
    assert reading.instances == ()
    assert reading.unusable


def test_an_answer_of_that_form_is_read():
    answer = {
        "instances": [
            {
                "label": "ship",
                "box": [10, 20, 50, 60],
                "positive_points": [[20, 30], [30, 40]],
                "negative_points": [[5, 5]],
                "confidence": None,
            }
        ]
    }
    assert set(answer["instances"][0]) == set(members_of(ask(outside=1)))
    (one,) = read_answer(json.dumps(answer), (640, 480), (640, 480), Convention.PIXELS).instances
    assert one.inside == ((20, 30), (30, 40))
    assert one.outside == ((5, 5),)
