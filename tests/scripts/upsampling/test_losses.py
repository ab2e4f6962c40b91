from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rs_textseg_plugin.engine.models.clip import MEAN, STD
from upsampling.jitter import Jitter
from upsampling.losses import (
    PROJECTED,
    AttentionDownsampler,
    Rebuilder,
    ScaleNet,
    image_loss,
    on_common_pixels,
    projected,
    random_directions,
    reconstruction_loss,
)


def literal_blur(plane: torch.Tensor) -> torch.Tensor:
    """The Gaussian's sum over 5 x 5 neighbours, reflected, of a plane ``(H, W)``: pixel by pixel."""
    height, width = plane.shape
    kernel = {(i, j): math.exp(-(i * i + j * j) / 2) for i in range(-2, 3) for j in range(-2, 3)}
    total, result = sum(kernel.values()), torch.zeros_like(plane)
    for row in range(height):
        for col in range(width):
            for (i, j), weight in kernel.items():
                r, c = abs(row + i), abs(col + j)
                r, c = min(r, 2 * (height - 1) - r), min(c, 2 * (width - 1) - c)
                result[row, col] += weight / total * plane[r, c]
    return result


def small(net: AttentionDownsampler, features: torch.Tensor) -> torch.Tensor:
    """All channels of the features, made small."""
    return net(torch.cat([features, projected(features, net.direction(len(features)))], dim=1))


def test_the_downsampler_is_the_literal_loop():
    torch.manual_seed(0)
    net = AttentionDownsampler(3).eval()
    with torch.no_grad():
        net.w.mul_(50)  # else all weights are nearly the same
    features = torch.randn(2, 3, 32, 16)
    blurred = torch.stack([torch.stack([literal_blur(plane) for plane in one]) for one in features])
    vector, offset = net.attention.weight.flatten(), net.attention.bias
    expected = torch.zeros(2, 3, 2, 1)
    for picture in range(2):
        for patch in range(2):
            cells = blurred[picture, :, 16 * patch : 16 * patch + 16]  # (3, 16, 16)
            logits = torch.stack([
                ((cells[:, i, j] @ vector + offset) * net.w[i, j] + net.b[i, j]).squeeze()
                for i in range(16) for j in range(16)
            ])  # fmt: skip
            expected[picture, :, patch, 0] = cells.flatten(1) @ torch.softmax(logits, dim=0)
    with torch.no_grad():
        torch.testing.assert_close(small(net, features), expected.detach(), atol=1e-5, rtol=0)


def test_in_training_some_patches_have_a_kernel_that_does_not_see_the_features():
    torch.manual_seed(1)
    net = AttentionDownsampler(2)
    with torch.no_grad():
        net.w.fill_(100.0)
    planes = torch.randn(1, 3, 320, 320)
    with torch.no_grad():
        trained, seeing = net(planes), net.eval()(planes)
        net.w.zero_()
        unseeing = net(planes)
    is_blind = torch.isclose(trained, unseeing, atol=1e-6).all(dim=1)
    assert 0.12 < is_blind.float().mean() < 0.28
    assert torch.isclose(trained, seeing, atol=1e-6).all(dim=1)[~is_blind].all()


def test_in_training_a_fifth_of_the_channels_is_not_attended_to():
    net = AttentionDownsampler(1000)
    weight = net.attention.weight[0, :, None]
    trained = net.direction(3)
    assert 0.15 < (trained == 0).float().mean() < 0.25
    torch.testing.assert_close(trained[0][trained[0] != 0], (weight / 0.8)[trained[0] != 0])
    assert not torch.equal(trained[0] == 0, trained[1] == 0)
    assert torch.equal(net.eval().direction(1)[0], weight)


def test_features_may_be_projected_before_they_are_viewed_and_made_small():
    torch.manual_seed(4)
    net, features, directions = AttentionDownsampler(6).eval(), torch.randn(2, 6, 32, 48), torch.randn(2, 6, 4)
    jitter = Jitter.draw(2, 48, np.random.default_rng(3))
    with torch.no_grad():
        last = projected(small(net, jitter.apply(features)), directions)
        first = projected(features, torch.cat([directions, net.direction(2)], dim=2))
        torch.testing.assert_close(net(jitter.apply(first)), last, atol=1e-5, rtol=0)


def test_the_reconstruction_loss_weighs_the_error_with_the_scale():
    wanted = torch.zeros(1, 2, 1, 2)
    made_small = torch.tensor([[[[3.0, 0.0]], [[1.0, 0.0]]]])
    scales = torch.tensor([[[[2.0, 0.25]]]])
    expected = ((9 / 8 + 1 / 8) + 2 * math.log(2) + 2 * math.log(0.25)) / 4
    assert reconstruction_loss(made_small, wanted, scales).item() == pytest.approx(expected)
    directions = torch.tensor([[[0.6], [0.8]]])  # 3 * 0.6 + 1 * 0.8 = 2.6
    expected = (2.6**2 / 8 + math.log(2) + math.log(0.25)) / 2
    assert reconstruction_loss(projected(made_small, directions), torch.zeros(1), scales).item() == pytest.approx(
        expected
    )


def test_directions_have_unit_length_and_keep_distances_on_average():
    torch.manual_seed(2)
    directions = random_directions(4, 64, torch.device("cpu"))
    assert directions.shape == (4, 64, PROJECTED)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(4, PROJECTED))
    difference = torch.randn(4, 64, 8, 8)
    found = reconstruction_loss(projected(difference, directions), torch.zeros(1), torch.ones(1))
    assert found.item() == pytest.approx(0.5 * difference.square().mean().item(), rel=0.1)


def test_a_scale_is_one_before_training_and_never_zero():
    net = ScaleNet(4)
    assert torch.equal(net(torch.randn(1, 4, 2, 2)), torch.ones(1, 1, 2, 2))
    torch.nn.init.constant_(net.convolution.bias, -50)
    assert net(torch.randn(1, 4, 2, 2)).min().item() == pytest.approx(1e-4)


def test_a_picture_rebuilt_as_it_is_costs_nothing_and_black_for_white_four():
    white = ((1 - MEAN) / STD).expand(1, 3, 4, 4)
    assert image_loss(torch.ones(1, 3, 4, 4), white).item() == pytest.approx(0, abs=1e-6)
    black = (-MEAN / STD).expand(1, 3, 4, 4)
    assert image_loss(-torch.ones(1, 3, 4, 4), black).item() == pytest.approx(0, abs=1e-6)
    assert image_loss(-torch.ones(1, 3, 4, 4), white).item() == pytest.approx(4, abs=1e-5)


def test_a_picture_is_rebuilt_from_each_pixel_alone():
    torch.manual_seed(3)
    net, features = Rebuilder(5), torch.randn(1, 5, 6, 4)
    rebuilt = net(features)
    assert rebuilt.shape == (1, 3, 6, 4)
    assert rebuilt.abs().max() < 1
    torch.testing.assert_close(net(features[:, :, 2:3, 1:2]), rebuilt[:, :, 2:3, 1:2])


def test_features_and_picture_meet_on_the_coarser_grid():
    features, picture = torch.rand(1, 2, 8, 8), torch.rand(1, 3, 4, 4)
    fine, same = on_common_pixels(features, picture)
    assert torch.equal(same, picture)
    torch.testing.assert_close(fine[0, 0, 0, 0], features[0, 0, :2, :2].mean())
    same, small = on_common_pixels(picture, features)
    assert torch.equal(same, picture)
    assert small.shape == (1, 2, 4, 4)
