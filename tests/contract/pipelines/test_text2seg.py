from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines.text2seg import BRANCHES, read_branches
from rs_textseg_plugin.contract.recipe import Recipe


def test_branches_come_in_their_own_order_each_once(subtests):
    for text, branches in (
        ("crops, boxes", ("boxes", "crops")),
        (" points ,,points", ("points",)),
        ("crops,points,boxes", BRANCHES),
    ):
        with subtests.test(text):
            assert read_branches(text) == branches


def test_branches_that_do_not_exist_are_refused_with_those_that_do(subtests):
    for text, words in (("boxes, clicks", "no branch 'clicks' that exists"), ("", "names none"), (" , ", "names none")):
        with subtests.test(text), pytest.raises(RecipeError, match=f"{words}: write some of boxes, points, crops"):
            Recipe("text2seg", parameters={"branches": text}).checked_parameters()


def test_the_published_combination_is_the_union_of_all_branches_on_tiles_that_do_not_overlap():
    values = Recipe("text2seg", preset="text2seg-published").checked_parameters()
    assert (read_branches(values["branches"]), values["combine"], values["overlap_px"]) == (BRANCHES, "union", 0)
