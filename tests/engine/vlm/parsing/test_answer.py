from __future__ import annotations

import json
import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.model import Convention
from rs_textseg_plugin.engine.vlm.parsing.answer import read_answer

SIZE = (640, 480)
SHIP = Instance("ship", (10.0, 20.0, 50.0, 60.0), ((20.0, 30.0), (40.0, 50.0)), (), 0.9)
PLANE = Instance("plane", (100.0, 120.0, 150.0, 160.0), ((120.0, 130.0),), (), None)
SHIP_TEXT = '{"label":"ship","box":[10,20,50,60],"positive_points":[[20,30],[40,50]],"confidence":0.9}'
PLANE_TEXT = '{"label":"plane","box":[100,120,150,160],"positive_points":[[120,130]],"confidence":null}'
ANSWER = f'{{"instances":[{SHIP_TEXT},{PLANE_TEXT}]}}'


def read(text, shown=SIZE, picture=SIZE, convention=Convention.PIXELS):
    return read_answer(text, shown, picture, convention)


def only(text, **how):
    """The single instance of an answer of which everything could be used."""
    reading = read(text, **how)
    assert reading.unusable == ()
    (one,) = reading.instances
    return one


def box_of(value, **how):
    return only(json.dumps({"box": value}) if not isinstance(value, str) else f'{{"box": {value}}}', **how).box


# The answer as it is asked for, and where a model's numbers lie


def test_the_answer_that_was_asked_for_is_read_in_its_order():
    reading = read(ANSWER)
    assert reading.instances == (SHIP, PLANE)
    assert (reading.unusable, reading.remarks, reading.is_answer) == ((), (), True)


def test_pixels_refer_to_the_picture_as_the_model_saw_it():
    assert box_of([10, 20, 50, 60], shown=(320, 120)) == (20, 80, 100, 240)


def test_the_grid_refers_to_thousandths_of_either_side():
    assert box_of([100, 250, 500, 1000], convention=Convention.GRID_1000, shown=(33, 44)) == (64, 120, 320, 480)


def test_y_stands_before_x_in_lists_and_where_names_say_so_they_count(subtests):
    box = (64, 120, 320, 480)
    for value in (
        [250, 100, 1000, 500],
        [[250, 100], [1000, 500]],
        "250 100 1000 500",
        {"ymin": 250, "xmin": 100, "ymax": 1000, "xmax": 500},
        {"x1": 100, "y1": 250, "x2": 500, "y2": 1000},
        {"left": 100, "top": 250, "width": 400, "height": 750},
        {"top_left": [250, 100], "bottom_right": [1000, 500]},
    ):
        with subtests.test(value=value):
            assert only(json.dumps({"box_2d": value}), convention=Convention.GRID_1000_YX).box == box
    for value in ([250, 100], {"x": 100, "y": 250}, [[250, 100]], [{"y": 250, "x": 100}]):
        with subtests.test(point=value):
            assert only(json.dumps({"point": value}), convention=Convention.GRID_1000_YX).inside == ((64, 120),)
    with subtests.test("fractions"):
        reading = read(json.dumps({"box": [0.25, 0.1, 1, 0.5]}), convention=Convention.GRID_1000_YX)
        assert reading.instances[0].box == box


def test_nothing_is_rounded():
    assert box_of([1, 2, 3, 4], shown=(300, 900), picture=(100, 100)) == pytest.approx((1 / 3, 2 / 9, 1, 4 / 9))


def test_an_empty_list_is_an_answer():
    for text in ('{"instances": []}', "[]", "There is nothing: []", '{"instances": null}', "```json\n[]\n```"):
        reading = read(text)
        assert (reading.instances, reading.unusable, reading.is_answer) == ((), (), True)


def test_words_are_no_answer_and_are_quoted(subtests):
    for text in ("", "I cannot help with that.", "The ship is at (12, 34).", "{}", "[1]", '{"note": 5}'):
        with subtests.test(text=text):
            reading = read(text)
            assert not reading.is_answer
            assert reading.instances == ()
            (sentence,) = reading.unusable
            assert text in sentence


# What stands around an answer


