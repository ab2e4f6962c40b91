from __future__ import annotations

import json
import time

import pytest

from rs_textseg_plugin.engine.vlm.parsing.lenient_json import find_values


def value_of(text):
    found = find_values(text)
    assert found.unfinished == []
    (value,) = found.values
    return value


def as_text(value):
    """What `find_values` makes of proper JSON: numbers are strings."""
    if isinstance(value, dict):
        return {key: as_text(member) for key, member in value.items()}
    if isinstance(value, list):
        return [as_text(member) for member in value]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return json.dumps(value) if is_number else value


def test_proper_json_is_read_as_it_is():
    value = {
        "a": [1, -2.5, 1e3, True, False, None, "x, [y]: {z}"],
        "b": {"": {}, "c": []},
        "d": 'q"\\\n\u00e9\U0001f600',
    }
    for indent in (None, 2):
        for is_ascii in (True, False):
            text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
            read = value_of(text)
            read["d"] = read["d"].encode("utf-16", "surrogatepass").decode("utf-16")
            assert read == as_text(value)


def test_mistakes_are_read_as_they_were_meant(subtests):
    for text, value in (
        ("[1, 2,]", ["1", "2"]),
        ("[1,, 2; 3]", ["1", "2", "3"]),
        ('{"a": 1 "b": 2}', {"a": "1", "b": "2"}),
        ('{"a": "x" "b": "y"}', {"a": "x", "b": "y"}),
        ("{a: 1, 'b': 'two'}", {"a": "1", "b": "two"}),
        ('{"a": NaN, "b": -Infinity, "c": None}', {"a": "NaN", "b": "-Infinity", "c": None}),
        ("[1, // one\n 2 /* and, [two */, 3]", ["1", "2", "3"]),
        ('{"a": (12, 34)}', {"a": ["12", "34"]}),
        ('{"a": "the "big" house", "b": 1}', {"a": 'the "big" house', "b": "1"}),
        ("{'a': 'the ship's deck, white', 'b': 1}", {"a": "the ship's deck, white", "b": "1"}),
        ('{"a": [1, 2}', {"a": ["1", "2"]}),
        ('[{"a": 1, {"b": 2}]', [{"a": "1", "": {"b": "2"}}]),
        ('[{"a": 1]', [{"a": "1"}]),
        ('{"a": 12px, "b": 87%}', {"a": "12px", "b": "87%"}),
        ('{"a": , "b": 2}', {"b": "2"}),
        ('{"a": 1, stray, "b": 2}', {"a": "1", "b": "2"}),
        ('{"a": 1}]}) and more', {"a": "1"}),
        (r'{"a": "\u0041\/\"\n"}', {"a": 'A/"\n'}),
    ):
        with subtests.test(text=text):
            assert value_of(text) == value


def test_outside_of_brackets_there_are_only_words():
    assert find_values("It's \"here\": (1, 2), isn't it? ").values == []
    assert value_of("I don't know, but: [1] is it") == ["1"]


def test_all_values_of_a_text_are_found_in_their_order():
    assert find_values('see [1]\n```json\n{"a": 2}\n```\nor {"a": 3}').values == [["1"], {"a": "2"}, {"a": "3"}]


def test_what_the_text_ends_within_is_told():
    found = find_values('{"a": [{"b": 1}, {"b": [2, 3')
    (whole,) = found.values
    assert whole == {"a": [{"b": "1"}, {"b": ["2", "3"]}]}
    assert [id(one) for one in found.unfinished] == [
        id(whole), id(whole["a"]), id(whole["a"][1]), id(whole["a"][1]["b"])
    ]  # fmt: skip


def test_a_string_that_never_ends_is_left_out():
    found = find_values('[{"b": 1}, {"b": "unfin')
    assert found.values == [[{"b": "1"}, {}]]
    assert len(found.unfinished) == 2


def test_brackets_within_brackets_without_end_are_given_up_and_what_follows_is_read():
    found = find_values("[" * 100_000 + '{"a": 1}')
    assert {"a": "1"} in flattened(found.values)
    assert depth_of(found.values) < 100


def depth_of(value):
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 1


def flattened(values):
    for value in values:
        yield value
        if isinstance(value, list):
            yield from flattened(value)


NASTY = ["[", '{"a":', '["', "['", '["a"b', '[\\"', "[1", "[(", '{"a":"b"', "{'a'b", "[/*", "[//", '"\\', "]}", "{}}"]


@pytest.mark.parametrize("nasty", NASTY)
def test_the_time_is_linear(nasty):
    text = "[" + nasty * (400_000 // len(nasty))
    start = time.process_time()
    find_values(text)
    assert time.process_time() - start < 15  # about 1 s; minutes if each bracket or quote looked at all that follows
