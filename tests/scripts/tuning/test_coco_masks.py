from __future__ import annotations

import numpy as np
import pytest
from tuning_data import packed, runs_of

from tuning.coco_masks import decode


def test_runs_go_down_the_columns_and_begin_outside():
    mask = decode({"size": [2, 3], "counts": [1, 2, 3]}, 2, 3)
    assert mask.tolist() == [[False, True, False], [True, False, False]]


def test_letters_stand_for_runs():
    # By hand: 5 = 00101 -> "5"; 40 = 1 01000 -> 01000 with more = 48 + 8 + 32 = "X", then 00001 = "1"; 3 -> "3".
    # The fourth, 12, is written as its difference to 40, -28 = ...1 00100: 48 + 4 + 32 = "T", then -1 = 11111 = "O".
    mask = decode({"size": [6, 10], "counts": "5X13TO"}, 6, 10)
    assert mask.ravel(order="F").tolist() == [False] * 5 + [True] * 40 + [False] * 3 + [True] * 12


def test_any_mask_comes_back_from_runs_and_from_letters(subtests):
    for seed in range(5):
        for density in (0.02, 0.5, 0.98):
            with subtests.test(seed=seed, density=density):
                mask = np.random.default_rng(seed).random((37, 53)) < density
                runs = runs_of(mask)
                assert np.array_equal(decode([runs], 37, 53), mask)
                assert np.array_equal(decode({**runs, "counts": packed(runs["counts"])}, 37, 53), mask)
                assert np.array_equal(decode([{**runs, "counts": packed(runs["counts"]).encode()}], 37, 53), mask)


def test_masks_in_a_list_are_joined():
    first, second = np.zeros((2, 8, 8), bool)
    first[1:3, 1:3], second[5:7, 4:8] = True, True
    assert np.array_equal(decode([runs_of(first), runs_of(second)], 8, 8), first | second)


def test_a_polygon_covers_the_pixels_whose_centres_it_holds():
    mask = decode([[2, 1, 6, 1, 6, 4, 2, 4]], 8, 8)
    expected = np.zeros((8, 8), bool)
    expected[1:4, 2:6] = True
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize("counts", [[3, 2], [10, -6], [1, 2, 3, 4]])
def test_runs_of_another_picture_are_refused(counts):
    with pytest.raises(ValueError, match="runs of"):
        decode({"size": [2, 3], "counts": counts}, 2, 3)
