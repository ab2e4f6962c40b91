from __future__ import annotations

import pytest
import torch
from tiny_upsamplers import literal_upsampled, published_state

from rs_textseg_plugin.engine.models.bilateral import Bilateral
from rs_textseg_plugin.engine.models.upsampler import Upsampler, UpsamplerNetwork
from upsampling.differentiable import products, upsample, upsample_by_two, weighted_sums

CPU = torch.device("cpu")


def network_with(state: dict[str, torch.Tensor], channels: int) -> UpsamplerNetwork:
    is_shared = "up.range_temp" in state
    network = UpsamplerNetwork(channels, 5 if is_shared else 3, 32, is_shared).eval()
    network.load_state_dict(state, strict=True)
    return network


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("grid", [(1, 2), (3, 4)])
def test_the_form_for_training_is_the_products(is_shared, grid):
    state = published_state(8, is_shared)
    network = network_with(state, 8)
    features, pictures = torch.randn(2, 8, *grid), torch.randn(2, 3, 40, 24)
    found = upsample(network, features, pictures)
    product = Upsampler(network, "own", CPU, torch.float32)
    for index in range(2):
        planes = product.mixed(features[index].permute(1, 2, 0)).permute(2, 0, 1)
        own = product.upsample(planes, pictures[index]) + product.offset[:, None, None]
        torch.testing.assert_close(found[index], own.clone(), atol=1e-4, rtol=0)
        if min(grid) > 2:  # the literal form cannot reflect margins that are wider than the picture
            literal = literal_upsampled(state, features[index], pictures[index])
            torch.testing.assert_close(found[index].double(), literal, atol=1e-4, rtol=0)


def test_one_step_is_the_products_at_a_width_that_fills_no_block():
    torch.manual_seed(1)
    step = Bilateral(5).eval()
    source, picture = torch.randn(4, 11, 9), torch.randn(3, 50, 60)
    own = step(source, picture, 2**20, torch.float32)
    torch.testing.assert_close(upsample_by_two(step, source, picture), own, atol=1e-5, rtol=0)


def test_the_gradients_are_those_of_finite_differences():
    torch.manual_seed(2)
    values = torch.randn(2, 17, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 17, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: products(v, 1), values, fast_mode=True)
    assert torch.autograd.gradcheck(lambda v, w: weighted_sums(v, w, 1), (values, weights), fast_mode=True)


def test_every_parameter_gets_a_gradient_and_dropout_works_in_training_only():
    torch.manual_seed(3)
    network = UpsamplerNetwork(6, 3, 8, False)
    features, pictures = torch.randn(1, 6, 2, 2), torch.randn(1, 3, 32, 32)
    upsample(network, features, pictures).square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in network.parameters())
    assert not torch.equal(upsample(network, features, pictures), upsample(network, features, pictures))
    network.eval()
    assert torch.equal(upsample(network, features, pictures), upsample(network, features, pictures))


def test_the_last_mixing_leaves_out_channels_in_training():
    torch.manual_seed(4)
    network = UpsamplerNetwork(6, 3, 8, False).eval()
    features, pictures = torch.randn(1, 6, 2, 2), torch.randn(1, 3, 32, 32)
    whole = upsample(network, features, pictures)
    network.fixup_proj.train()
    assert any(not torch.equal(upsample(network, features, pictures), whole) for _ in range(20))
