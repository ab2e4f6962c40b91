from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from controls import control

from rs_textseg_plugin.contract.errors import Cancelled, EngineError
from rs_textseg_plugin.engine.vlm.coordinates import Drift, from_picture
from rs_textseg_plugin.engine.vlm.marks import draw_marks
from rs_textseg_plugin.engine.vlm.model import Convention, Reply
from rs_textseg_plugin.engine.vlm.self_test import drawn_size_px, run_self_test

SIZE = (640, 480)
COLOURS = {
    "red": (220, 40, 40),
    "blue": (40, 70, 220),
    "yellow": (245, 220, 40),
    "white": (250, 250, 250),
    "black": (15, 15, 15),
    "purple": (140, 40, 170),
    "orange": (250, 140, 20),
    "cyan": (30, 220, 230),
}


def boxes_in(picture):
    """Where something of each colour is: left, top, right, bottom, found by looking at the picture alone."""
    for colour, rgb in COLOURS.items():
        rows, columns = np.nonzero((picture == rgb).all(axis=2))
        yield colour, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


class LookingModel:
    """A model that sees every mark, errs as it is told to, and says nothing that it did not see in the picture."""

    name = "looking"

    def __init__(self, convention=Convention.PIXELS, shown=None, **errors):
        self.convention = convention
        self._shown = shown
        self.errors = errors
        self.questions = []

    def shown_size(self, width_px, height_px):
        return self._shown or (width_px, height_px)

    def ask(self, picture, asked, control):
        self.questions.append(asked)
        size = picture.shape[1], picture.shape[0]
        shown = self.shown_size(*size)
        written = self.errors.get("writes_as", self.convention)
        instances = []
        for colour, box in boxes_in(picture):
            if colour in self.errors.get("misses", ()):
                continue
            corners = [from_picture(self.err(colour, *box[i : i + 2]), written, shown, size) for i in (0, 2)]
            aside = self.errors.get("points_aside", 0)
            middle = [(low + high) / 2 + aside for low, high in zip(*corners)]
            box = [value for corner in corners for value in corner]
            if self.errors.get("swaps"):
                box, middle = [box[1], box[0], box[3], box[2]], middle[::-1]
            one = {"label": f"the {colour.upper()} one", "positive_points": [middle], "confidence": None}
            instances.append(one if self.errors.get("points_only") else {**one, "box": box})
        return Reply(json.dumps({"instances": instances}), shown)

    def err(self, colour, x, y):
        (scale_x, scale_y), (dx, dy) = self.errors.get("scale", (1, 1)), self.errors.get("shift", (0, 0))
        noise = random.Random(f"{colour} {self.errors.get('seed', 0)}")
        spread = self.errors.get("noise", 0)
        wild_x, wild_y = self.errors.get("wild", {}).get(colour, (0, 0))
        return (
            x * scale_x + dx + noise.uniform(-spread, spread) + wild_x,
            y * scale_y + dy + noise.uniform(-spread, spread) + wild_y,
        )


class SayingModel(LookingModel):
    def __init__(self, text, **more):
        super().__init__()
        self.reply = Reply(text, SIZE, **more)

    def ask(self, picture, asked, control):
        return self.reply


def result_of(model, size=SIZE, decides=False):
    return run_self_test(model, size, control(), decides)


@pytest.mark.parametrize(("size", "seed"), [((640, 480), 0), ((64, 64), 1), ((1024, 300), 2), ((101, 777), 3)])
def test_marks_are_where_they_are_said_to_be_and_whole(size, seed):
    picture, marks = draw_marks(size, seed)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    places = {mark.name.split()[0]: (mark.x, mark.y) for mark in marks}
    assert set(places) == set(COLOURS)
    for colour, (left, top, right, bottom) in boxes_in(picture):
        assert math.dist(places[colour], ((left + right) / 2, (top + bottom) / 2)) <= 0.5
        assert left > 0
        assert top > 0
        assert right < size[0]
        assert bottom < size[1]


