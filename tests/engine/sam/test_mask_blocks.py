"""Masks put together from blocks are those of the whole picture resized at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from rs_textseg_plugin.engine.sam import mask_blocks
from rs_textseg_plugin.engine.sam.mask_blocks import BLOCK_PX, CoarseFrame, StableMask, find_stable_masks

SQUARE = CoarseFrame(256, (256, 256), (256, 256))


def found_in(coarse: torch.Tensor, frame: CoarseFrame, offset: float, min_stability: float) -> list[StableMask]:
    """Look at all masks."""
    return find_stable_masks(coarse, torch.arange(len(coarse)), frame, offset, min_stability)


def resized(coarse: torch.Tensor, frame: CoarseFrame) -> np.ndarray:
    square = F.interpolate(coarse[:, None], (frame.model_px, frame.model_px), mode="bilinear", align_corners=False)
    tile = square[..., : frame.input_size[0], : frame.input_size[1]]
    return F.interpolate(tile, frame.tile_size, mode="bilinear", align_corners=False)[:, 0].numpy()


def on_tile(mask, frame: CoarseFrame) -> np.ndarray:
    whole = np.zeros(frame.tile_size, bool)
    whole[mask.window.slices] = mask.inside
    return whole


def smooth_noise(seed: int, count: int = 4) -> torch.Tensor:
    """Return logits with outlines all over the tile."""
    rough = torch.randn(count, 1, 12, 12, generator=torch.Generator().manual_seed(seed)) * 4
    return F.interpolate(rough, (64, 64), mode="bicubic")[:, 0]


@pytest.mark.parametrize(
    "frame",
    [
        SQUARE,
        CoarseFrame(256, (256, 171), (300, 200)),
        CoarseFrame(256, (171, 256), (20, 30)),
        CoarseFrame(256, (256, 1), (500, 1)),
        CoarseFrame(320, (320, 320), (321, 319)),
    ],
)
def test_every_pixel_is_that_of_the_whole_picture(frame):
    coarse = smooth_noise(1)
    logits = resized(coarse, frame)
    found = found_in(coarse, frame, offset=0.5, min_stability=0)
    assert [one.index for one in found] == [i for i in range(4) if (logits[i] > 0).any()]
    for one in found:
        clear = np.abs(logits[one.index]) > 1e-5  # nearer to the cut, rounding decides
        assert np.array_equal(on_tile(one, frame)[clear], (logits[one.index] > 0)[clear])
        expected = np.sum(logits[one.index] > 0.5) / np.sum(logits[one.index] > -0.5)
        assert one.stability == pytest.approx(expected, abs=1e-4)


def test_a_mask_over_the_whole_tile_fills_it_and_no_more():
    frame = CoarseFrame(256, (256, 200), (250, 195))
    (found,) = found_in(torch.full((1, 64, 64), 9.0), frame, 1.0, 0.95)
    assert (found.window.col, found.window.row, found.window.width, found.window.height) == (0, 0, 195, 250)
    assert found.inside.all()
    assert found.stability == 1


def test_only_blocks_with_an_outline_are_computed(monkeypatch):
    computed = []
    interpolate = mask_blocks._interpolate
    monkeypatch.setattr(
        mask_blocks, "_interpolate", lambda *arguments: computed.append(len(arguments[2])) or interpolate(*arguments)
    )
    coarse = torch.full((1, 64, 64), -9.0)
    coarse[0, :, :36] = 9  # one vertical edge, 20 pixels away from the next border of blocks
    found_in(coarse, SQUARE, 1.0, 0.95)
    assert sum(computed) == 256 // BLOCK_PX


def test_a_mask_outside_the_tile_but_inside_the_padding_is_none():
    coarse = torch.full((1, 64, 64), -9.0)
    coarse[0, 50:60] = 9
    assert found_in(coarse, CoarseFrame(256, (128, 256), (128, 256)), 1.0, 0.0) == []


def test_unstable_masks_are_left_out_and_the_others_keep_their_index():
    steps = torch.full((3, 64, 64), -9.0)
    steps[0, 10:40, 10:40], steps[1, 10:40, 10:40], steps[2, 10:40, 10:40] = 0.5, 9, 9
    assert [one.index for one in found_in(steps, SQUARE, 1.0, 0.5)] == [1, 2]


def test_only_the_masks_that_are_asked_for_are_looked_at():
    coarse = torch.full((5, 64, 64), 9.0)
    found = find_stable_masks(coarse, torch.tensor([3, 1]), SQUARE, 1.0, 0.5)
    assert [one.index for one in found] == [3, 1]


def test_the_layout_in_memory_does_not_matter():
    coarse = smooth_noise(2)
    plain, turned = (found_in(one, SQUARE, 0.5, 0) for one in (coarse, coarse.mT.contiguous().mT))
    assert [one.inside.tobytes() for one in plain] == [one.inside.tobytes() for one in turned]


def test_the_number_of_threads_is_as_before():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        found_in(smooth_noise(1), SQUARE, 1.0, 0.5)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_no_masks_give_no_masks():
    assert found_in(torch.empty(0, 64, 64), SQUARE, 1.0, 0.95) == []


def test_more_masks_than_are_worked_on_at_once_are_all_found():
    coarse = torch.full((70, 64, 64), -9.0)
    for i in range(70):
        coarse[i, i % 50 : i % 50 + 8, 5:15] = 9
    found = found_in(coarse, SQUARE, 1.0, 0.5)
    assert [one.index for one in found] == list(range(70))
    assert [one.window.row // 4 for one in found] == [pytest.approx(i % 50, abs=1) for i in range(70)]
