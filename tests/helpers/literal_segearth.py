"""SegEarth-OV written down literally from its equations, for small sizes: nothing is shared with the product.

One window after the other, all channels upsampled before words are compared, every window padded to the canvas before
it is added. The blocks of the ViT but the changed ones, its normalisations and its projections are open_clip's.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from tiny_upsamplers import literal_upsampled


def normalised(images: np.ndarray) -> torch.Tensor:
    values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    return (values - mean) / std


def padded(images: torch.Tensor, patch: int) -> torch.Tensor:
    """Zeros around the normalised picture up to whole patches, the odd pixel right and below."""
    tall, wide = -images.shape[2] % patch, -images.shape[3] % patch
    return F.pad(images, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))


def literal_tokens(visual, images: torch.Tensor, mode: str = "bicubic") -> torch.Tensor:
    """Tokens before the first block, written from the definition of a ViT."""
    grid = (images.shape[2] // visual.patch_size[0], images.shape[3] // visual.patch_size[1])
    patches = visual.conv1(images).reshape(len(images), visual.conv1.out_channels, -1).permute(0, 2, 1)
    side = visual.grid_size[0]
    table = visual.positional_embedding[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    positions = F.interpolate(table, size=grid, mode=mode, align_corners=False).permute(0, 2, 3, 1).flatten(1, 2)
    cls = (visual.class_embedding + visual.positional_embedding[0]).expand(len(images), 1, -1)
    return visual.ln_pre(torch.cat([cls, patches + positions], dim=1))


def literal_heads(block, x: torch.Tensor):
    """q, k and v of every head, from the rows of the joint projection."""
    width, heads = x.shape[-1], block.attn.num_heads
    size = width // heads
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    q, k, v = (x @ weight[i * width : (i + 1) * width].T + bias[i * width : (i + 1) * width] for i in range(3))
    for head in range(heads):
        yield tuple(y[..., head * size : (head + 1) * size] for y in (q, k, v))


def literal_output(block, outputs: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(outputs, dim=-1) @ block.attn.out_proj.weight.T + block.attn.out_proj.bias


def literal_last_block(block, tokens: torch.Tensor, attention: str) -> torch.Tensor:
    """A is the sum of softmax(x x^T s) over the variant's x per head, out = proj(A v): head by head."""
    outputs = []
    for q, k, v in literal_heads(block, block.ln_1(tokens)):
        scale = q.shape[-1] ** -0.5
        attends = {"self-self": (q, k, v), "sclip": (q, k), "clearclip": (q,), "maskclip": ()}[attention]
        mixing = sum(torch.softmax(x @ x.transpose(1, 2) * scale, dim=-1) for x in attends)
        outputs.append(mixing @ v if attends else torch.eye(v.shape[1]) @ v)
    return literal_output(block, outputs)


def literal_gem(blocks, tokens: torch.Tensor) -> torch.Tensor:
    """GEM as its released code reads, with its defaults: depth 7 (six blocks), one iteration, own temperature."""
    grouped = None
    for number, block in enumerate(blocks):
        if len(blocks) - number <= 6:
            grouped = tokens if grouped is None else grouped
            x, outputs = block.ln_1(tokens), []
            for q, k, v in literal_heads(block, x):
                length = torch.stack([token.norm(dim=-1).mean() for token in x]).reshape(-1, 1, 1)
                inverse_temperature, parts = length * q.shape[-1] ** -0.5, []
                for y in (v, k, q):
                    y = y / y.norm(dim=-1, keepdim=True)
                    y = torch.softmax(y @ y.transpose(1, 2) * inverse_temperature, dim=-1) @ y
                    y = y / y.norm(dim=-1, keepdim=True)
                    parts.append(torch.softmax(y @ y.transpose(1, 2) * inverse_temperature, dim=-1) @ v)
                outputs.append((parts[0] + parts[1] + parts[2]) / 3)
            grouped = grouped + literal_output(block, outputs)
        tokens = block(tokens)
    return torch.cat([tokens[:, :1], grouped[:, 1:]], dim=1)