def test_what_stands_around_the_answer_does_no_harm(subtests):
    for around in (
        "Sure! Here is what I found [in pixels]:\n{}\nLet me know (or don't) if that's {{fine}}.",
        "```json\n{}\n```",
        "```\n{}",
        "<think>Maybe [1, 2, 3, 4]? It's {{hard}}.</think>{}",
        '<think>first {{"instances": [{{"box": [1, 2, 3, 4]}}]}}</think>\n\n{}',
        "so I think</think>{}",
        "<think>I look for ships. {}",
        "<think>hm</think><answer>{}</answer> That is all: []",
        "<answer>{}",
        "<THINK>a <answer> b</THINK>{}",
        "{}<think>Was that right?",
        "{}<think>Was [1, 2, 3, 4] right?</think> I hope so.",
        "<think>a</think><thinking>[{{'box': [1, 2, 3, 4]}}]</thinking>{}",
        "<think>a <think>b</think>{}",
        "<think>{}<think>hm",
        '{{"result": {}}}',
        "\ufeff{}\x00",
    ):
        with subtests.test(around=around):
            reading = read(around.format(ANSWER))
            assert reading.instances == (SHIP, PLANE)
            assert reading.unusable == ()


def test_thoughts_that_ended_are_no_answer():
    assert not read(f"<think>{ANSWER}</think>I see none of these.").is_answer


def test_of_several_lists_the_last_one_counts_and_that_is_said():
    reading = read(f"First I thought {ANSWER} but it is [{PLANE_TEXT}]")
    assert reading.instances == (PLANE,)
    assert "2 instances before it" in reading.remarks[0]


def test_a_list_beats_numbers_that_stand_in_brackets_somewhere():
    assert read(f"The [640, 480] picture: {ANSWER} as in [3, 4, 5, 6], [7, 8]").instances == (SHIP, PLANE)


def test_the_list_may_be_bare_or_under_another_name_or_missing(subtests):
    for text in (
        f"[{SHIP_TEXT},{PLANE_TEXT}]",
        f"{SHIP_TEXT}\n{PLANE_TEXT}",
        f'{{"objects": [{SHIP_TEXT}, {PLANE_TEXT}], "image_size": [640, 480]}}',
        f'{{"thoughts": "two", "things": [{SHIP_TEXT}, {PLANE_TEXT}]}}',
        f'{{"instances": {{"1": {SHIP_TEXT}, "2": {PLANE_TEXT}}}}}',
        f"[[{SHIP_TEXT}], [{PLANE_TEXT}]]",
    ):
        with subtests.test(text=text):
            assert read(text).instances == (SHIP, PLANE)


def test_a_single_object_is_a_list_of_one():
    assert read(SHIP_TEXT).instances == (SHIP,)


def test_bare_boxes_and_points_are_instances():
    assert [one.box for one in read("[[1, 2, 30, 40], [5, 6, 70, 80]]").instances] == [(1, 2, 30, 40), (5, 6, 70, 80)]
    assert only("[10, 20, 30, 40]").box == (10, 20, 30, 40)
    assert [one.inside for one in read('["(12, 34)", "56, 78"]').instances] == [((12, 34),), ((56, 78),)]


# How the members of an instance are written


def test_a_box_may_have_other_names(subtests):
    for key in ("box", "bbox", "bbox_2d", "box_2d", "BBox", "bounding_box", "Box-2D", "coordinates"):
        with subtests.test(key=key):
            assert only(json.dumps([{key: [10, 20, 50, 60]}])).box == (10, 20, 50, 60)


def test_points_may_have_other_names(subtests):
    for key in ("point_2d", "points", "positive_points", "click", "point", "center", "coordinates"):
        with subtests.test(key=key):
            assert only(json.dumps([{key: [20, 30]}])).inside == ((20, 30),)


def test_words_may_have_other_names(subtests):
    for key in ("label", "name", "class", "Category"):
        with subtests.test(key=key):
            assert only(json.dumps([{key: "ship", "box": [10, 20, 50, 60]}])).words == "ship"


def test_a_box_may_be_written_in_many_ways(subtests):
    for written in (
        "[10, 20, 50, 60]",
        '["10", "20", "50", "60"]',
        '"10,20,50,60"',
        '"(10, 20), (50, 60)"',
        '"x1=10, y1=20, x2=50, y2=60"',
        '"10 20 50 60"',
        "[[10, 20], [50, 60]]",
        "[[10, 20, 50, 60]]",
        "[[10, 20], [50, 20], [50, 60], [10, 60]]",
        "[50, 60, 10, 20]",
        "[10, 60, 50, 20]",
        '{"x1": 10, "y1": 20, "x2": 50, "y2": 60}',
        '{"xmin": "10", "ymin": "20", "xmax": "50", "ymax": "60"}',
        '{"left": 10, "top": 20, "right": 50, "bottom": 60}',
        '{"x": 10, "y": 20, "width": 40, "height": 40}',
        '{"top_left": [10, 20], "bottom_right": {"x": 50, "y": 60}}',
        "(10, 20, 50, 60)",
        "[10.0, 2e1, +50, 60px]",
        "[10, 20, 50, 60, // the roof\n]",
    ):
        with subtests.test(written=written):
            assert only(f'[{{"label": "x", "box": {written}}}]').box == (10, 20, 50, 60)


