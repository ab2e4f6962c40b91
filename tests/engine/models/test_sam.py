"""SAM of any size: told from its weights, and the same numbers as segment_anything's own predictor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_sam import wrapped
from safetensors.torch import save_file
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.utils.transforms import ResizeLongestSide
from tiny_models import tiny_clip, tiny_sam

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import shapes_of
from rs_textseg_plugin.engine.models.sam import SamModel, fit_long_side, load_sam
from rs_textseg_plugin.engine.models.sam_architecture import METADATA_KEY, SamConfig, build_sam

CPU = torch.device("cpu")
SMALL = SamConfig(256, 8, 48, 3, 3, 100, 8, (1,), prompt_dim=64, mask_in_channels=8, mask_outputs=2, decoder_depth=1, decoder_mlp_dim=96, iou_head_depth=2, iou_head_dim=32)  # fmt: skip  # noqa: E501
# As a demonstration model may be: no table tells how many heads there are and where attention is local.
WITHOUT_POSITIONS = SamConfig(128, 8, 40, 2, 5, 160, 4, (1,), encoder_rel_pos=False, prompt_dim=32, decoder_heads=4, decoder_mlp_dim=64)  # fmt: skip  # noqa: E501


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def saved(config: SamConfig, path: Path, metadata: dict[str, str] | None = None) -> Path:
    torch.manual_seed(3)
    state = {key: torch.randn_like(value) * 0.1 for key, value in build_sam(config).state_dict().items()}
    save_file(state, path, metadata) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("name", "dim", "depth", "heads", "global_blocks"),
    [
        ("vit_b", 768, 12, 12, (2, 5, 8, 11)),
        ("vit_l", 1024, 24, 16, (5, 11, 17, 23)),
        ("vit_h", 1280, 32, 16, (7, 15, 23, 31)),
    ],
)
def test_the_published_sizes_are_told_from_their_shapes(name, dim, depth, heads, global_blocks):
    with torch.device("meta"):
        shapes = shapes_of(sam_model_registry[name]().state_dict())
    expected = SamConfig(1024, 16, dim, depth, heads, 4 * dim, 14, global_blocks)
    assert SamConfig.from_shapes(shapes) == expected
    with torch.device("meta"):
        assert shapes_of(build_sam(expected).state_dict()) == shapes


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"window_size": 0, "global_blocks": (0, 1, 2)},
        {"encoder_qkv_bias": False},
        {"encoder_dim": 49, "encoder_heads": 7, "encoder_mlp_dim": 198},  # 49 * (198 / 49) is less than 198
    ],
)
def test_a_small_architecture_is_told_from_its_shapes(changes):
    config = replace(SMALL, **changes)
    assert SamConfig.from_shapes(shapes_of(build_sam(config).state_dict())) == config


@pytest.mark.parametrize(
    ("rows", "reason"),
    [(None, "encoder_heads"), (9, "blocks with windows of different sizes: ")],
    ids=["one block without positions", "one block with another window"],
)
def test_an_encoder_of_unequal_blocks_is_refused(rows, reason, tmp_path):
    state = build_sam(SMALL).state_dict()
    table = state.pop("image_encoder.blocks.0.attn.rel_pos_h")
    if rows:
        state["image_encoder.blocks.0.attn.rel_pos_h"] = table[:rows]
    torch.save(state, tmp_path / "sam.pth")
    with pytest.raises(ModelError, match=f"cannot be told .*{reason}"):
        load_sam(tmp_path / "sam.pth", CPU, torch.float32)


def test_what_was_written_down_comes_before_what_the_shapes_say():
    shapes = shapes_of(build_sam(SMALL).state_dict())
    told = SamConfig.from_shapes(shapes, {"decoder_heads": 4, "pixel_mean": [1, 2, 3]})
    assert (told.decoder_heads, told.pixel_mean, told.encoder_depth) == (4, (1, 2, 3), 3)


def test_the_header_of_a_file_tells_what_shapes_cannot(tmp_path):
    path = saved(WITHOUT_POSITIONS, tmp_path / "sam.safetensors", WITHOUT_POSITIONS.to_metadata())
    sam = load_sam(path, CPU, torch.float32).sam
    assert sam.image_encoder.blocks[0].attn.num_heads == 5
    assert [block.window_size for block in sam.image_encoder.blocks] == [4, 0]
    assert sam.mask_decoder.transformer.num_heads == 4


def test_without_such_a_header_that_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"sam.safetensors cannot be told \(.*encoder_heads.*sam_config in its header"):
        load_sam(saved(WITHOUT_POSITIONS, tmp_path / "sam.safetensors"), CPU, torch.float32)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("{not json", "Expecting property name"),
        (json.dumps({"encoder_headz": 3}), "its sam_config has unknown fields: encoder_headz"),
        (json.dumps([1, 2]), "dictionary"),
        (json.dumps({"decoder_heads": 7}), "num_heads must divide"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(written, reason, tmp_path):
    path = saved(SMALL, tmp_path / "sam.safetensors", {METADATA_KEY: written})
    with pytest.raises(ModelError, match=f"The architecture of the SAM checkpoint .*{reason}") as failure:
        load_sam(path, CPU, torch.float32)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_loaded_model_is_the_saved_one(suffix, tmp_path):
    path = saved(SMALL, tmp_path / f"sam{suffix}")
    sam = load_sam(path, CPU, torch.float32).sam
    torch.manual_seed(3)
    for key, value in build_sam(SMALL).state_dict().items():
        assert torch.equal(sam.state_dict()[key], torch.randn_like(value) * 0.1)
    assert sam.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert sam.pixel_std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])
    assert not sam.training


def test_the_loaded_model_computes_what_the_saved_one_does(tmp_path):
    sam = tiny_sam(2)
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    loaded, point = load_sam(tmp_path / "sam.pth", CPU, torch.float32), np.array([[30.0, 40.0]])
    expected, rating = wrapped(sam).decode_points(wrapped(sam).embed(picture(90, 100)), point)
    ours, our_rating = loaded.decode_points(loaded.embed(picture(90, 100)), point)
    assert torch.allclose(ours, expected, rtol=0, atol=1e-7)
    assert torch.allclose(our_rating, rating, rtol=0, atol=1e-7)


def test_half_precision_weights_are_loaded_as_float32(tmp_path):
    state = {key: value.half() for key, value in tiny_sam().state_dict().items()}
    torch.save(state, tmp_path / "sam.pth")
    sam = load_sam(tmp_path / "sam.pth", CPU, torch.float32).sam
    assert {value.dtype for value in sam.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("mask_decoder.iou_token.weight"), "it lacks mask_decoder.iou_token.weight"),
        (lambda state: state.pop("image_encoder.neck.0.weight"), "lacks 1 weights such as image_encoder.neck.0.weight"),
        (lambda state: state.update(extra=torch.zeros(1)), "has beside SAM's own 1 weights such as extra"),
        (
            lambda state: state.update({"image_encoder.neck.0.weight": torch.zeros(1, 2)}),
            "has in another shape 1 weights such as image_encoder.neck.0.weight",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(change, words, tmp_path):
    state = tiny_sam().state_dict()
    change(state)
    torch.save(state, tmp_path / "sam.pth")
    with pytest.raises(ModelError, match=words):
        load_sam(tmp_path / "sam.pth", CPU, torch.float32)


def test_a_clip_is_not_taken_for_a_sam(tmp_path):
    torch.save(tiny_clip().state_dict(), tmp_path / "clip.pt")
    with pytest.raises(ModelError, match=r"clip.pt is not a SAM checkpoint, it holds a CLIP model"):
        load_sam(tmp_path / "clip.pt", CPU, torch.float32)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (100, 256), (300, 211), (37, 90), (1, 90), (1024, 1023)])
def test_a_tile_is_resized_as_in_segment_anything(height, width):
    assert fit_long_side(height, width, 256) == ResizeLongestSide.get_preprocess_shape(height, width, 256)


def test_a_tile_too_thin_to_keep_its_shape_keeps_one_pixel():
    assert fit_long_side(1, 3000, 1024) == (1, 1024)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (200, 300), (90, 61)])
def test_embedding_and_masks_are_those_of_the_reference_predictor(height, width):
    sam = tiny_sam(1)
    rgb = picture(height, width)
    points = np.array([[0.5, 0.5], [width * 0.7, height * 0.3], [width - 0.5, height - 0.5]])
    predictor = SamPredictor(sam)
    predictor.set_image(rgb)
    coordinates = torch.as_tensor(predictor.transform.apply_coords(points, (height, width)))
    _, rating, logits = predictor.predict_torch(coordinates[:, None], torch.ones(3, 1, dtype=torch.int))
    model = wrapped(sam)
    embedding = model.embed(rgb)
    ours, our_rating = model.decode_points(embedding, points)
    assert embedding.original_size == (height, width)
    assert embedding.input_size == predictor.input_size
    assert torch.allclose(embedding.image_embeddings, predictor.features, rtol=0, atol=1e-6)
    assert torch.allclose(ours, logits, rtol=0, atol=1e-6)
    assert torch.allclose(our_rating, rating, rtol=0, atol=1e-6)
    assert ours.shape == (3, 3, 64, 64)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (90, 201)])
def test_features_that_were_kept_in_half_precision_draw_nearly_the_same_masks(height, width):
    model = wrapped(tiny_sam(3))
    embedding = model.embed(picture(height, width))
    kept = embedding.image_embeddings.to(torch.float16).numpy()
    restored = model.embedding_of(kept, (height, width))
    assert restored.image_embeddings.dtype == torch.float32
    assert (restored.input_size, restored.original_size) == (embedding.input_size, embedding.original_size)
    points = np.array([[40.0, 30.0], [170.0, 70.0]])
    for ours, theirs in zip(model.decode_points(restored, points), model.decode_points(embedding, points)):
        torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=1e-2)


def test_reduced_precision_stays_near_and_answers_in_float32():
    sam, rgb, points = tiny_sam(1), picture(256, 256), np.array([[40.0, 50.0], [200.0, 99.0]])
    exact, reduced = wrapped(sam), SamModel(sam, CPU, torch.bfloat16)
    logits, _ = exact.decode_points(exact.embed(rgb), points)
    near, near_rating = reduced.decode_points(reduced.embed(rgb), points)
    assert (near.dtype, near_rating.dtype) == (torch.float32, torch.float32)
    difference = (near - logits).abs().max() / logits.abs().max()
    assert 0 < difference < 0.1


def test_positions_of_prompts_are_never_in_reduced_precision():
    """In bf16 a position among 1024 pixels would be off by several."""
    sam, reduced = tiny_sam(1), {}
    for name in ("image_encoder", "prompt_encoder", "mask_decoder.iou_prediction_head"):
        part = sam.get_submodule(name)
        part.register_forward_hook(lambda *_, name=name: reduced.update({name: torch.is_autocast_enabled("cpu")}))
    model = SamModel(sam, CPU, torch.bfloat16)
    model.decode_points(model.embed(picture(64, 64)), np.array([[3.0, 4.0]]))
    assert reduced == {"image_encoder": True, "prompt_encoder": False, "mask_decoder.iou_prediction_head": True}


def test_a_model_that_was_moved_computes_in_the_new_precision():
    model = wrapped(tiny_sam(1))
    before = model.embed(picture(64, 64)).image_embeddings
    model.to(CPU, torch.bfloat16)
    after = model.embed(picture(64, 64)).image_embeddings
    assert after.dtype == torch.float32
    assert not torch.equal(before, after)


def test_no_gradients_are_kept():
    model = wrapped(tiny_sam(1))
    embedding = model.embed(picture(64, 64))
    logits, _ = model.decode_points(embedding, np.array([[3.0, 4.0]]))
    assert not embedding.image_embeddings.requires_grad
    assert not logits.requires_grad
