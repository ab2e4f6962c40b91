"""Suppression across tiles, against torchvision's."""

import numpy as np
import pytest
import torch

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from rs_textseg_plugin.engine.mosaic.duplicates import find_duplicates
from rs_textseg_plugin.engine.segments import NO_CLASS

ensure_torchvision()

import torchvision  # noqa: E402 (after the repair that it needs)


def every_pair(count: int) -> np.ndarray:
    return np.stack(np.triu_indices(count, 1), axis=1)


@pytest.mark.parametrize("duplicate_iou", [0.2, 0.5, 0.7])
def test_of_boxes_that_are_all_compared_those_of_torchvision_stay(duplicate_iou):
    rng = np.random.default_rng()
    start = rng.integers(0, 20, (80, 2))
    corners = np.concatenate([start, start + rng.integers(20, 30, (80, 2))], axis=1)
    labels, scores = rng.integers(0, 3, 80), rng.permutation(80).astype(np.float32) / 80
    dropped = find_duplicates(corners, labels, scores, every_pair(80), duplicate_iou)
    boxes = torch.from_numpy(corners).float()
    kept = torchvision.ops.batched_nms(boxes, torch.from_numpy(scores), torch.from_numpy(labels), duplicate_iou)
    assert 0 < dropped.sum() < 80
    assert sorted(np.flatnonzero(~dropped)) == sorted(kept.tolist())


def test_one_drops_what_a_better_one_dropped_did_not():
    # Each overlaps the next by 0.6: the second goes, so the third has no one to yield to.
    corners = np.array([[0, 0, 40, 10], [10, 0, 50, 10], [20, 0, 60, 10]])
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    dropped = find_duplicates(corners, np.zeros(3, int), scores, every_pair(3), 0.5)
    assert dropped.tolist() == [False, True, False]


def test_only_pairs_of_one_class_are_compared():
    corners = np.array([[0, 0, 10, 10]] * 4)
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    pairs = np.array([[0, 1], [1, 1], [0, 2]])  # the last object lies over none of the others
    dropped = find_duplicates(corners, np.array([0, 1, 0, 0]), scores, pairs, 0.5)
    assert dropped.tolist() == [False, False, True, False]
    assert not find_duplicates(corners, np.full(4, NO_CLASS), scores, every_pair(4), 0.5).any()


def test_nothing_has_no_duplicates():
    nothing = find_duplicates(
        np.empty((0, 4), int), np.empty(0, int), np.empty(0, np.float32), np.empty((0, 2), int), 0.5
    )
    assert nothing.shape == (0,)