def test_corners_may_be_members_of_the_instance_itself():
    assert only('{"label": "ship", "x1": 10, "y1": 20, "x2": 50, "y2": 60}').box == (10, 20, 50, 60)
    assert only('{"label": "ship", "x": 10, "y": 20}').inside == ((10, 20),)


def test_points_may_be_written_in_many_ways(subtests):
    for written in (
        "[[20, 30], [40, 50]]",
        "[20, 30, 40, 50]",
        '[{"x": 20, "y": 30}, {"x": "40", "y": "50"}]',
        '["(20, 30)", "40,50"]',
        '"(20, 30), (40, 50)"',
        "[[20, 30], [40, 50], [20, 30]]",
        "[[20, 30, 1], [40, 50, 1]]",
        "[[[20, 30]], [[40, 50]]]",
    ):
        with subtests.test(written=written):
            assert only(f'[{{"positive_points": {written}}}]').inside == ((20, 30), (40, 50))


def test_points_beside_the_thing_are_told_apart():
    expected = (((20, 30),), ((300, 400),))
    for points in (
        '"positive_points": [[20, 30]], "negative_points": [[300, 400]]',
        '"clicks": [[20, 30, 1], [300, 400, 0]]',
        '"points": [{"x": 20, "y": 30, "label": "positive"}, {"x": 300, "y": 400, "label": "negative"}]',
    ):
        one = only(f'{{"box": [10, 20, 50, 60], {points}}}')
        assert (one.inside, one.outside) == expected


def test_a_confidence_is_a_share_or_a_percentage(subtests):
    for written, confidence in (
        ("0.87", 0.87),
        ('"0.87"', 0.87),
        ('"87%"', 0.87),
        ("87", 0.87),
        ("87 %", 0.87),
        ('"0.5%"', 0.005),
        ("1", 1),
        ("0", 0),
        ("null", None),
    ):
        with subtests.test(written=written):
            for key in ("score", "confidence"):
                assert only(f'{{"box": [10, 20, 50, 60], "{key}": {written}}}').confidence == confidence


def test_another_confidence_is_said_and_the_instance_stays(subtests):
    for written in ("-0.5", "187", '"high"', "NaN", "[0.2, 0.3]"):
        with subtests.test(written=written):
            reading = read(f'{{"box": [10, 20, 50, 60], "score": {written}}}')
            assert reading.instances[0].confidence is None
            (sentence,) = reading.unusable
            assert written.strip('"') in sentence


def test_one_object_with_several_boxes_is_several_instances():
    boxes = [(1, 2, 30, 40), (5, 6, 70, 80)]
    instances = read(json.dumps({"label": "ship", "bbox_2d": boxes})).instances
    assert [(one.words, one.box) for one in instances] == [("ship", box) for box in boxes]


def test_single_quotes_comments_and_commas_too_many_do_no_harm():
    text = "[{'label': 'the ship's deck', // here\n 'bbox_2d': [10, 20, 50, 60,], /* [1, 2] */ 'score': .5,},]"
    assert only(text) == Instance("the ship's deck", (10, 20, 50, 60), (), (), 0.5)


def test_words_come_in_one_line_that_any_file_takes():
    words = only(json.dumps([{"label": "a\n\tb\x00\ud800c" + "d" * 5000, "box": [1, 2, 30, 40]}])).words
    assert words.startswith("a b")
    assert len(words) == 200
    words.encode()
    assert only(json.dumps([{"label": "\U0001f6a2 ship", "box": [1, 2, 30, 40]}])).words == "\U0001f6a2 ship"
    assert only('{"label": {"odd": 1}, "box": [1, 2, 30, 40]}').words == ""


# Three bugs of published parsers, each of which looked as if the model could not find things


