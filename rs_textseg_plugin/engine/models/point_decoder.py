"""SAM's mask decoder for many prompts over one image, with its products in another order.

A prompt has a handful of tokens and the image thousands, so it is cheaper to bring the tokens to the image's side of
each projection than to project the image for every prompt. With ``W_k`` the key projection of a head::

    score  = q . (W_k (x + p))  =  (W_k^T q) . x  +  (W_k^T q) . p        the bias shifts a whole row: no effect
    answer = A (x W_v^T) + b_v  =  (A x) W_v^T + b_v                       rows of A sum to 1

The same holds the other way round. In the first block the image is the same for all prompts and is used once. The
strided transposed convolutions are plain products per cell, and only masks that are wanted are drawn. The result is
that of ``segment_anything.modeling.MaskDecoder`` up to rounding, at about half of its arithmetic.

Letters: N prompts, T tokens a prompt, P image cells, C channels, H heads, D channels a head, M masks a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

_DRAWN = 8  # prompts that are upscaled at once: 13 MB each


def decode_prompts(
    decoder: Any,
    image: Tensor,
    positions: Tensor,
    sparse: Tensor,
    dense: Tensor,
    min_rating: float | None,
    multimask: bool = True,
) -> tuple[Tensor, Tensor]:
    """Draw M masks for every prompt.

    Args:
        decoder: a ``segment_anything.modeling.MaskDecoder``.
        image: ``(1, C, g, g)``, the image encoder's embedding.
        positions: ``(1, C, g, g)``, positional encoding of its cells.
        sparse: ``(N, T, C)``, tokens of the prompts.
        dense: ``(1 or more, C, g, g)``, what is added to the image: the same for every prompt.
        min_rating: prompts none of whose masks is rated higher are left out of the result; None: all are in it.
        multimask: whether the masks for ambiguous prompts are drawn (a whole, a part, a part of that), or the single
            mask for unambiguous ones.

    Returns:
        Logits ``(N', M, 4 g, 4 g)`` and predicted IoU ``(N', M)``; M is 1 where `multimask` is False.
    """
    wanted = slice(1, None) if multimask else slice(0, 1)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
    cells = (image + dense[:1]).flatten(2).transpose(1, 2)
    queries, cells = _transform(decoder.transformer, tokens, cells, positions.flatten(2).transpose(1, 2))
    ratings = decoder.iou_prediction_head(queries[:, 0])[:, wanted]
    if min_rating is not None:
        kept = (ratings > min_rating).any(dim=1)
        queries, cells, ratings = queries[kept], cells[kept], ratings[kept]
    mask_tokens = queries[:, 1 : 1 + decoder.num_mask_tokens][:, wanted]
    networks = list(decoder.output_hypernetworks_mlps)[wanted]
    return _draw(decoder, networks, mask_tokens, cells, (image.shape[2], image.shape[3])), ratings


def _transform(transformer: Any, tokens: Tensor, cells: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Run the two-way transformer; return tokens ``(N, T, C)`` and image cells ``(N, P, C)``."""
    queries = tokens
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(q=queries, k=queries, v=queries)
        else:
            placed = queries + tokens
            queries = queries + layer.self_attn(q=placed, k=placed, v=queries)
        queries = layer.norm1(queries)
        seen = _attend_to_image(layer.cross_attn_token_to_image, queries + tokens, cells, positions)
        queries = layer.norm2(queries + seen)
        queries = layer.norm3(queries + layer.mlp(queries))
        cells = layer.norm4(
            _image_attends(layer.cross_attn_image_to_token, cells, positions, queries + tokens, queries)
        )
    seen = _attend_to_image(transformer.final_attn_token_to_image, queries + tokens, cells, positions)
    return transformer.norm_final_attn(queries + seen), cells


def _attend_to_image(attention: Any, tokens: Tensor, cells: Tensor, positions: Tensor) -> Tensor:
    """Attention from tokens ``(N, T, C)`` to the image ``(1 or N, P, C)``; return ``(N, T, C)``."""
    heads = attention.num_heads
    query = _split(attention.q_proj(tokens), heads)
    brought = torch.einsum("nhtd,hdc->nhtc", query, _by_head(attention.k_proj.weight, heads)) * query.shape[-1] ** -0.5
    brought = brought.flatten(1, 2)
    attended = F.softmax(_dot(brought, cells) + brought @ positions[0].T, dim=-1)
    mixed = _mix(attended, cells).unflatten(1, (heads, -1))
    answer = torch.einsum("nhtc,hdc->nhtd", mixed, _by_head(attention.v_proj.weight, heads))
    return attention.out_proj(answer.transpose(1, 2).flatten(2) + attention.v_proj.bias)


