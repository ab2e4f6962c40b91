from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from controls import control
from literal_presets import opencv_bilinear
from PIL import Image
from rasters import texture

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.clip.dense import (
    DenseSettings,
    answer_dense,
    clip_picture,
    observe_dense,
    sliding_windows,
)
from rs_textseg_plugin.engine.models.clip import ClipModel, load_clip

AS_PUBLISHED = DenseSettings(
    long_side_px=112, window_px=64, stride_px=32, attention="self-self", cls_weight=0.3, fades=False
)
SCALE = 50.0


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def clip(tiny_models) -> ClipModel:
    return load_clip(tiny_models / "clip_tiny.pt", "", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def tile() -> np.ndarray:
    return np.ascontiguousarray(texture(96, 150).transpose(1, 2, 0))


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    drawn = np.random.default_rng(4).normal(size=(5, 32))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def starts(length: int, size: int, stride: int) -> list[int]:
    """As mmsegmentation's slide_inference counts its windows."""
    count = max(length - size + stride - 1, 0) // stride + 1
    return [max(min(i * stride + size, length) - size, 0) for i in range(count)]


def plainly(clip: ClipModel, rgb: np.ndarray, settings: DenseSettings, words: np.ndarray) -> np.ndarray:
    """Word logits (A, H, W) in the published order, one window after the other and in float32."""
    height, width = rgb.shape[:2]
    scale = (settings.long_side_px or max(height, width)) / max(height, width)
    canvas = Image.fromarray(rgb).resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    picture = torch.from_numpy(np.asarray(canvas).copy()).permute(2, 0, 1)[None]
    total = torch.zeros(1, len(words), *picture.shape[2:])
    count = torch.zeros(1, 1, *picture.shape[2:])
    size, vocabulary = settings.window_px, torch.from_numpy(words)
    for row in starts(picture.shape[2], size, settings.stride_px):
        for col in starts(picture.shape[3], size, settings.stride_px):
            crop = picture[:, :, row : row + size, col : col + size]
            patches, cls = clip.dense_features(crop.permute(0, 2, 3, 1).numpy(), settings.attention)
            logits = SCALE * (patches @ vocabulary.T - settings.cls_weight * (cls @ vocabulary.T)[:, None, None])
            upsampled = F.interpolate(logits.permute(0, 3, 1, 2), size=crop.shape[2:], mode="bilinear")
            total[:, :, row : row + size, col : col + size] += upsampled
            count[:, :, row : row + size, col : col + size] += 1
    return F.interpolate(total / count, size=(height, width), mode="bilinear")[0].numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"long_side_px": 0, "stride_px": 48},
        {"attention": "vanilla"},
        {"cls_weight": 0.0},
        {"cls_weight": 1.5},
    ],
    ids=str,
)
def test_the_dense_map_is_that_of_a_plain_loop(clip, tile, words, changes):
    settings = replace(AS_PUBLISHED, **changes)
    found = answer_dense(observe_dense(clip, tile, settings, 3, control()), words, SCALE)
    expected = plainly(clip, tile, settings, words)
    assert expected.std() > 1
    np.testing.assert_allclose(found.logits(Window(0, 0, 150, 96)), expected, atol=0.1)
    np.testing.assert_allclose(found.logits(Window(31, 17, 40, 50)), expected[:, 17:67, 31:71], atol=0.1)


def test_the_batch_size_changes_nothing(clip, tile):
    one, many = (observe_dense(clip, tile, AS_PUBLISHED, batch, control()) for batch in (1, 64))
    np.testing.assert_allclose(one.patches.astype(float), many.patches.astype(float), atol=2e-3)
    np.testing.assert_allclose(one.globals.astype(float), many.globals.astype(float), atol=2e-3)
    assert one.windows == many.windows


def test_an_observation_says_what_it_saw_in_which_shapes(clip, tile):
    seen = observe_dense(clip, tile, AS_PUBLISHED, 2, control())
    assert (seen.canvas, seen.tile) == ((72, 112), (96, 150))
    assert seen.windows == tuple(sliding_windows(112, 72, 64, 32))
    assert seen.patches.shape == (len(seen.windows), 4, 4, 32)
    assert seen.globals.shape == (len(seen.windows), 32)
    assert seen.patches.dtype == seen.globals.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(seen.patches.astype(float), axis=-1), 1, atol=2e-3)
    assert seen.frame == Window(0, 0, 64, 64)
    assert seen.overlap_px == 0


