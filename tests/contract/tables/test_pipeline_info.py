"""What the table of any method can do."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.parameter import Parameter
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PHRASE, PipelineInfo

GRID = Parameter("grid", 20, "int", "Help.", "source", 1, 128)
SHARE = Parameter("share", None, "float", "Help.", "source", 0, 1, is_text_side=True)
MODE = Parameter("mode", "a", "str", "Help.", "source", choices=("a", "b"))
URL = "https://vlm.example/v1"


def refuse_a_fine_grid(values):
    if values["grid"] > 64 and values["mode"] == "b":
        raise RecipeError("too fine")


def method(**fields) -> PipelineInfo:
    given = {"takes": CLASSES, "parameters": (GRID, SHARE, MODE), **fields}
    return PipelineInfo("try", "Try", "It tries.", "A paper", ("sam",), **given)


def test_all_parameters_come_back_the_given_ones_in_their_types_and_the_others_at_their_defaults():
    assert method().read_parameters({"grid": "8"}) == {"grid": 8, "share": None, "mode": "a"}


def test_an_unknown_parameter_is_refused_with_those_that_are_near_or_the_first_ones():
    with pytest.raises(RecipeError, match="pipeline try has no parameter 'grit': did you mean grid"):
        method().read_parameters({"grit": 8})
    with pytest.raises(RecipeError, match="'xyz': did you mean grid or mode or share"):
        method().read_parameters({"xyz": 8})


def test_values_that_do_not_fit_each_other_are_refused_by_the_method_s_own_checks():
    info = method(checks=(refuse_a_fine_grid,))
    info.check_together({"grid": 65, "mode": "a"})
    with pytest.raises(RecipeError, match="too fine"):
        info.check_together({"grid": 65, "mode": "b"})


def test_its_own_values_among_those_of_a_model_set_are_found():
    assert method().own({"share": 0.2, "points_per_side": 3}) == {"share": 0.2}
    assert method().own({"share": 0.2}, beside_preset=True) == {}


def test_the_image_side_is_everything_but_what_is_marked_as_the_text_s():
    assert method().image_side({"grid": 8, "share": 0.5, "mode": "b"}) == (("grid", 8), ("mode", "b"))


def test_what_can_be_asked_begins_with_the_usual_kind():
    assert method().question_kinds == (CLASSES,)
    assert method(answers_phrases=True).question_kinds == (CLASSES, PHRASE)
    assert method(takes=PHRASE).question_kinds == (PHRASE,)


def test_pictures_go_to_the_given_address_and_nowhere_where_clicks_are_given_or_the_method_sends_none(subtests):
    sending, keeping = method(may_send_pictures=True), method()
    for info, values, address in (
        (sending, {"base_url": URL}, URL),
        (sending, {"base_url": f" {URL} "}, URL),
        (sending, {"base_url": URL, "clicks": ""}, URL),
        (sending, {"base_url": URL, "clicks": "a.geojson"}, ""),
        (sending, {"base_url": " "}, ""),
        (sending, {"base_url": None}, ""),
        (sending, {}, ""),
        (keeping, {"base_url": URL}, ""),
    ):
        with subtests.test(values=values, may_send_pictures=info.may_send_pictures):
            assert info.pictures_go_to(values) == address


def test_a_method_makes_neither_instances_nor_heat_unless_it_says_so():
    assert (method().makes_instances({"mode": "b"}), method().makes_heat({"mode": "b"})) == (False, False)
    saying = method(makes_instances=lambda values: values["mode"] == "b")
    assert [saying.makes_instances({"mode": mode}) for mode in "ab"] == [False, True]
