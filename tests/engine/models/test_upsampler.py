from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file
from tiny_upsamplers import literal_upsampled, published_state

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.bilateral import Bilateral
from rs_textseg_plugin.engine.models.checkpoint import shapes_of
from rs_textseg_plugin.engine.models.kinds import checkpoint_role
from rs_textseg_plugin.engine.models.upsampler import Upsampler, load_upsampler

CPU = torch.device("cpu")
LAYOUTS = {"SimFeatUp": True, "FeatUp": False}


def loaded(folder, state, dtype=torch.float32) -> Upsampler:
    torch.save(state, folder / "upsampler.pt")
    return load_upsampler(folder / "upsampler.pt", CPU, dtype)


def drawn(channels: int, height: int, width: int, picture_px: tuple[int, int]):
    generator = torch.Generator().manual_seed(height * 100 + width)
    features = torch.randn(channels, height, width, generator=generator)
    return features, torch.randn(3, *picture_px, generator=generator)


def upsampled(model: Upsampler, features, picture, limit_bytes: int = 2**22):
    """The product's way: channels mixed first, then upsampled, the offset last."""
    mixed = model.mixed(features.permute(1, 2, 0)).permute(2, 0, 1)
    return model.upsample(mixed, picture, limit_bytes) + model.offset[:, None, None]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("grid", "picture_px"), [((4, 4), (64, 64)), ((3, 5), (48, 80)), ((5, 3), (70, 42))], ids=str)
def test_upsampled_features_equal_the_literal_equations(tmp_path, layout, grid, picture_px):
    state = published_state(8, LAYOUTS[layout])
    features, picture = drawn(8, *grid, picture_px)
    expected = literal_upsampled(state, features, picture)
    found = upsampled(loaded(tmp_path, state), features, picture)
    assert found.shape == (8, 16 * grid[0], 16 * grid[1])
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_words_before_upsampling_equal_words_after_it(tmp_path, layout):
    state = published_state(8, LAYOUTS[layout])
    features, picture = drawn(8, 3, 4, (48, 64))
    words = F.normalize(torch.randn(5, 8), dim=-1)
    literal = literal_upsampled(state, features, picture)
    cosines = torch.einsum("ad,dhw->ahw", words.double(), literal / literal.norm(dim=0))
    model = loaded(tmp_path, state)
    mixed = model.mixed(features.permute(1, 2, 0))
    lengths = model.lengths(mixed.permute(2, 0, 1), picture)
    planes = model.upsample(torch.einsum("hwd,ad->ahw", mixed, words), picture)
    found = (planes + (words @ model.offset)[:, None, None]) / lengths
    np.testing.assert_allclose(lengths, literal.norm(dim=0), rtol=1e-4)
    np.testing.assert_allclose(found, cosines, atol=1e-4)


@pytest.mark.parametrize("grid", [(3, 3), (4, 6)], ids=["fewer patches than channels", "more"])
def test_lengths_equal_those_of_all_channels(tmp_path, grid):
    """Lengths are measured in as many channels as a window's patches span, which must not be seen."""
    state = published_state(20)
    features, picture = drawn(20, *grid, (16 * grid[0], 16 * grid[1]))
    model = loaded(tmp_path, state)
    found = model.lengths(model.mixed(features.permute(1, 2, 0)).permute(2, 0, 1), picture)
    np.testing.assert_allclose(found, literal_upsampled(state, features, picture).norm(dim=0), rtol=1e-4)


def test_patches_that_are_all_alike_have_lengths_too(tmp_path):
    model = loaded(tmp_path, published_state(20))
    same = torch.ones(20, 3, 3)
    found = model.lengths(same, torch.zeros(3, 48, 48))
    upsampled = model.upsample(same, torch.zeros(3, 48, 48)) + model.offset[:, None, None]
    np.testing.assert_allclose(found, upsampled.norm(dim=0), rtol=1e-4)


def test_little_memory_changes_nothing(tmp_path):
    model = loaded(tmp_path, published_state(8))
    features, picture = drawn(8, 3, 4, (48, 64))
    np.testing.assert_allclose(
        upsampled(model, features, picture, 1), upsampled(model, features, picture, 2**30), atol=1e-5
    )
    np.testing.assert_allclose(
        model.lengths(features, picture, 1), model.lengths(features, picture, 2**30), rtol=1e-5, atol=1e-5
    )