def test_windows_fade_over_their_overlap_only_where_that_is_asked_for(clip, tile, words):
    fading = observe_dense(clip, tile, replace(AS_PUBLISHED, fades=True), 4, control())
    apart = observe_dense(clip, tile, replace(AS_PUBLISHED, fades=True, stride_px=64), 4, control())
    assert (fading.overlap_px, apart.overlap_px) == (32, 0)
    assert answer_dense(fading, words, SCALE).overlap_px == 32


def test_a_tile_smaller_than_the_window_is_padded_to_whole_patches(clip, words):
    rgb = np.ascontiguousarray(texture(40, 53).transpose(1, 2, 0))
    seen = observe_dense(clip, rgb, replace(AS_PUBLISHED, long_side_px=0), 4, control())
    assert seen.windows == (Window(0, 0, 53, 40),)
    assert seen.frame == Window(-5, -4, 64, 48)
    assert answer_dense(seen, words, SCALE).logits(Window(0, 0, 53, 40)).shape == (5, 40, 53)


def test_a_cancelled_look_stops_between_two_batches(clip, tile):
    asked = []

    def after_the_first() -> bool:
        asked.append(True)
        return len(asked) == 2

    with pytest.raises(Cancelled, match="cancelled"):
        observe_dense(clip, tile, AS_PUBLISHED, 1, control(after_the_first))
    assert len(asked) == 2


@pytest.mark.parametrize(("width", "height"), [(448, 448), (449, 300), (448, 224), (225, 560), (1000, 337)])
def test_sliding_windows_cover_everything_and_the_last_is_shifted_inwards(width, height):
    windows = sliding_windows(width, height, 224, 112)
    seen = np.zeros((height, width), int)
    for window in windows:
        assert (window.width, window.height) == (224, 224)
        assert window.intersection(Window(0, 0, width, height)) == window
        seen[window.slices] += 1
    assert seen.min() >= 1
    assert len(set(windows)) == len(windows)
    assert sorted({window.col for window in windows}) == starts(width, 224, 112)
    assert sorted({window.row for window in windows}) == starts(height, 224, 112)
    assert (windows[-1].col_stop, windows[-1].row_stop) == (width, height)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (100, 60, [Window(0, 0, 100, 60)]),
        (224, 60, [Window(0, 0, 224, 60)]),
        (60, 250, [Window(0, 0, 60, 224), Window(0, 26, 60, 224)]),
        (1, 1, [Window(0, 0, 1, 1)]),
    ],
)
def test_a_side_shorter_than_the_window_gives_windows_of_that_side(width, height, expected):
    assert sliding_windows(width, height, 224, 112) == expected


@pytest.mark.parametrize(("height", "width"), [(96, 150), (31, 17), (1, 40)])
def test_the_picture_is_resized_as_asked_for(height, width):
    rgb = np.ascontiguousarray(texture(height, width).transpose(1, 2, 0))
    size = (max(1, int(width * 64 / max(height, width) + 0.5)), max(1, int(height * 64 / max(height, width) + 0.5)))
    planes = torch.from_numpy(rgb).permute(2, 0, 1)[None].double()
    expected = F.interpolate(planes, (size[1], size[0]), mode="bilinear")[0].permute(1, 2, 0).numpy()
    plain = clip_picture(rgb, 64, "plain")
    assert np.abs(plain - expected).max() <= 0.5 + 1e-3  # rounded, and nothing else
    literal = opencv_bilinear(rgb, *size)
    assert np.abs(plain.astype(int) - literal).max() <= 1  # where single precision falls on the other side of a half
    assert (plain != literal).mean() < 0.005
    smooth = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(clip_picture(rgb, 64, "smooth"), smooth)
    square = np.asarray(Image.fromarray(rgb).resize((64, 64), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(clip_picture(rgb, 64, "square"), square)
    assert all(clip_picture(rgb, 0, way) is rgb for way in ("plain", "smooth", "square"))