def test_published_bug_no_number_is_divided_by_512():
    assert box_of([100, 200, 300, 400], convention=Convention.GRID_1000, picture=(512, 512), shown=(512, 512)) == (
        51.2, 102.4, 153.6, 204.8
    )  # fmt: skip
    assert box_of([100, 200, 300, 400], shown=(512, 512), picture=(512, 512)) == (100, 200, 300, 400)


def test_published_bug_a_comma_is_never_a_decimal_point():
    assert only('{"point_2d": "12,34"}').inside == ((12, 34),)
    assert box_of('"12,34,56,78"') == (12, 34, 56, 78)
    assert box_of('"12, 34, 56, 78"') == (12, 34, 56, 78)


def test_published_bug_the_2_of_bbox_2d_is_no_coordinate():
    assert only('{"bbox_2d": [10, 20, 50, 60]}').box == (10, 20, 50, 60)
    assert only("{bbox_2d: (10, 20, 50, 60)}").box == (10, 20, 50, 60)
    assert box_of('"bbox_2d: 10, 20, 50, 60"') == (10, 20, 50, 60)
    assert box_of('"bbox 2d: 10, 20, 50, 60"') == (10, 20, 50, 60)
    assert only('{"point_2d": "point_2d = (12, 34)"}').inside == ((12, 34),)


# Places that are not where they should be


def test_a_place_a_little_outside_means_the_border():
    one = only('{"box": [-5, 400, 100, 490], "points": [[-1, 485]]}')
    assert one == Instance("", (0, 400, 100, 480), ((0.5, 479.5),))


def test_a_box_far_beyond_the_border_is_cut_there_and_that_is_said():
    reading = read('{"box": [600, 10, 900, 100]}')
    assert reading.instances[0].box == (600, 10, 640, 100)
    assert "(600, 10, 900, 100) was cut" in reading.unusable[0]


def test_what_lies_wholly_outside_is_left_out_and_said():
    reading = read(f'[{{"label": "x", "box": [700, 500, 900, 600]}}, {SHIP_TEXT}]')
    assert reading.instances == (SHIP,)
    (sentence,) = reading.unusable
    assert sentence.startswith("Instance 1 ('x') was left out")
    assert "(700, 500, 900, 600) lies outside of the 640 x 480 px picture" in sentence


def test_points_outside_of_the_picture_or_of_their_box_are_left_out_and_said():
    reading = read('{"box": [10, 20, 50, 60], "points": [[20, 30], [51, 30], [2000, 30], [50, 60]]}')
    assert reading.instances[0].inside == ((20, 30), (50, 60))
    outside_box, outside_picture = reading.unusable
    assert "(2000, 30) lies outside of the" in outside_picture
    assert "(51, 30) lies outside of its box" in outside_box


def test_a_box_of_the_whole_picture_stays():
    assert box_of([0, 0, 640, 480]) == (0, 0, 640, 480)


def test_an_empty_box_is_left_out_and_said(subtests):
    for box in ("[10, 20, 10, 60]", "[10, 20, 50, 20]", "[10, 20, 10, 20]", "[0, 0, 0, 0]"):
        with subtests.test(box=box):
            reading = read(f'[{{"box": {box}}}, {{"box": {box}, "points": [[5, 6]]}}]')
            assert reading.instances == (Instance("", None, ((5, 6),)),)
            assert all("is empty" in sentence for sentence in reading.unusable)
            assert len(reading.unusable) == 2


def test_a_box_that_is_no_box_is_quoted(subtests):
    for box in (
        "[10, NaN, 50, 60]",
        "[10, null, 50, 60]",
        "[10, 20, 50]",
        '"upper left"',
        "[1, 2, 3, 4, 5]",
        "[10, 20, Infinity, 60]",
        "[10, 20, 1e400, 60]",
        "[10, 20, 1e12, 60]",
        "true",
        '{"cx": 5}',
    ):
        with subtests.test(box=box):
            reading = read(f'[{{"label": "x", "box": {box}}}, {SHIP_TEXT}]')
            assert reading.instances == (SHIP,)
            (sentence,) = reading.unusable
            assert sentence.startswith("Instance 1 ('x') was left out: the box ")
            assert box.replace('"', "").lower() in sentence.lower()


def test_of_an_instance_without_a_usable_box_its_points_stay():
    reading = read('{"box": [1, 2, 3], "points": [[20, 30], [NaN, 4], "here"]}')
    assert reading.instances == (Instance("", None, ((20, 30),)),)
    assert [quoted in sentence for quoted, sentence in zip(("[1, 2, 3]", "[NaN, 4]", "here"), reading.unusable)] == [
        True
    ] * 3


