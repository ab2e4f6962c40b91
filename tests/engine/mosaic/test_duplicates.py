"""Suppression across tiles, against torchvision's."""

import numpy as np
import pytest
import torch

from rs_textseg_plugin.contract.grid import Tile, Window
from rs_textseg_plugin.engine.answers.answer import NO_CLASS, PackedMask, Segment
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from rs_textseg_plugin.engine.mosaic.duplicates import are_alike, box_iou, find_duplicates

ensure_torchvision()

import torchvision  # noqa: E402 (after the repair that it needs)


def random_windows(rng, count: int) -> list[Window]:
    start, size = rng.integers(0, 20, (count, 2)), rng.integers(20, 30, (count, 2))
    return [Window(*map(int, row)) for row in np.concatenate([start, size], axis=1)]


@pytest.mark.parametrize("duplicate_iou", [0.2137, 0.5137, 0.7137])
def test_of_boxes_that_are_all_compared_those_of_torchvision_stay(duplicate_iou):
    rng = np.random.default_rng(12)
    windows, labels = random_windows(rng, 80), rng.integers(0, 3, 80)
    scores = rng.permutation(80) / 80
    pairs = [
        (a, b)
        for a in range(80)
        for b in range(a)
        if labels[a] == labels[b] and box_iou(windows[a], windows[b]) > duplicate_iou
    ]
    dropped = find_duplicates(pairs, lambda number: -scores[number])
    boxes = torch.tensor([(w.col, w.row, w.col_stop, w.row_stop) for w in windows], dtype=torch.float64)
    kept = torchvision.ops.batched_nms(boxes, torch.from_numpy(scores), torch.from_numpy(labels), duplicate_iou)
    assert 0 < len(dropped) < 80
    assert sorted({*range(80)} - {*dropped}) == sorted(kept.tolist())


def test_what_a_better_one_dropped_drops_no_one():
    assert find_duplicates([(0, 1), (1, 2)], lambda number: number) == [1]
    assert find_duplicates([(0, 1), (1, 2)], lambda number: -number) == [1]
    assert find_duplicates([(0, 1), (1, 2)], lambda number: number != 1) == [0, 2]
    assert find_duplicates([], lambda number: number) == []


def test_boxes_that_do_not_meet_have_nothing_in_common():
    one = Window(0, 0, 10, 10)
    assert box_iou(one, Window(10, 0, 10, 10)) == 0
    assert box_iou(one, Window(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert box_iou(one, one) == 1


def segment(window: Window, label: int) -> Segment:
    return Segment(window, PackedMask.of(np.ones((window.height, window.width), bool)), label, np.ones(2, np.float32))


@pytest.mark.parametrize(("labels", "alike"), [((1, 1), True), ((0, 1), False), ((NO_CLASS, NO_CLASS), False)])
def test_masks_are_alike_by_their_class_and_their_boxes_in_the_scene(labels, alike):
    tiles = [Tile(index, 0, Window(96 * index, 0, 128, 128), Window(96 * index, 0, 96, 128)) for index in range(2)]
    first, second = segment(Window(100, 50, 20, 10), labels[0]), segment(Window(4, 50, 10, 10), labels[1])
    assert are_alike(tiles[0], first, tiles[1], second, 0.49) is alike
    assert not are_alike(tiles[0], first, tiles[1], second, 0.5)
