from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from controls import control
from literal_segearth import literal_logits
from rasters import texture
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.clip.dense import DenseSettings, answer_dense, observe_dense, sliding_windows
from rs_textseg_plugin.engine.clip.dense_upsampled import DenseUpsampler, UpsampledFeatures, join_windows
from rs_textseg_plugin.engine.models.clip import ClipModel, load_clip
from rs_textseg_plugin.engine.models.upsampler import load_upsampler

CPU = torch.device("cpu")
AS_PUBLISHED = DenseSettings(
    long_side_px=112, window_px=64, stride_px=32, attention="self-self", cls_weight=0.3, fades=False, kept=np.float32
)
UNEVEN = replace(AS_PUBLISHED, long_side_px=0, window_px=60, stride_px=44)
SMALL = replace(AS_PUBLISHED, long_side_px=53, window_px=64)


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def clip(tiny_models) -> ClipModel:
    return load_clip(tiny_models / "clip_tiny.pt", "", CPU, torch.float32)


@pytest.fixture(scope="module")
def tile() -> np.ndarray:
    return np.ascontiguousarray(texture(96, 150).transpose(1, 2, 0))


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    drawn = np.random.default_rng(4).normal(size=(5, 32))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def pair(clip, folder, is_shared=True):
    """The product's way and the state dict for the literal one."""
    state = published_state(32, is_shared)
    torch.save(state, folder / "upsampler.ckpt")
    return DenseUpsampler(clip, load_upsampler(folder / "upsampler.ckpt", CPU, torch.float32)), state


def whole(tile: np.ndarray) -> Window:
    return Window(0, 0, tile.shape[1], tile.shape[0])


@pytest.mark.parametrize("is_shared", [True, False], ids=["SimFeatUp", "FeatUp"])
@pytest.mark.parametrize("settings", [AS_PUBLISHED, UNEVEN, SMALL], ids=["as published", "uneven", "small"])
def test_upsampled_logits_equal_the_literal_method(clip, tile, words, tmp_path, settings, is_shared):
    method, state = pair(clip, tmp_path, is_shared)
    seen = method.observe(tile, settings, 3, control())
    found = method.answer(seen, words, 1.0, control()).logits(whole(tile))
    expected = literal_logits(clip.model.visual, state, tile, words, settings)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("attention", ["self-self", "sclip", "maskclip", "gem"])
@pytest.mark.parametrize("settings", [AS_PUBLISHED, UNEVEN, SMALL], ids=["as published", "uneven", "small"])
def test_bilinear_logits_equal_the_literal_method(clip, tile, words, settings, attention):
    settings = replace(settings, attention=attention)
    found = answer_dense(observe_dense(clip, tile, settings, 3, control()), words, 1.0).logits(whole(tile))
    expected = literal_logits(clip.model.visual, None, tile, words, settings)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_is_kept_in_half_precision_costs_little_accuracy(clip, tile, words, tmp_path):
    method, _ = pair(clip, tmp_path)
    maps = []
    for kept in (np.float16, np.float32):
        seen = method.observe(tile, replace(AS_PUBLISHED, kept=kept), 3, control())
        assert seen.dense.patches.dtype == kept
        maps.append(method.answer(seen, words, 50.0, control()))
    assert maps[0].window_logits.dtype == np.float16
    np.testing.assert_allclose(*(one.logits(whole(tile)) for one in maps), atol=0.05)


def test_any_part_of_the_map_is_cut_out_of_the_whole(clip, tile, words, tmp_path):
    method, _ = pair(clip, tmp_path)
    for settings in (AS_PUBLISHED, UNEVEN):
        found = method.answer(method.observe(tile, settings, 3, control()), words, 50.0, control())
        part = Window(31, 17, 40, 50)
        np.testing.assert_allclose(
            found.logits(part), found.logits(whole(tile))[(slice(None), *part.slices)], atol=1e-4
        )


def test_windows_fade_into_each_other_where_that_is_asked_for(clip, words, tmp_path):
    """Along a line across the border of a window the map has no larger step than elsewhere."""
    method, _ = pair(clip, tmp_path)
    flat = np.full((64, 160, 3), 120, np.uint8)
    flat[:, ::7] = 30
    steps = []
    for fades in (False, True):
        settings = replace(AS_PUBLISHED, long_side_px=0, stride_px=48, fades=fades)
        seen = method.observe(flat, settings, 3, control())
        logits = method.answer(seen, words, 50.0, control()).logits(whole(flat))
        steps.append(np.abs(np.diff(logits[..., 47:50], axis=-1)).mean())
    assert steps[1] < steps[0]


def test_memory_that_was_given_up_changes_nothing(clip, tile, words, tmp_path):
    method, _ = pair(clip, tmp_path)
    controls = (control(), control(batch_divisor=2**12))
    first, second = (method.observe(tile, AS_PUBLISHED, 3, one) for one in controls)
    np.testing.assert_allclose(first.lengths, second.lengths, rtol=1e-4)
    maps = [method.answer(first, words, 1.0, one) for one in controls]
    np.testing.assert_allclose(maps[0].window_logits, maps[1].window_logits, atol=1e-4)


def test_an_observation_knows_its_shapes_and_its_size(clip, tile, tmp_path):
    method, _ = pair(clip, tmp_path)
    seen = method.observe(tile, AS_PUBLISHED, 3, control())
    assert isinstance(seen, UpsampledFeatures)
    assert seen.lengths.shape == (len(seen.dense.windows), 64, 64)
    assert seen.canvas.shape == (72, 112, 3)
    arrays = (seen.lengths, seen.canvas, seen.dense.patches, seen.dense.globals)
    assert seen.nbytes == sum(array.nbytes for array in arrays)


@pytest.mark.parametrize("overlap_px", [0, 13])
def test_joined_windows_are_the_weighted_mean_of_all_that_see_a_pixel(overlap_px):
    rng, canvas = np.random.default_rng(5), (61, 90)
    windows = sliding_windows(90, 61, 32, 19)  # the last ones are shifted inwards
    parts = [rng.normal(size=(3, window.height, window.width)).astype(np.float32) for window in windows]
    total, weights = np.zeros((3, *canvas)), np.zeros(canvas)
    for window, part in zip(windows, parts):
        centres = np.arange(32) + 0.5
        ramp = np.minimum(np.minimum(centres, 32 - centres) / overlap_px, 1) if overlap_px else np.ones(32)
        total[(slice(None), *window.slices)] += ramp[:, None] * ramp * part
        weights[window.slices] += ramp[:, None] * ramp
    found = join_windows(windows, iter(parts), canvas, overlap_px)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, total / weights, atol=1e-5)


@pytest.mark.parametrize("calls", [3, 4])
def test_a_cancel_is_heard_between_two_windows(clip, tile, words, tmp_path, calls):
    method, _ = pair(clip, tmp_path)
    seen = method.observe(tile, AS_PUBLISHED, 64, control())
    for act in (
        lambda stop: method.observe(tile, AS_PUBLISHED, 64, control(stop)),
        lambda stop: method.answer(seen, words, 50.0, control(stop)),
    ):
        asked = []
        with pytest.raises(Cancelled):
            act(lambda asked=asked: asked.append(True) or len(asked) == calls)
        assert len(asked) == calls
