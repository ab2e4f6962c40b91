"""Checks that several methods have."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.shared import (
    check_competitor,
    check_overlap,
    check_stride,
    objects_are_instances,
)


def test_tiles_may_overlap_by_half_and_no_more():
    check_overlap({"tile_px": 257, "overlap_px": 128})
    with pytest.raises(RecipeError, match="overlap_px=129 is more than half of tile_px=257: make it smaller"):
        check_overlap({"tile_px": 257, "overlap_px": 129})


def test_windows_may_lie_side_by_side_and_no_farther():
    check_stride({"clip_stride_px": 224, "clip_window_px": 224})
    with pytest.raises(RecipeError, match=r"clip_stride_px=225 is larger than clip_window_px=224, .* unseen"):
        check_stride({"clip_stride_px": 225, "clip_window_px": 224})


def test_a_competitor_has_a_word(subtests):
    check_competitor({"competitor": "|sea"})
    for words in ("", " ", " | ", "||"):
        with subtests.test(words), pytest.raises(RecipeError, match="competitor names no word: write one"):
            check_competitor({"competitor": words})


def test_objects_are_instances_where_that_is_asked_for():
    assert objects_are_instances({"objects": "instances"})
    assert not objects_are_instances({"objects": "regions"})
