from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from upsampling.jitter import AxisView, Jitter


def smooth_pictures(size: int) -> torch.Tensor:
    """Two pictures of 24 px, in a finer or coarser sampling of the same waves."""
    places = (torch.arange(size) + 0.5) / size
    waves = [torch.cos(3.0 * places + k)[:, None] * torch.cos(2.0 * places - k)[None] for k in range(6)]
    return torch.stack(waves).unflatten(0, (2, 3))


def test_a_view_that_changes_nothing_is_the_picture():
    pictures = torch.rand(1, 3, 7, 9)
    torch.testing.assert_close(Jitter(((AxisView(), AxisView()),)).apply(pictures), pictures, atol=1e-5, rtol=0)


def test_flips_moves_and_zooms_are_what_they_say():
    picture = torch.arange(8.0)[None, None, None].expand(1, 1, 8, 8)
    flipped = Jitter(((AxisView(), AxisView(is_flipped=True)),)).apply(picture)
    torch.testing.assert_close(flipped[0, 0, 0], torch.arange(7.0, -1, -1), atol=1e-5, rtol=0)
    moved = Jitter(((AxisView(), AxisView(start=2 / 8)),)).apply(picture)
    torch.testing.assert_close(moved[0, 0, 0], torch.tensor([2.0, 3, 4, 5, 6, 7, 7, 6]), atol=1e-5, rtol=0)  # reflected
    before = Jitter(((AxisView(), AxisView(start=-2 / 8)),)).apply(picture)
    torch.testing.assert_close(before[0, 0, 0], torch.tensor([1.0, 0, 0, 1, 2, 3, 4, 5]), atol=1e-5, rtol=0)
    zoomed = Jitter(((AxisView(), AxisView(start=2 / 8, zoom=2.0)),)).apply(picture)
    torch.testing.assert_close(
        zoomed[0, 0, 0], torch.tensor([1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5.25]), atol=1e-5, rtol=0
    )


def test_the_same_view_of_features_that_are_the_picture_is_the_picture_s_view():
    rng = np.random.default_rng(0)
    coarse, fine = smooth_pictures(48), smooth_pictures(96)  # as features of patches of 8 px
    for _ in range(20):
        jitter = Jitter.draw(2, 48, rng)
        viewed = F.avg_pool2d(jitter.apply(fine), 2)
        torch.testing.assert_close(viewed, jitter.apply(coarse), atol=0.02, rtol=0)


def test_views_stay_within_the_margin_and_half_of_them_zoom():
    rng = np.random.default_rng(1)
    views = [axis for _ in range(200) for axis in Jitter.draw(1, 224, rng).views[0]]
    assert min(view.start for view in views) >= -20 / 224
    assert max(view.start + 1 / view.zoom for view in views) <= 1 + 21 / 224  # a view begins at a whole pixel
    zooms = np.array([view.zoom for view in views])
    assert zooms.min() >= 1.0
    assert zooms.max() <= 2.0
    assert 0.4 < (zooms > 1).mean() < 0.6
    assert 0.4 < np.mean([view.is_flipped for view in views]) < 0.6
    unzoomed = [view.start * 224 for view in views if view.zoom == 1.0]
    np.testing.assert_allclose(unzoomed, np.round(unzoomed), atol=1e-9)


def test_a_view_can_be_learned_through():
    values = torch.rand(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    jitter = Jitter(((AxisView(0.1, 1.3, True), AxisView(-0.05, 1.5)),))
    assert torch.autograd.gradcheck(jitter.apply, values)
