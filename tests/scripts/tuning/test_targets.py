"""What a model should have answered."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_models import tiny_sam
from tuning_data import picture_of, square

from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.model import Convention
from rs_textseg_plugin.engine.vlm.parsing.answer import read_answer
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy, ask_for
from tuning.examples import Example, Shown
from tuning.targets import Target, TargetStore, answer_text, make_target

CLICKS = ClickPolicy(6, 6, 50)
SHIP = Instance("a ship", (10.0, 12.0, 26.0, 28.0), ((18.5, 20.5), (12.5, 26.5)), ((30.5, 13.5),))


@pytest.fixture(scope="module")
def sam():
    return SamModel(tiny_sam(), torch.device("cpu"), torch.float32)


def example_of(*masks: np.ndarray, key: str = "a") -> Example:
    return Example(key, "squares", "a square", lambda: Shown(picture_of(sum(masks)), masks))


def test_an_answer_has_the_members_that_are_asked_for_in_their_order(subtests):
    for convention in list(Convention):
        for policy in (CLICKS, ClickPolicy(3, 0, 5), ClickPolicy(0, 0, 5), ClickPolicy(1, 2, 5)):
            with subtests.test(convention=convention, policy=policy):
                asked = ask_for("a ship", (112, 56), convention, policy)
                text = answer_text([SHIP], convention, (112, 56), (96, 64), policy)
                (told,) = json.loads(text)["instances"]
                wanted = asked.schema["properties"]["instances"]["items"]["properties"]
                assert list(told) == list(wanted)
                for number in [*told["box"], *(value for point in told.get("positive_points", []) for value in point)]:
                    assert isinstance(number, int)


@pytest.mark.parametrize("convention", list(Convention))
def test_an_answer_is_read_back_as_what_it_was_made_of(convention):
    text = answer_text([SHIP, SHIP], convention, (112, 56), (96, 64), CLICKS)
    reading = read_answer(text, (112, 56), (96, 64), convention)
    assert reading.is_answer
    one = reading.instances[0]
    assert (one.words, one.confidence) == ("a ship", None)
    # Whole pixels of the shown picture are up to 96 / 112 and 64 / 56 of a pixel apart.
    assert np.abs(np.subtract(one.box, SHIP.box)).max() < 0.6
    assert np.abs(np.subtract(one.inside, SHIP.inside)).max() < 0.6
    assert np.abs(np.subtract(one.outside, SHIP.outside)).max() < 0.6


def test_the_numbers_are_those_of_the_convention():
    grid = json.loads(answer_text([SHIP], Convention.GRID_1000, (112, 56), (96, 64), CLICKS))["instances"][0]
    assert grid["box"] == [104, 188, 271, 438]
    pixels = json.loads(answer_text([SHIP], Convention.PIXELS, (192, 128), (96, 64), CLICKS))["instances"][0]
    assert pixels["box"] == [20, 24, 52, 56]
    assert pixels["positive_points"] == [[37, 41], [25, 53]]
    assert pixels["negative_points"] == [[61, 27]]


def test_nothing_there_is_an_empty_list():
    text = answer_text([], Convention.PIXELS, (112, 56), (96, 64), CLICKS)
    assert text == '{"instances": []}'
    assert read_answer(text, (112, 56), (96, 64), Convention.PIXELS).is_answer


def test_each_thing_has_its_box_and_up_to_so_many_clicks_largest_first(sam):
    target = make_target(example_of(square(2, 2, 8), square(40, 20, 30)), sam, 256, 4, 50)
    assert [one.box for one in target.instances] == [(40, 20, 70, 50), (2, 2, 10, 10)]
    for one in target.instances:
        left, top, right, bottom = one.box
        assert 1 <= len(one.inside) + len(one.outside) <= 4
        assert all(left < x < right and top < y < bottom for x, y in one.inside)
        assert not any(left < x < right and top < y < bottom for x, y in one.outside)
    assert 0 < target.iou < 1


def test_no_more_things_than_asked_for_the_largest(sam):
    target = make_target(example_of(square(2, 2, 8), square(40, 20, 30), square(80, 2, 12)), sam, 256, 2, 2)
    assert [one.box[0] for one in target.instances] == [40, 80]


def test_places_are_in_the_picture_as_it_is_shown(sam):
    target = make_target(example_of(square(40, 20, 30)), sam, 48, 2, 50)
    assert target.instances[0].box == (20, 10, 35, 25)


def test_a_question_without_an_answer_has_no_things(sam):
    nothing = Example("b", "a lake", "a lake", lambda: Shown(picture_of(square(0, 0, 0)), ()))
    for empty in (nothing, example_of(square(0, 0, 0), key="b")):
        assert make_target(empty, sam, 256, 6, 50) == Target("b", (), 1.0)


def test_targets_are_made_once_and_found_again(tmp_path):
    made = []

    def make(example: Example) -> Target:
        made.append(example.key)
        return Target(example.key, (SHIP,), 0.75)

    examples = [example_of(key=key) for key in "abc"]
    TargetStore(tmp_path / "t.jsonl").make(examples[:2], make)
    store = TargetStore(tmp_path / "t.jsonl")
    store.make(examples, make)
    assert made == ["a", "b", "c"]
    assert [store[key] for key in "abc"] == [Target(key, (SHIP,), 0.75) for key in "abc"]


def test_a_line_that_was_cut_off_is_made_again(tmp_path):
    path = tmp_path / "t.jsonl"
    TargetStore(path).make([example_of(key=key) for key in "ab"], lambda one: Target(one.key, (SHIP,), 0.5))
    path.write_text(path.read_text()[:-30])
    made = []
    store = TargetStore(path)
    store.make([example_of(key=key) for key in "ab"], lambda one: made.append(one.key) or Target(one.key, (), 1.0))
    assert made == ["b"]
    assert TargetStore(path)["b"] == store["b"] == Target("b", (), 1.0)