def test_the_same_seed_draws_the_same_and_another_one_not():
    first, again, other = (draw_marks(SIZE, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1] != other[1]


def test_the_ground_is_plain_but_not_empty():
    picture, _ = draw_marks(SIZE, 0)
    ground = picture[:10].astype(float)
    assert 1 < ground.std(axis=(0, 1)).max() < 12


@pytest.mark.parametrize("convention", Convention)
def test_a_model_that_is_right_needs_no_correction(convention):
    model = LookingModel(convention, shown=(280, 364))
    result = result_of(model)
    assert result.error_px < 0.6
    assert result.worst_px < 0.8
    assert result.drift == Drift()
    assert result.missed == ()
    assert "8 of 8 marks" in result.sentence


def test_all_marks_are_asked_for_by_name_at_the_size_that_the_model_sees():
    model = LookingModel(shown=(280, 364))
    result_of(model)
    (asked,) = model.questions
    assert all(mark.name in asked.question for mark in draw_marks(SIZE, 0)[1])
    assert "280 pixels wide" in asked.question


def test_a_shift_is_measured_and_corrected():
    result = result_of(LookingModel(shift=(12, -5)))
    assert result.error_px == pytest.approx(13, abs=0.7)
    assert (result.drift.dx_px, result.drift.dy_px) == pytest.approx((-12, 5), abs=1)
    assert "-1" in result.sentence
    assert result.drift.apply((112, 95)) == pytest.approx((100, 100), abs=1)


def test_a_scale_is_measured_and_corrected():
    result = result_of(LookingModel(scale=(0.9, 0.8)))
    assert result.error_px > 20
    assert (result.drift.scale_x, result.drift.scale_y) == pytest.approx((1 / 0.9, 1 / 0.8), abs=0.01)


def test_a_shift_with_a_wild_answer_and_noise_is_corrected():
    result = result_of(LookingModel(shift=(15, 10), noise=1.5, wild={"purple": (-150, 120)}))
    assert result.worst_px > 100
    assert (result.drift.dx_px, result.drift.dy_px) == pytest.approx((-15, -10), abs=4)


def test_points_serve_where_there_is_no_box():
    result = result_of(LookingModel(points_only=True, shift=(8, 0)))
    assert result.error_px == pytest.approx(8, abs=0.6)


def test_boxes_count_where_points_are_merely_somewhere_on_the_mark():
    assert result_of(LookingModel(points_aside=7)).error_px < 0.6


def test_an_error_of_less_than_a_pixel_is_not_corrected():
    result = result_of(LookingModel(shift=(0.8, 0)))
    assert 0.3 < result.error_px < 1.3
    assert result.drift == Drift()


def test_of_a_few_scattered_marks_hardly_ever_a_drift_is_made():
    misses = ("red", "black", "white", "cyan")
    results = [result_of(LookingModel(misses=misses, noise=20, seed=seed), (320, 240)) for seed in range(40)]
    assert sum(result.drift != Drift() for result in results) <= 3  # more than 20 if only the fit itself were looked at


def test_noise_is_no_drift():
    result = result_of(LookingModel(noise=25))
    assert result.error_px > 5
    assert result.drift == Drift()
    assert "corrected" not in result.sentence


def test_marks_that_the_model_misses_are_named():
    result = result_of(LookingModel(misses=("cyan", "white")))
    assert result.missed == ("white cross", "cyan triangle")
    assert "6 of 8 marks were found (not the white cross, cyan triangle)" in result.sentence


def test_few_marks_are_no_ground_for_a_correction():
    result = result_of(LookingModel(misses=("cyan", "white", "red", "blue", "black"), shift=(20, 0)))
    assert result.error_px == pytest.approx(20, abs=0.6)
    assert result.drift == Drift()


def test_y_before_x_is_recognized():
    result = result_of(LookingModel(swaps=True), size=(500, 500))
    assert result.error_px > 50
    assert "y before x" in result.sentence
    assert result.drift == Drift()


OTHERS = [(convention, other) for convention in Convention for other in Convention if other is not convention]


@pytest.mark.parametrize(("convention", "other"), OTHERS)
@pytest.mark.parametrize("size", [(640, 480), (1600, 1500)])
def test_numbers_of_another_convention_are_recognized(convention, other, size):
    result = result_of(LookingModel(convention, writes_as=other), size=size)
    assert f"set convention={other.value}" in result.sentence
    assert result.error_px > 5
    assert result.convention is convention  # what the user or the family says is not overruled


@pytest.mark.parametrize("other", Convention)
@pytest.mark.parametrize("noise", [0, 8])
@pytest.mark.parametrize("size", [(640, 480), (1600, 1500), (1024, 1024), (300, 90)])
def test_where_nobody_says_what_numbers_mean_the_marks_decide(other, noise, size):
    model = LookingModel(writes_as=other, noise=noise * min(size) / 1024)
    result = result_of(model, size, decides=True)
    assert result.convention is other
    assert result.is_settled
    assert f"read as {other.value}" in result.sentence
    assert result.error_px < 12
    assert "may be wrong" not in result.sentence


def test_the_note_says_why_another_convention_is_taken():
    result = result_of(LookingModel(writes_as=Convention.GRID_1000_YX), decides=True)
    assert "read as grid-1000-yx; read as pixels, " in result.sentence
    assert "So grid-1000-yx is taken in this run." in result.sentence


def test_pixels_and_thousandths_are_told_apart_on_pictures_of_about_a_thousand_pixels():
    assert drawn_size_px((1024, 1024), decides=True) == (1024, 768)
    assert drawn_size_px((1024, 1024), decides=False) == (1024, 1024)
    assert drawn_size_px((1024, 500), decides=True) == (1024, 500)


def test_a_correction_is_made_of_what_the_marks_decided():
    result = result_of(LookingModel(writes_as=Convention.GRID_1000, shift=(12, -5)), decides=True)
    assert result.convention is Convention.GRID_1000
    assert result.drift.apply((112, 95)) == pytest.approx((100, 100), abs=1)
    assert result.is_settled


@pytest.mark.parametrize("errors", [{"noise": 120}, {"swaps": True}])
def test_where_no_convention_fits_it_is_said_that_places_may_be_wrong_and_what_to_set(errors):
    result = result_of(LookingModel(**errors), (500, 500), decides=True)
    assert not result.is_settled
    assert result.convention is Convention.PIXELS
    assert "places may be wrong: set convention to one of pixels, grid-1000, grid-1000-yx" in result.sentence


def test_an_answer_that_says_nothing_leaves_a_guess_and_says_so():
    for answer in ("", '{"instances": []}'):
        result = result_of(SayingModel(answer), decides=True)
        assert not result.is_settled
        assert "taken as pixels, which is a guess" in result.sentence
    assert "guess" not in result_of(SayingModel("")).sentence


@pytest.mark.parametrize(
    "text", ["", "I see many marks.", '{"instances": []}', '{"instances": [{"label": "red circle"}]}', "[[1, 2, 3, 4]]"]
)
def test_an_answer_without_marks_says_nothing_about_places(text):
    result = result_of(SayingModel(text))
    assert (result.error_px, result.worst_px) == (math.inf, math.inf)
    assert result.drift == Drift()
    assert len(result.missed) == 8
    assert "says nothing" in result.sentence


def test_a_refusal_says_nothing_about_places():
    result = result_of(SayingModel("", refusal="I cannot help with that."))
    assert "declined" in result.sentence
    assert result.error_px == math.inf


def test_words_that_name_two_colours_or_merely_hold_one_are_no_mark():
    answer = [{"label": label, "box": [10, 10, 20, 20]} for label in ("red or blue", "coloured thing", "")]
    assert len(result_of(SayingModel(json.dumps(answer))).missed) == 8


def test_a_picture_too_small_for_marks_is_not_result_of():
    model = LookingModel()
    result = result_of(model, size=(300, 40))
    assert model.questions == []
    assert "300 x 40 px" in result.sentence
    assert result.drift == Drift()


@pytest.mark.parametrize("error", [Cancelled("stopped"), EngineError("no connection")])
def test_a_model_that_cannot_be_asked_is_the_caller_s_to_handle(error):
    class Failing(LookingModel):
        def ask(self, picture, asked, control):
            assert control.should_stop()
            raise error

    with pytest.raises(type(error), match=str(error)):
        run_self_test(Failing(), SIZE, control(lambda: True))
