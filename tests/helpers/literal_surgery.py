"""CLIP Surgery written down literally from its equations, for small sizes: nothing is shared with the product."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from literal_segearth import literal_heads, literal_output, literal_tokens


def literal_surgery(blocks, tokens: torch.Tensor) -> torch.Tensor:
    """Architecture surgery: in the last six blocks q and k are v, on a path of its own that has no MLP."""
    beside = None
    for number, block in enumerate(blocks):
        if len(blocks) - number <= 6:
            beside = tokens.clone() if beside is None else beside
            outputs = []
            for _, _, v in literal_heads(block, block.ln_1(tokens)):
                outputs.append(torch.softmax(v @ v.transpose(1, 2) * v.shape[-1] ** -0.5, dim=-1) @ v)
            beside = beside + literal_output(block, outputs)
        tokens = block(tokens)
    beside[:, 0] = tokens[:, 0]
    return beside


def literal_surgery_features(visual, images: torch.Tensor, mode: str = "bicubic") -> torch.Tensor:
    """Features of <CLS> and of every patch, ``(N, 1 + P, D)``, each of unit length."""
    tokens = literal_surgery(visual.transformer.resblocks, literal_tokens(visual, images, mode))
    features = visual.ln_post(tokens) @ visual.proj
    return features / features.norm(dim=-1, keepdim=True)


def literal_similarity(features: torch.Tensor, words: torch.Tensor, redundant: torch.Tensor | None) -> torch.Tensor:
    """Feature surgery of ``(N, 1 + P, D)`` with words ``(A, D)``: ``(N, P, A)``, element-wise products and all."""
    if redundant is not None:
        return (features @ (words - redundant).T)[:, 1:]
    presence = torch.softmax(2 * features[:, 0] @ words.T, dim=-1)
    weights = presence / presence.mean(dim=-1, keepdim=True)
    products = features[:, :, None, :] * words[None, None] * weights[:, None, :, None]
    return (products - products.mean(dim=2, keepdim=True)).sum(dim=-1)[:, 1:]


def literal_points(similarity: torch.Tensor, rows: int, tile: tuple[int, int], threshold: float, down_sample: int):
    """``similarity_map_to_points``: points and labels (1 on the object, 0 beside it) of one word's ``(P,)``."""
    grid = similarity.reshape(1, 1, rows, -1)
    size = (grid.shape[2] // down_sample, grid.shape[3] // down_sample)
    small = F.interpolate(grid, size, mode="bilinear")[0, 0]
    values = small.flatten()
    values = (values - values.min()) / (values.max() - values.min())
    order = values.sort(stable=True).indices.tolist()
    count = min(int((values >= threshold).sum()), len(order) // 2)
    height, width = tile
    points, labels = [], []
    for chosen, label in ((order[len(order) - count :], 1), (order[:count], 0)):
        for cell in chosen:
            x = min((cell % size[1] + 0.5) * width / size[1], width - 1)
            y = min((cell // size[1] + 0.5) * height / size[0], height - 1)
            points.append([int(x), int(y)])
            labels.append(label)
    return points, labels
