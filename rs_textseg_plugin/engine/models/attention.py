"""Ways through the blocks of a ViT that make its patches answer for themselves.

A CLIP is trained so that only its <CLS> token says something; these published changes of the last block let every
patch do so without training. Each is a choice in `contract.tables.shared.ATTENTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

# Which of the query, key and value projections attend to themselves in the last block; the attentions are summed.
_ATTENDING = {
    "self-self": "qkv",  # SegEarth-OV
    "sclip": "qk",  # SCLIP
    "clearclip": "q",  # ClearCLIP
    "maskclip": "",  # MaskCLIP: no attention at all, every token keeps its own value
}
_CHANGED_BLOCKS = 6  # GEM's and CLIP Surgery's depth of 7, from which their released codes change one block less


def run_blocks(blocks: Sequence[Any], tokens: Tensor, attention: str) -> Tensor:
    """Send tokens ``(N, 1 + P, C)`` through a ViT's blocks; the last ones as `attention` says.

    ``vanilla`` is the model as trained. ``self-self``, ``sclip``, ``clearclip`` and ``maskclip`` are `_answer_alone`
    in the last block; ``gem`` (GEM, Bousselham et al., CVPR 2024) and ``surgery`` (CLIP Surgery's architecture
    surgery, Li et al. 2023) are `_two_paths` in the last six.
    """
    if attention == "gem":
        return _two_paths(blocks, tokens, _grouping)
    if attention == "surgery":
        return _two_paths(blocks, tokens, _value_value)
    for block in blocks[:-1]:
        tokens = block(tokens)
    if attention == "vanilla":
        return blocks[-1](tokens)
    return _answer_alone(blocks[-1], tokens, _ATTENDING[attention])


def _answer_alone(block: Any, tokens: Tensor, attending: str) -> Tensor:
    """Return ``out_proj(A v)`` with ``A = sum of softmax(x x^T / sqrt(d))`` over the projections x in `attending`.

    SegEarth-OV, section on the modified last block: no residual and no MLP. Its released code runs the other
    variants in the same way (SCLIP's own paper keeps both); without any attention ``A`` is the identity.
    """
    projected = dict(zip("qkv", _projections(block, block.ln_1(tokens))))
    value = projected["v"]
    mixed = [F.scaled_dot_product_attention(projected[x], projected[x], value) for x in attending]
    return _joined_heads(block, torch.stack(mixed).sum(dim=0) if mixed else value)


def _two_paths(blocks: Sequence[Any], tokens: Tensor, attend: Callable[[Any, Tensor], Tensor]) -> Tensor:
    """Return the tokens of a path beside the trained one; <CLS> is the trained path's.

    The second path starts where the changed blocks do and only adds up what their own attentions say of the trained
    path's tokens: no MLP.
    """
    for block in blocks[:-_CHANGED_BLOCKS]:
        tokens = block(tokens)
    beside = tokens
    for block in blocks[-_CHANGED_BLOCKS:]:
        beside = beside + block.ls_1(attend(block, block.ln_1(tokens)))
        tokens = block(tokens)
    return torch.cat([tokens[:, :1], beside[:, 1:]], dim=1)


def _value_value(block: Any, x: Tensor) -> Tensor:
    """Return CLIP Surgery's attention of normalised tokens: ``out_proj(softmax(v v^T / sqrt(d)) v)``."""
    value = _projections(block, x)[2]
    return _joined_heads(block, F.scaled_dot_product_attention(value, value, value))


def _grouping(block: Any, x: Tensor) -> Tensor:
    """Return GEM's self-self attention of normalised tokens, with one iteration and its adaptive temperature.

    Each projection is brought to unit length, attends to itself, and the attention of the result to itself is
    applied to v; the mean over q, k and v. The temperature is ``sqrt(d) / mean |x|``.
    """
    projections = _projections(block, x)
    value = projections[2]
    sharpness = x.norm(dim=-1).mean(dim=-1)[:, None, None, None]
    mixed = []
    for projection in projections:
        unit = F.normalize(projection, dim=-1)
        gathered = F.normalize(_self_attention(unit, unit, sharpness), dim=-1)
        mixed.append(_self_attention(gathered, value, sharpness))
    return _joined_heads(block, torch.stack(mixed).mean(dim=0))


def _self_attention(unit: Tensor, value: Tensor, sharpness: Tensor) -> Tensor:
    """Return ``softmax(sharpness / sqrt(d) * unit unit^T) value``, all ``(N, heads, L, d)``."""
    return F.scaled_dot_product_attention(unit * sharpness.to(unit.dtype), unit, value.to(unit.dtype))


def _projections(block: Any, x: Tensor) -> list[Tensor]:
    """Return q, k and v, each ``(N, heads, L, d)``."""
    attn = block.attn
    projected = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
    return [part.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for part in projected.chunk(3, dim=-1)]


def _joined_heads(block: Any, mixed: Tensor) -> Tensor:
    """Return the output projection of ``(N, heads, L, d)``."""
    return block.attn.out_proj(mixed.transpose(1, 2).flatten(2))