def literal_blocks(blocks, tokens: torch.Tensor, attention: str) -> torch.Tensor:
    if attention == "gem":
        return literal_gem(blocks, tokens)
    for block in blocks[:-1]:
        tokens = block(tokens)
    return blocks[-1](tokens) if attention == "vanilla" else literal_last_block(blocks[-1], tokens, attention)


def literal_features(visual, images: torch.Tensor, attention: str) -> torch.Tensor:
    """Features of <CLS> and of every patch, ``(N, 1 + P, D)``, not normalised."""
    tokens = literal_blocks(visual.transformer.resblocks, literal_tokens(visual, images), attention)
    return visual.ln_post(tokens) @ visual.proj


def literal_window(visual, upsampler, crop: torch.Tensor, words: torch.Tensor, settings) -> torch.Tensor:
    """Word logits ``(A, h, w)`` of one window ``(1, 3, h, w)``, normalised; `upsampler` is a state dict or None."""
    height, width = crop.shape[2:]
    picture = padded(crop, visual.patch_size[0])
    tall, wide = picture.shape[2] - height, picture.shape[3] - width
    grid = (picture.shape[2] // visual.patch_size[0], picture.shape[3] // visual.patch_size[1])
    tokens = literal_features(visual, picture, settings.attention)[0].double()
    features = tokens[1:].T.reshape(-1, *grid)
    if upsampler is not None:
        features = literal_upsampled(upsampler, features, picture[0])
    features = features / features.norm(dim=0, keepdim=True)
    cls = tokens[0] / tokens[0].norm()
    logits = torch.stack([(features * word[:, None, None]).sum(dim=0) - settings.cls_weight * (cls @ word)
                          for word in words.double()])  # fmt: skip
    logits = F.interpolate(logits[None], size=picture.shape[2:], mode="bilinear")[0]
    return logits[:, tall // 2 : tall // 2 + height, wide // 2 : wide // 2 + width]


def starts(length: int, size: int, stride: int) -> list[int]:
    """As mmsegmentation's slide_inference counts its windows."""
    count = max(length - size + stride - 1, 0) // stride + 1
    return [max(min(i * stride + size, length) - size, 0) for i in range(count)]


@torch.inference_mode()
def literal_logits(visual, upsampler, rgb: np.ndarray, words: np.ndarray, settings) -> torch.Tensor:
    """Word logits ``(A, H, W)`` float64 before the scale, of a tile ``(H, W, 3)`` uint8: pad, add, divide, resize."""
    height, width = rgb.shape[:2]
    scale = (settings.long_side_px or max(height, width)) / max(height, width)
    size = (round(width * scale), round(height * scale))
    canvas = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR)).copy()
    picture = normalised(canvas[None])
    rows, columns = picture.shape[2:]
    total = torch.zeros(len(words), rows, columns, dtype=torch.float64)
    count = torch.zeros(rows, columns, dtype=torch.float64)
    side = settings.window_px
    for row in starts(rows, side, settings.stride_px):
        for col in starts(columns, side, settings.stride_px):
            crop = picture[:, :, row : row + side, col : col + side]
            logits = literal_window(visual, upsampler, crop, torch.from_numpy(words), settings)
            below, right = rows - row - logits.shape[1], columns - col - logits.shape[2]
            total += F.pad(logits, (col, right, row, below))
            count += F.pad(torch.ones(logits.shape[1:]), (col, right, row, below))
    return F.interpolate((total / count)[None], size=(height, width), mode="bilinear")[0]


def literal_labels(logits: torch.Tensor, scale: float, word_class: list[int], threshold: float) -> torch.Tensor:
    """Class of every pixel, -1 below the threshold: softmax over words, the best word of a class, the best class."""
    probabilities = torch.softmax(scale * logits, dim=0)
    classes = torch.stack([
        torch.stack([probabilities[word] for word, of in enumerate(word_class) if of == k]).max(dim=0).values
        for k in range(max(word_class) + 1)
    ])  # fmt: skip
    best = classes.max(dim=0)
    return torch.where(best.values < threshold, -1, best.indices), classes