def test_an_instance_without_a_place_is_said(subtests):
    for text in ('[{"label": "x"}]', '{"instances": ["x"]}', '[{"label": "x", "negative_points": [[1, 2]]}]'):
        with subtests.test(text=text):
            reading = read(text)
            assert (reading.instances, reading.is_answer) == ((), True)
            assert reading.unusable == ("Instance 1 ('x') was left out: it gives neither a box nor a point on it.",)


def test_the_same_place_twice_is_one_instance_and_that_is_said():
    again = SHIP_TEXT.replace("ship", "boat")
    reading = read(f'[{SHIP_TEXT}, {PLANE_TEXT}, {again}, {{"point": [1, 2]}}, {{"point": [1, 2]}}]')
    assert reading.instances == (SHIP, PLANE, Instance("", None, ((1, 2),)))
    assert reading.unusable == (
        "Instance 3 ('boat') was left out: it repeats instance 1.",
        "Instance 5 was left out: it repeats instance 4.",
    )


# Fractions, and x and y in the other order


def test_fractions_are_read_as_such_and_that_is_said():
    reading = read('[{"box": [0.25, 0.5, 0.5, 1.0], "points": [[0.3, 0.6]]}, {"point": [0, 1]}]')
    first, second = reading.instances
    assert first.box == (160, 240, 320, 480)
    assert first.inside == ((192, 288),)
    assert second.inside == ((0, 479.5),)
    assert "fractions" in reading.remarks[0]


def test_fractions_of_the_grid_are_fractions_too():
    assert box_of([0.25, 0.5, 0.5, 1.0], convention=Convention.GRID_1000) == (160, 240, 320, 480)


def test_the_unit_box_is_the_whole_picture():
    assert box_of([0, 0, 1, 1]) == (0, 0, 640, 480)


def test_one_number_above_one_or_the_corner_s_pixel_are_no_fractions(subtests):
    for text in (
        '[{"box": [0.25, 0.5, 0.5, 1.0]}, {"box": [0.25, 0.5, 0.5, 1.2]}]',
        '[{"point": [1, 1]}]',
        '[{"box": [0.25, 0.5, 0.5, 1.0]}, {"point": [20, 30]}]',
    ):
        with subtests.test(text=text):
            reading = read(text)
            assert reading.remarks == ()
            assert max(number for one in reading.instances for number in (*(one.box or ()), *sum(one.inside, ()))) < 31


def test_x_and_y_are_exchanged_where_only_that_fits():
    reading = read('{"box": [20, 510, 60, 600], "points": [[30, 520]]}')
    assert reading.instances == (Instance("", (510, 20, 600, 60), ((520, 30),)),)
    assert "y stands before x" in reading.remarks[0]


def test_x_and_y_are_not_exchanged_where_it_is_not_certain(subtests):
    for text in (
        '{"box": [20, 30, 60, 90]}',  # fits either way
        '{"box": [20, 510, 60, 700]}',  # fits neither way
        f'[{{"box": [20, 510, 60, 600]}}, {SHIP_TEXT}, {PLANE_TEXT}]',  # most of the answer fits as it is
    ):
        with subtests.test(text=text):
            reading = read(text)
            assert reading.remarks == ()
            assert all(one.box in ((20, 30, 60, 90), SHIP.box, PLANE.box) for one in reading.instances)


# Answers that break off


def test_instances_before_the_cut_are_kept_and_the_cut_is_said(subtests):
    for cut in range(1, len(PLANE_TEXT)):
        with subtests.test(cut=cut):
            reading = read(f'{{"instances":[{SHIP_TEXT},{PLANE_TEXT[:cut]}')
            assert reading.instances == (SHIP,)
            assert reading.is_answer
            assert reading.unusable == ("The answer breaks off after 1 complete instance.",)


def test_an_answer_that_breaks_off_before_its_first_instance_is_none(subtests):
    for cut in range(1, len('{"instances":[') + len(SHIP_TEXT)):
        with subtests.test(cut=cut):
            reading = read(ANSWER[:cut])
            assert (reading.instances, reading.is_answer) == ((), False)
            assert len(reading.unusable) == 1


def test_a_cut_within_bare_numbers_keeps_whole_boxes_only():
    reading = read("[[10, 20, 50, 60], [100, 120, 150, 16")
    assert [one.box for one in reading.instances] == [(10, 20, 50, 60)]
    assert "breaks off" in reading.unusable[0]


