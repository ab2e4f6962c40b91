from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from rasters import texture, write_raster
from tiny_models import open_clip, tiny_clip
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.models.clip import ClipModel
from upsampling import recipe
from upsampling.features import LAST_BLOCK, Featurizer
from upsampling.jitter import AxisView, Jitter
from upsampling.pictures import PictureSource
from upsampling.recipe import NEAR_BICUBIC, PUBLISHED, Parts, UpsamplerTraining

CPU = torch.device("cpu")


@pytest.fixture
def training(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "_VALIDATION_BATCHES", 1)
    clip = ClipModel(tiny_clip(4), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.float32)
    path = write_raster(tmp_path / "a.tif", texture(64, 64))
    with PictureSource([path], Scene(""), 32) as source:
        yield UpsamplerTraining(source, Featurizer(clip, LAST_BLOCK, "self-self"), "jbu", tmp_path, 1.0, 32, 1)


@pytest.mark.parametrize(("layout", "is_shared"), [("simfeatup", True), ("jbu", False)])
def test_both_layouts_have_the_published_names_and_shapes(layout, is_shared):
    state = Parts(12, layout).upsampler.state_dict()
    published = {name: value.shape for name, value in published_state(12, is_shared).items()}
    assert {name: value.shape for name, value in state.items()} == published


def test_a_step_is_that_of_all_views_at_once(training, monkeypatch):
    """The gradients that are collected view by view are those of the whole sum."""
    training.parts.eval()  # no dropout
    torch.nn.init.normal_(training.parts.upsampler.fixup_proj[1].weight, std=0.1)
    drawn = [Jitter.draw(1, 32, np.random.default_rng(number)) for number in range(5)]
    directions = torch.nn.functional.normalize(torch.randn(1, 32, 30), dim=1)
    pictures = training._source.cut(1, np.random.default_rng(0))
    images = training._featurizer.normalised(pictures)
    monkeypatch.setattr(training._source, "cut", lambda count, rng: pictures)
    views = iter(drawn)
    monkeypatch.setattr(recipe.Jitter, "draw", lambda *_: next(views))
    monkeypatch.setattr(recipe, "random_directions", lambda *_: directions)
    rec, img = training._step()
    found = {name: one.grad.clone() for name, one in training.parts.named_parameters()}
    training.training.optimizer.zero_grad(set_to_none=True)
    upsampled = recipe.upsample(training.parts.upsampler, training._featurizer.features(images), images)
    losses = [training.losses(upsampled, images, view, directions) for view in drawn]
    sum((one.rec + 0.1 * one.img) / 5 for one in losses).backward()
    for name, parameter in training.parts.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-5, rtol=1e-3)
    assert rec == pytest.approx(sum(one.rec.item() for one in losses) / 5, rel=1e-4)
    assert img == pytest.approx(sum(one.img.item() for one in losses) / 5, rel=1e-4)


def test_features_made_small_right_cost_nothing(training):
    images = training._featurizer.normalised(training._source.cut(1, np.random.default_rng(0)))
    same = Jitter(((AxisView(), AxisView()),))
    wanted = training._featurizer.features(images)
    blocks = wanted.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    with torch.no_grad():
        training.parts.downsampler.b.fill_(-1e4)
        training.parts.downsampler.b[8, 8] = 0  # only the middle of each patch counts, which the blur leaves alone
        training.parts.eval()
        found = training.losses(blocks, images, same, torch.eye(32)[None])
        mean = wanted.mean(dim=(0, 2, 3), keepdim=True).expand_as(blocks)
        missed = training.losses(mean, images, same, torch.eye(32)[None])
    assert found.error.item() == pytest.approx(0, abs=1e-6)
    assert found.rec.item() == pytest.approx(0, abs=1e-6)
    assert missed.error.item() == pytest.approx(1, abs=1e-3)


def test_the_first_steps_are_gentle_and_the_optimiser_is_the_published_one(training, monkeypatch):
    lengths = []
    monkeypatch.setattr(training, "_step", lambda: (0.0, 0.0))
    monkeypatch.setattr(training, "validate", dict)
    monkeypatch.setattr(training.training, "follow_gradients", lengths.append)
    monkeypatch.setattr(training.training, "run", lambda: iter(range(12)))
    training.run()
    assert lengths == [1e-4] * 10 + [math.inf] * 2
    assert isinstance(training.training.optimizer, torch.optim.NAdam)
    assert training.training.optimizer.defaults["lr"] == 1e-3


def test_the_first_weights_are_near_those_of_bicubic_upsampling_or_the_published_ones():
    torch.manual_seed(0)
    features, picture = torch.randn(1, 6, 8, 8), torch.rand(1, 3, 128, 128)
    bicubic = torch.nn.functional.interpolate(features, scale_factor=16.0, mode="bicubic")
    missed = {}
    for start in (NEAR_BICUBIC, PUBLISHED):
        network = Parts(6, "simfeatup", start).upsampler.eval()
        with torch.no_grad():
            found = recipe.upsample(network, features, picture)
        missed[start] = ((found - bicubic).square().mean() / bicubic.var()).item()
    assert missed[NEAR_BICUBIC] < 0.2
    assert missed[PUBLISHED] > 0.5


def test_what_has_no_correction_yet_can_learn_one():
    network = Parts(6, "jbu").upsampler
    recipe.upsample(network, torch.randn(1, 6, 2, 2), torch.rand(1, 3, 32, 32)).square().sum().backward()
    for step in network.steps:
        assert step.fixup_proj[3].weight.grad.abs().max() > 0
        assert step.range_proj[0].weight.grad.abs().max() > 0
    assert network.fixup_proj[1].weight.grad.abs().max() > 0
