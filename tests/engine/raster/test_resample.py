"""Weights against plain averages; the same pixel in every window."""

from __future__ import annotations

import numpy as np
import pytest

from rs_textseg_plugin.engine.raster.resample import axis_weights, resample


def whole(values: np.ndarray, valid: np.ndarray, scale: float, rows=None, cols=None):
    """Resample a whole (bands, height, width) image, or a span of its working rows and columns."""
    height, width = values.shape[1:]
    row_span = rows or (0, int(np.ceil(height / scale)))
    col_span = cols or (0, int(np.ceil(width / scale)))
    row_weights, col_weights = axis_weights(*row_span, scale, height), axis_weights(*col_span, scale, width)
    cut = np.s_[row_weights.start : row_weights.stop, col_weights.start : col_weights.stop]
    return resample(values[(slice(None), *cut)], valid[cut], row_weights, col_weights)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (3, 37, 41)).astype(np.float32)


@pytest.fixture
def everywhere(image) -> np.ndarray:
    return np.ones(image.shape[1:], bool)


def test_twice_as_coarse_is_the_mean_of_four(image, everywhere):
    values, valid = whole(image, everywhere, 2.0)
    assert values.shape == (3, 19, 21)
    assert valid.all()
    assert values[0, 3, 4] == pytest.approx(image[0, 6:8, 8:10].mean(), rel=1e-6)


def test_a_fractional_scale_weighs_pixels_by_their_share(everywhere):
    ramp = np.tile(np.arange(41, dtype=np.float32), (1, 37, 1))
    values, _ = whole(ramp, everywhere, 2.5)
    assert values[0, 0, :2] == pytest.approx([(0 + 1 + 0.5 * 2) / 2.5, (0.5 * 2 + 3 + 4) / 2.5])


def test_finer_pixels_are_interpolated_between_centres(everywhere):
    ramp = np.tile(np.arange(41, dtype=np.float32), (1, 37, 1))
    values, _ = whole(ramp, everywhere, 0.5)
    assert values[0, 5, :5] == pytest.approx([0.0, 0.25, 0.75, 1.25, 1.75])
    assert values[0, 5, -1] == pytest.approx(40.0), "beyond the last centre there is nothing to interpolate with"


@pytest.mark.parametrize("scale", [0.3, 0.7, 1.3, 2.0, 2.7, 9.1])
def test_a_constant_image_stays_constant_up_to_the_partial_last_pixel(everywhere, scale):
    values, valid = whole(np.full((1, 37, 41), 77.0, np.float32), everywhere, scale)
    assert valid.all()
    assert values == pytest.approx(77.0, rel=1e-5)


@pytest.mark.parametrize("scale", [0.3, 0.7, 1.3, 2.0, 2.7])
@pytest.mark.parametrize("all_valid", [True, False])
def test_a_part_is_exactly_the_part_of_the_whole(image, everywhere, scale, all_valid):
    valid = everywhere if all_valid else np.random.default_rng(2).uniform(size=everywhere.shape) > 0.3
    values, kept = whole(image, valid, scale)
    part, part_kept = whole(image, valid, scale, rows=(3, 11), cols=(5, 9))
    assert np.array_equal(part, values[:, 3:11, 5:9])
    assert np.array_equal(part_kept, kept[3:11, 5:9])


def test_missing_pixels_do_not_darken_their_neighbours(everywhere):
    values = np.full((1, 37, 41), 100.0, np.float32)
    valid = everywhere.copy()
    valid[:, :1] = False
    values[:, ~valid] = np.nan
    mixed, kept = whole(values, valid, 2.0)
    assert kept[:, 0].all(), "half of the pixel is there"
    assert mixed == pytest.approx(100.0)


@pytest.mark.parametrize("scale", [0.7, 2.0, 2.5, 2.7, 3.0, 9.1])
def test_a_hole_does_not_change_other_pixels_by_a_single_bit(image, everywhere, scale):
    valid = everywhere.copy()
    valid[:2, :2] = False
    first = int(np.ceil(3 / scale)) + 1
    with_hole, _ = whole(image, valid, scale)
    without, _ = whole(image, everywhere, scale)
    assert np.array_equal(with_hole[:, first:, first:], without[:, first:, first:])


def test_a_pixel_is_missing_when_more_than_half_of_it_is(everywhere):
    valid = everywhere.copy()
    valid[0:2, 0:2] = [[False, False], [False, True]]
    _, kept = whole(np.ones((1, 37, 41), np.float32), valid, 2.0)
    assert not kept[0, 0]
    assert kept[0, 1]


def test_the_same_scale_returns_the_same_pixels(image, everywhere):
    values, _ = whole(image, everywhere, 1.0)
    assert values is not None
    assert np.array_equal(values, image)