def test_a_cut_within_thoughts_is_no_answer():
    assert not read("<think>I look at the harbour [of the town] and").is_answer


def test_a_bracket_that_someone_forgot_in_a_sentence_is_no_cut():
    assert read(f"{ANSWER} (sizes in [px").unusable == ()


# Nothing that a model can write makes it fail


def assert_sound(reading):
    width, height = SIZE
    assert isinstance(reading.is_answer, bool)
    assert reading.is_answer or (not reading.instances and reading.unusable)
    for sentence in (*reading.unusable, *reading.remarks):
        assert sentence.isprintable()
        assert sentence.endswith(".")
        assert len(sentence) < 2500
    assert len({(one.box, one.box is None and one.inside) for one in reading.instances}) == len(reading.instances)
    for one in reading.instances:
        assert one.box or one.inside
        assert one.words.isprintable()
        one.words.encode()
        assert one.confidence is None or 0 <= one.confidence <= 1
        left, top, right, bottom = one.box or (0, 0, width, height)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert all(left <= x <= right and top <= y <= bottom for x, y in one.inside)
        assert all(0 <= x < width and 0 <= y < height for x, y in (*one.inside, *one.outside))
        assert all(math.isfinite(value) for value in (left, top, right, bottom))


WORDS = "null NaN 1e999 0.5 12 -7 640 5000 [1,2,3,4] <think> </think> <answer> </answer> // /* ```json \\ud83d"
KEYS = '"box": "points": "instances": "label": "score": "x": "y":'
PIECES = [*"{}[]():,;\"'`\\/*<>%.-+\n \x00\ud800\u0663", *WORDS.split(), *KEYS.split()]
TEXTS = [ANSWER, f"<think>x</think><answer>[{SHIP_TEXT}]</answer>", "[{'bbox_2d': [1, 2, 30, 40], 'score': '87%'}]",
         '{"points": [{"x": 5, "y": 6, "label": 0}], "box": {"x": 1, "y": 2, "width": 5, "height": 6}}']  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_no_mutation_of_an_answer_makes_it_fail(seed):
    chance = random.Random(seed)
    for _ in range(400):
        letters = [*chance.choice(TEXTS)]
        for _ in range(chance.randint(1, 12)):
            start = chance.randrange(len(letters) + 1)
            letters[start : start + chance.choice((0, 0, 1, 5, 30))] = [chance.choice(PIECES)]
        text = "".join(letters)
        assert_sound(read(text, convention=chance.choice([*Convention])))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=200))
def test_no_text_makes_it_fail(text):
    assert_sound(read(text))


JSON_KEYS = (
    "box bbox_2d points point negative_points x y x1 y1 x2 y2 width height label score instances coordinates clicks"
)
SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS | st.sampled_from(["1,2", "(3 4)", "87%"]),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["", *JSON_KEYS.split()]), inner, max_size=5)
    ),
    max_leaves=25,
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(JSON)
def test_no_json_makes_it_fail(value):
    assert_sound(read(json.dumps(value)))


@pytest.mark.parametrize("seed", range(5))
def test_no_bytes_make_it_fail(seed):
    data = random.Random(seed).randbytes(20_000)
    for encoding in ("latin-1", "utf-16-le", "utf-8"):
        assert_sound(read(data.decode(encoding, "replace")))


def test_brackets_within_brackets_are_read_in_reasonable_time():
    start = time.process_time()
    for text in ("[" * 150_000, '{"box":' * 50_000, "[" * 150_000 + ANSWER, f'[{{"box":{"[" * 50}1{"]" * 50}}}]'):
        assert_sound(read(text))
    assert time.process_time() - start < 15


def test_a_megabyte_is_read_in_reasonable_time():
    boxes = ",".join(f'{{"box":[{i % 600},{i % 400},{i % 600 + 5.5},{i % 400 + i / 1000}]}}' for i in range(6_000))
    start = time.process_time()
    for text in (f"[{boxes}]", "word " * 200_000, ANSWER + " " * 1_000_000, '["' + "a" * 1_000_000):
        assert_sound(read(text))
    assert time.process_time() - start < 30
    assert len(read(f"[{boxes}]").unusable) <= 51


def test_of_very_many_unusable_things_the_rest_is_counted():
    reading = read(json.dumps([{"box": [1, 2, 3]}] * 80))
    assert len(reading.unusable) == 51
    assert reading.unusable[-1] == "30 more things could not be used."