def _image_attends(attention: Any, cells: Tensor, positions: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Add to the image ``(1 or N, P, C)`` its attention to tokens ``(N, T, C)``; return ``(N, P, C)``."""
    heads = attention.num_heads
    key, value = _split(attention.k_proj(keys), heads), _split(attention.v_proj(values), heads)
    scale = key.shape[-1] ** -0.5
    brought = scale * torch.einsum("nhtd,hdc->nhtc", key, _by_head(attention.q_proj.weight, heads)).flatten(1, 2)
    shift = scale * torch.einsum("nhtd,hd->nht", key, attention.q_proj.bias.unflatten(0, (heads, -1))).flatten(1)
    placed = (cells + positions).expand(len(keys), -1, -1)
    scores = torch.baddbmm(shift[:, None], placed, brought.transpose(1, 2))
    attended = scores.unflatten(2, (heads, -1)).softmax(dim=-1).flatten(2)
    outward = attention.out_proj.weight.unflatten(1, (heads, -1))
    # Every head's weights sum to 1, so that the bias can travel in equal parts with the tokens.
    update = torch.einsum("nhtd,chd->nhtc", value, outward).flatten(1, 2) + attention.out_proj.bias / heads
    return torch.baddbmm(cells.expand(len(keys), -1, -1), attended, update)


def _split(x: Tensor, heads: int) -> Tensor:
    """``(N, T, H * D)`` to ``(N, H, T, D)``."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """``(H * D, C)`` to ``(H, D, C)``."""
    return weight.unflatten(0, (heads, -1))


def _dot(rows: Tensor, cells: Tensor) -> Tensor:
    """``(N, R, C)`` times ``(1 or N, P, C)`` to ``(N, R, P)``; one image for all prompts is a single product."""
    return rows @ cells[0].T if len(cells) == 1 else rows @ cells.transpose(1, 2)


def _mix(weights: Tensor, cells: Tensor) -> Tensor:
    """``(N, R, P)`` times ``(1 or N, P, C)`` to ``(N, R, C)``."""
    return weights @ cells[0] if len(cells) == 1 else weights @ cells


def _draw(decoder: Any, networks: Sequence[Any], mask_tokens: Tensor, cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Upscale the image cells ``(N, P, C)`` four times and compare them with the mask tokens ``(N, M, C)``."""
    shapes = torch.stack([network(mask_tokens[:, i]) for i, network in enumerate(networks)], dim=1)
    values = [_compare(decoder.output_upscaling, *some) for some in zip(cells.split(_DRAWN), shapes.split(_DRAWN))]
    # From (N, row, column, row, column, row, column, M), coarse to fine, to (N, M, rows, columns).
    masks = torch.cat(values).unflatten(1, (*grid, 2, 2, 2, 2)).permute(0, 7, 1, 3, 5, 2, 4, 6)
    return masks.reshape(len(masks), masks.shape[1], 4 * grid[0], 4 * grid[1])


def _compare(upscaling: Any, cells: Tensor, shapes: Tensor) -> Tensor:
    """Return ``(N, 16 P, M)``: every fine cell's product with every mask's shape ``(N, M, C / 8)``."""
    first, norm, activation, second, _ = upscaling
    x = activation(F.layer_norm(_unfold(cells, first), norm.weight.shape, norm.weight, norm.bias, norm.eps))
    return activation(_unfold(x, second)).flatten(1, -2) @ shapes.transpose(1, 2)


def _unfold(x: Tensor, convolution: Any) -> Tensor:
    """Apply a 2 x 2 transposed convolution of stride 2 to ``(..., C)``; return ``(..., 2, 2, C')``."""
    weight = convolution.weight.permute(2, 3, 1, 0)  # rows, columns, C', C
    y = F.linear(x, weight.flatten(0, 2)).unflatten(-1, weight.shape[:3])
    return y + convolution.bias
