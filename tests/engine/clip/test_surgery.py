from __future__ import annotations

import numpy as np
import pytest
import torch
from controls import control
from literal_segearth import normalised
from literal_surgery import literal_similarity, literal_surgery, literal_surgery_features
from tiny_models import CLIP_CONFIG, open_clip, tiny_clip

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.clip.dense import DenseSettings, observe_dense
from rs_textseg_plugin.engine.clip.surgery import heat_grid, heat_map, heat_of
from rs_textseg_plugin.engine.models.attention import run_blocks
from rs_textseg_plugin.engine.models.clip import ClipModel

CPU = torch.device("cpu")
WORDS = ["building", "road", "tree"]


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return ClipModel(tiny_clip(7), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.float32)


def rgb(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def seen(clip, picture, window_px=64, stride_px=64):
    settings = DenseSettings(0, window_px, stride_px, "surgery", 0.0, fades=False, kept=np.float32)
    return observe_dense(clip, picture, settings, 8, control())


def test_the_architecture_surgery_changes_the_last_six_blocks_of_a_deeper_vit_and_no_others():
    torch.manual_seed(8)
    config = {**CLIP_CONFIG, "vision_cfg": {**CLIP_CONFIG["vision_cfg"], "layers": 8, "width": 64, "head_width": 32}}
    blocks = open_clip.CLIP(**config).eval().visual.transformer.resblocks
    tokens = torch.randn(2, 17, 64)
    with torch.inference_mode():
        found, expected = run_blocks(blocks, tokens, "surgery"), literal_surgery(blocks, tokens)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert (found - run_blocks(blocks, tokens, "vanilla")).abs().max() > 1e-2


@pytest.mark.parametrize("redundant", ["empty", "classes"])
def test_heat_is_the_feature_surgery_of_the_equations(clip, redundant):
    picture = rgb(64, 64)
    words = clip.embed_words([*WORDS, ""], "7")
    heat = heat_of(seen(clip, picture), words[:-1], words[-1], redundant)
    with torch.inference_mode():
        features = literal_surgery_features(clip.model.visual, normalised(picture[None]))
        empty = torch.from_numpy(words[-1]) if redundant == "empty" else None
        expected = literal_similarity(features, torch.from_numpy(words[:-1]), empty)
    np.testing.assert_allclose(heat[0].reshape(3, -1).T, expected[0], atol=1e-5)
    assert np.abs(heat).max() > 1e-3


def test_the_grid_of_a_single_window_is_its_own_and_that_of_several_covers_the_tile(clip):
    words = clip.embed_words([*WORDS, ""], "1")
    for size, rows, columns in [((64, 64), 4, 4), ((96, 128), 6, 8)]:
        features = seen(clip, rgb(*size), stride_px=32)
        found = heat_map(features, heat_of(features, words[:-1], words[-1], "empty"), 100.0)
        grid = heat_grid(found, 16)
        assert grid.shape == (4, rows, columns)
        assert (grid[-1] == 0).all()
    features = seen(clip, rgb(64, 64))
    heat = heat_of(features, words[:-1], words[-1], "empty")
    np.testing.assert_allclose(heat_grid(heat_map(features, heat, 10.0), 16)[:-1], 10 * heat[0], rtol=1e-5)


def test_nothing_competes_and_belongs_to_no_class(clip):
    features = seen(clip, rgb(64, 64))
    legend = Legend.of(parse_class_list("building, road, tree"), "background", closed_list=True)
    found = heat_map(features, np.full((1, 3, 4, 4), -0.2, np.float32), 100.0)
    probabilities = found.probabilities(legend, Window(0, 0, 64, 64))
    assert probabilities.shape == (3, 64, 64)
    assert probabilities.max() < 1e-6
    even = heat_map(features, np.zeros((1, 3, 4, 4), np.float32), 100.0)
    np.testing.assert_allclose(even.probabilities(legend, Window(0, 0, 64, 64)), 0.25, atol=1e-6)
