from __future__ import annotations

import pytest
import torch
from tiny_models import tiny_sam

from rs_textseg_plugin.engine.models.point_decoder import decode_prompts


def prompts(sam, count: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    side = sam.image_encoder.img_size
    points = torch.rand(count, 1, 2, generator=generator) * side
    labels = torch.ones(count, 1, dtype=torch.int)
    return sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)


@torch.inference_mode()
@pytest.mark.parametrize(("count", "seed"), [(1, 0), (7, 1), (12, 2)])
def test_masks_and_ratings_are_those_of_the_reference_decoder(count, seed):
    sam = tiny_sam(seed)
    # Weights as large as trained ones have, so that attention is not nearly uniform.
    for parameter in sam.mask_decoder.parameters():
        parameter.mul_(2)
    image = torch.randn(1, 256, 16, 16, generator=torch.Generator().manual_seed(seed))
    sparse, dense = prompts(sam, count, seed)
    positions = sam.prompt_encoder.get_dense_pe()
    expected, expected_ratings = sam.mask_decoder(
        image_embeddings=image,
        image_pe=positions,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
    masks, ratings = decode_prompts(sam.mask_decoder, image, positions, sparse, dense, None)
    assert masks.shape == expected.shape == (count, 3, 64, 64)
    torch.testing.assert_close(masks, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    torch.testing.assert_close(ratings, expected_ratings, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_prompts_whose_masks_are_all_rated_low_are_left_out():
    sam = tiny_sam(3)
    image = torch.randn(1, 256, 16, 16, generator=torch.Generator().manual_seed(3))
    sparse, dense = prompts(sam, 9, 3)
    positions = sam.prompt_encoder.get_dense_pe()
    masks, ratings = decode_prompts(sam.mask_decoder, image, positions, sparse, dense, None)
    cut = float(ratings.max(dim=1).values.median())
    kept = (ratings > cut).any(dim=1)
    assert 0 < int(kept.sum()) < 9
    fewer, fewer_ratings = decode_prompts(sam.mask_decoder, image, positions, sparse, dense, cut)
    torch.testing.assert_close(fewer, masks[kept], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fewer_ratings, ratings[kept])
    none, _ = decode_prompts(sam.mask_decoder, image, positions, sparse, dense, 1e9)
    assert none.shape == (0, 3, 64, 64)


@torch.inference_mode()
def test_the_single_mask_for_unambiguous_prompts_is_the_reference_decoder_s():
    sam = tiny_sam(5)
    image = torch.randn(1, 256, 16, 16, generator=torch.Generator().manual_seed(5))
    sparse, dense = prompts(sam, 3, 5)
    positions = sam.prompt_encoder.get_dense_pe()
    expected, expected_ratings = sam.mask_decoder(image, positions, sparse, dense, multimask_output=False)
    masks, ratings = decode_prompts(sam.mask_decoder, image, positions, sparse, dense, None, multimask=False)
    assert masks.shape == expected.shape == (3, 1, 64, 64)
    torch.testing.assert_close(masks, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    torch.testing.assert_close(ratings, expected_ratings, rtol=1e-4, atol=1e-5)
