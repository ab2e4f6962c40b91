"""What holds for the table of every method."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines import PIPELINES
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PHRASE

METHODS = list(PIPELINES.values())


def other_value(parameter):
    """A value that is not the default and fits."""
    if parameter.choices:
        return next(choice for choice in parameter.choices if choice != parameter.default)
    if parameter.kind == "bool":
        return not parameter.default
    if parameter.kind == "str":
        return f"{parameter.default}x"
    return parameter.minimum if parameter.default != parameter.minimum else parameter.minimum + 1


def test_every_default_fits_its_own_parameter_and_names_its_source(subtests):
    for info in METHODS:
        for parameter in info.parameters:
            with subtests.test(info.name, parameter=parameter.name):
                assert parameter.default is None or parameter.read(parameter.default) == parameter.default
                assert type(parameter.default).__name__ in (parameter.kind, "NoneType")
                assert parameter.help.endswith((".", ")"))
                assert parameter.source
                assert [other.name for other in info.parameters].count(parameter.name) == 1


def test_a_method_at_its_defaults_passes_its_own_checks(subtests):
    for info in METHODS:
        with subtests.test(info.name):
            assert Recipe(info.name).checked_parameters() == {p.name: p.default for p in info.parameters}


def test_a_preset_fits_the_parameters_of_its_method_and_is_written_in_their_types(subtests):
    for info in METHODS:
        for name, preset in info.presets.items():
            with subtests.test(name):
                checked = Recipe(info.name, preset=name).checked_parameters()
                written = {key: (type(value), value) for key, value in preset.values.items()}
                assert written == {key: (type(checked[key]), checked[key]) for key in preset.values}
                assert preset.values
                assert preset.about


def test_a_preset_lists_every_parameter_but_what_follows_the_models_and_the_user_s_permissions(subtests):
    for info in METHODS:
        for name, preset in info.presets.items():
            with subtests.test(name):
                sealed = {p.name for p in info.parameters if not (p.follows_models or p.is_users_own)}
                assert sealed - set(preset.values) == set()


# What a model set may say beside a preset: the size of SAM's picture, batches, which language model answers and how.
FOLLOWING = {"tile_px", "points_per_batch", "prompts_per_batch"}
OF_LANGUAGE_MODELS = {
    "base_url",
    "model",
    "vlm",
    "adapter",
    "convention",
    "max_tokens",
    "timeout_s",
    "tries",
    "self_test",
}


def test_a_model_set_has_a_say_beside_a_preset_in_these_parameters_only(subtests):
    for info in METHODS:
        with subtests.test(info.name):
            following = {p.name for p in info.parameters if p.follows_models}
            assert following <= FOLLOWING | (OF_LANGUAGE_MODELS if info.asks_model else set())


def test_no_value_of_a_model_set_changes_what_a_preset_lists(subtests):
    for info in METHODS:
        of_models = {p.name: other_value(p) for p in info.parameters if p.name != "tile_px"}
        for name, preset in info.presets.items():
            with subtests.test(name):
                values = Recipe(info.name, preset=name, parameters={"model": "m"} if info.asks_model else {})
                checked = values.checked_parameters({**of_models, "vlm": ""})
                assert {key: checked[key] for key in preset.values} == dict(preset.values)


def test_a_publication_s_result_is_a_mask_of_which_nothing_is_dropped_filled_or_smoothed(subtests):
    for info in METHODS:
        for name, preset in info.presets.items():
            if name != "native":  # ours, for large rasters
                with subtests.test(name):
                    assert [preset.values[key] for key in ("min_area_m2", "fill_holes_m2", "simplify_m")] == [0, 0, 0]


def test_the_image_side_changes_with_every_parameter_but_those_of_the_text_side(subtests):
    for info in METHODS:
        values = info.read_parameters({})
        for parameter in info.parameters:
            with subtests.test(info.name, parameter=parameter.name):
                changed = {**values, parameter.name: parameter.read(other_value(parameter))}
                assert changed != values
                assert (info.image_side(changed) == info.image_side(values)) is parameter.is_text_side


def test_what_decides_after_the_text_is_the_text_s_side_and_what_the_models_see_is_not(subtests):
    for info in METHODS:
        with subtests.test(info.name):
            seen = {name for name, _ in info.image_side(info.read_parameters({}))}
            assert {"tile_px", "overlap_px"} <= seen
            assert not seen & {"prob_threshold", "competitor", "templates", "min_area_m2", "simplify_m", "objects"}


def test_a_capability_stands_in_the_table_with_the_parameters_that_go_with_it(subtests):
    for info in METHODS:
        names = {parameter.name for parameter in info.parameters}
        with subtests.test(info.name):
            assert info.looks_at_whole_views == ({"view", "view_px"} <= names)
            assert info.may_send_pictures == ({"base_url", "clicks"} <= names)
            assert info.asks_model == ("max_tokens" in names)
            assert not info.asks_model or info.remark_field
            assert len(info.remark_field) <= 10
            assert info.takes in (CLASSES, PHRASE)
            assert info.takes == CLASSES or not info.answers_phrases
            assert info.asks_model == (info.takes == PHRASE)


def test_a_role_is_needed_or_optional_and_not_both(subtests):
    for info in METHODS:
        with subtests.test(info.name):
            assert info.roles
            assert not set(info.roles) & set(info.optional_roles)


def test_objects_and_heat_come_where_their_parameters_ask_for_them(subtests):
    for info in METHODS:
        choices = {parameter.name: parameter.choices for parameter in info.parameters}
        values = info.read_parameters({})
        with subtests.test(info.name):
            for objects in choices.get("objects", ()):
                if objects != "auto":
                    assert info.makes_instances({**values, "objects": objects}) is (objects == "instances")
            assert info.makes_instances(values) is (info.name in ("grounding-sam", "vlm-sam"))
            can_be_heat = "heat" in choices.get("result", ())
            assert info.makes_heat({**values, "result": "heat"}) is can_be_heat
            assert info.makes_heat(values) is False


def test_values_that_contradict_each_other_are_refused_by_every_method_that_has_them(subtests):
    for info in METHODS:
        names = {parameter.name for parameter in info.parameters}
        for values in (
            {"tile_px": 256, "overlap_px": 129},
            {"clip_window_px": 224, "clip_stride_px": 225},
            {"competitor": " | "},
        ):
            if set(values) <= names:
                with subtests.test(info.name, **values), pytest.raises(RecipeError, match=next(reversed(values))):
                    Recipe(info.name, parameters=values).checked_parameters()