def test_memory_in_work_stays_near_its_limit_whatever_the_size():
    """A row of weights is made, used and dropped: the rows of a step do not add up."""
    step = Bilateral(5).eval()
    source, picture = drawn(2, 20, 24, (40, 48))
    with torch.inference_mode():
        parts = [rows.stop - rows.start for rows, _ in step.rows(source, picture, 40 * 2**10 * 10, torch.float32)]
        assert sum(parts) == 40
        assert max(parts) == 400 * 2**10 // step._bytes_of_a_row(48, 2)
        assert [rows.stop - rows.start for rows, _ in step.rows(source, picture, 1, torch.float32)] == [1] * 40


def test_a_grid_smaller_than_the_neighbourhood_is_reflected_again(tmp_path):
    """The published code fails there; a strip of a raster may be that small."""
    model = loaded(tmp_path, published_state(4))
    features, picture = drawn(4, 1, 2, (16, 32))
    assert torch.isfinite(upsampled(model, features, picture)).all()
    flat = torch.full((4, 1, 2), 2.0)
    rows = upsampled(model, flat, torch.zeros(3, 16, 32))
    assert (rows - rows[:, :1, :1]).abs().max() < 1e-4


def test_bf16_stays_close_to_fp32(tmp_path):
    features, picture = drawn(8, 3, 4, (48, 64))
    state = published_state(8)
    exact = upsampled(loaded(tmp_path, state), features, picture)
    close = upsampled(loaded(tmp_path, state, torch.bfloat16), features, picture)
    assert 0 < (exact - close).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["plain", "training", "named", "half"])
def test_every_published_form_of_a_checkpoint_loads_to_the_same_upsampler(tmp_path, layout, kind):
    state = {name: value.half().float() for name, value in published_state(8, LAYOUTS[layout]).items()}
    path = tmp_path / ("named.safetensors" if kind == "named" else "file.ckpt")
    if kind == "named":
        save_file(state, path)
    else:
        inner = {f"upsampler.{name}": value for name, value in state.items()} | {"scale_net.0.bias": torch.zeros(3)}
        halves = {name: value.half() for name, value in state.items()}
        torch.save({"plain": state, "training": {"epoch": 1, "state_dict": inner}, "half": halves}[kind], path)
    features, picture = drawn(8, 3, 3, (48, 48))
    model = load_upsampler(path, CPU, torch.float32)
    assert model.channels == 8
    expected = literal_upsampled(state, features, picture)
    np.testing.assert_allclose(upsampled(model, features, picture), expected, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_upsampler_is_told_from_the_names_of_its_weights(layout):
    state = published_state(8, LAYOUTS[layout])
    assert checkpoint_role(shapes_of(state)) == "upsampler"
    assert checkpoint_role({f"upsampler.{name}": shape for name, shape in shapes_of(state).items()}) == "upsampler"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("up.fixup_proj.3.bias"), "is not whole"),
        (lambda state: state.pop("fixup_proj.1.weight"), "is not whole"),
        (lambda state: state.update({"up.range_proj.3.weight": torch.zeros(5, 5, 1, 1)}), "is not whole"),
        (lambda state: state.update({"up2.range_temp": torch.zeros(())}), "is not whole"),
        (lambda state: state.pop("up.range_temp"), "is not a SimFeatUp or FeatUp checkpoint"),
    ],
)
def test_weights_that_do_not_fit_together_are_refused_in_words(tmp_path, change, words):
    state = published_state(8)
    change(state)
    with pytest.raises(ModelError, match=rf"upsampler\.pt {words}"):
        loaded(tmp_path, state)


def test_the_published_sizes_are_those_of_the_papers(tmp_path):
    counts = [
        sum(p.numel() for p in loaded(tmp_path, published_state(512, one)).network.parameters()) for one in (1, 0)
    ]
    assert counts == [293_729, 287_588]


@pytest.mark.parametrize(("patch_px", "factor"), [(2, 2), (8, 8), (14, 16), (16, 16), (32, 16)])
def test_no_more_features_are_made_of_a_patch_than_it_has_pixels(tmp_path, patch_px, factor):
    model = loaded(tmp_path, published_state(8, is_shared=False))
    features, picture = drawn(8, 3, 4, (3 * patch_px, 4 * patch_px))
    expected = features
    for step in model.network.steps[: factor.bit_length() - 1]:
        expected = step(expected, picture, 2**22, torch.float32)
    model.fit_to(patch_px)
    assert model.factor == factor
    torch.testing.assert_close(model.upsample(features, picture), expected)
    assert model.lengths(features, picture).shape == (3 * factor, 4 * factor)
