"""CLIP through open_clip: words, pictures, and dense features of a picture's patches.

Any open_clip architecture gives words and pictures; dense features need a ViT with the standard blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor, nn

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.models.attention import run_blocks
from rs_textseg_plugin.engine.models.checkpoint import load_state_dict, peek_keys_and_shapes, shapes_of
from rs_textseg_plugin.engine.models.kinds import require_role
from rs_textseg_plugin.engine.models.layouts.clip_description import describe_clip
from rs_textseg_plugin.engine.models.layouts.clip_tokenizer import make_tokenizer, without_fetching
from rs_textseg_plugin.engine.models.layouts.marks import is_transformers_clip
from rs_textseg_plugin.engine.models.layouts.transformers_clip import under_own_names
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (imports torchvision)

# The mean and standard deviation that OpenAI's CLIP and most others were trained with, for values 0..1.
MEAN = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(1, 3, 1, 1)
STD = torch.tensor(open_clip.OPENAI_DATASET_STD).view(1, 3, 1, 1)

_OPENAI = tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)
TEMPLATES = {
    "80": _OPENAI,
    # CLIP Surgery's ensemble, which is that of MaskCLIP (ECCV 2022): OpenAI's sentences and five more.
    "85": (
        *_OPENAI,
        "there is a {} in the scene.",
        "there is the {} in the scene.",
        "this is a {} in the scene.",
        "this is the {} in the scene.",
        "this is one {} in the scene.",
    ),
    "7": tuple(template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES),
    "1": ("a photo of a {}.",),
    "word": ("{}",),
}


class ClipModel:
    """A loaded CLIP on its device.

    Args:
        model: an open_clip model in eval mode.
        tokenizer: its tokenizer.
        name: for messages and provenance.
        device: where it runs.
        dtype: autocast type on that device; float32 means none.
        mean, std: of red, green and blue, 0..1, that it was trained with.

    Attributes:
        mean, std: the same, ``(1, 3, 1, 1)`` float32 on the CPU.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        device: torch.device,
        dtype: torch.dtype,
        mean: Sequence[float] = open_clip.OPENAI_DATASET_MEAN,
        std: Sequence[float] = open_clip.OPENAI_DATASET_STD,
    ) -> None:
        self.model = model.to(device).eval()
        self.mean, self.std = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
        self.name = name
        self.device = device
        self.dtype = dtype
        self._tokenizer = tokenizer
        self._words: dict[tuple[str, str], NDArray[np.float32]] = {}

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to another device and precision."""
        self.model.to(device)
        self.device, self.dtype = device, dtype

    @property
    def picture_px(self) -> int:
        """Side of the square picture that the model was trained on."""
        size = self.model.visual.image_size
        return int(size[0] if isinstance(size, (tuple, list)) else size)

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """The colour, 0..255, that this model takes for no information: its mean, rounded."""
        red, green, blue = (round(255 * float(part)) for part in self.mean.flatten())
        return red, green, blue

    @property
    def channels(self) -> int:
        """Length of the vectors that words, pictures and patches become."""
        return int(self.model.visual.output_dim)

    @property
    def patch_px(self) -> int:
        """Side of a patch.

        Raises:
            ModelError: the image tower is no standard ViT.
        """
        return int(self._vit().patch_size[0])

    @torch.inference_mode()
    def embed_words(self, words: Sequence[str], templates: str) -> NDArray[np.float32]:
        """Return ``(A, D)`` float32 of unit length: each word's mean over its sentences, normalised twice.

        Source: CLIP's zero-shot ensemble (normalise each sentence, average, normalise), used by SegEarth-OV.
        """
        for word in words:
            if (word, templates) not in self._words:
                sentences = [template.replace("{}", word) for template in TEMPLATES[templates]]
                tokens = self._tokenizer(sentences).to(self.device)
                with self._autocast():
                    features = F.normalize(encode_text(self.model, tokens).float(), dim=-1)
                mean = F.normalize(features.mean(dim=0), dim=0)
                self._words[word, templates] = mean.cpu().numpy()
        return np.stack([self._words[word, templates] for word in words])

    @torch.inference_mode()
    def embed_pictures(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(N, D)`` float32 of unit length for pictures ``(N, S, S, 3)`` uint8, S = `picture_px`."""
        with self._autocast():
            features = self.model.encode_image(self._normalised(pictures), normalize=True)
        return features.float().cpu().numpy()

    @torch.inference_mode()
    def dense_features(
        self, pictures: NDArray[np.uint8], attention: str, unit_length: bool = True, positions: str = "bicubic"
    ) -> tuple[Tensor, Tensor]:
        """Return patch features ``(N, gh, gw, D)`` and <CLS> features ``(N, D)`` of unit length.

        Args:
            pictures: ``(N, H, W, 3)`` uint8; sides that are no multiple of the patch are padded with zeros after
                the normalisation, half on each side, and the grid then covers the padded picture.
            attention: see `run_blocks`.
            unit_length: whether patch features are normalised; an upsampler wants them as they are.
            positions: how the positional embedding is interpolated, ``bicubic`` or ``bilinear``.

        Raises:
            ModelError: the image tower is no standard ViT.
        """
        visual = self._vit()
        images = pad_to_multiple(self._normalised(pictures), visual.patch_size)
        with self._autocast():
            resized = resized_positions(visual, _grid_of(visual, images), positions)
            return patch_features(visual, images, attention, resized, unit_length)

    def padded_picture(self, picture: NDArray[np.uint8]) -> Tensor:
        """Return the input of `dense_features` for ``(H, W, 3)`` uint8: ``(3, H', W')`` float32 on the device."""
        return pad_to_multiple(self._normalised(picture[None]), self._vit().patch_size)[0]

    def padded_frame(self, picture: Window) -> Window:
        """Return the window that the grid of patches of such a picture covers, relative to the picture's corner."""
        patch_height, patch_width = self._vit().patch_size
        pad_h, pad_w = -picture.height % patch_height, -picture.width % patch_width
        return Window(-(pad_w // 2), -(pad_h // 2), picture.width + pad_w, picture.height + pad_h)

    def _vit(self) -> Any:
        visual = self.model.visual
        blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
        if blocks is None or getattr(visual, "proj", None) is None or getattr(visual, "attn_pool", None) is not None:
            raise ModelError(
                f"The CLIP model {self.name} has no standard ViT, which dense maps need: "
                "take a ViT checkpoint, or with sam-clip set selector=crop."
            )
        return visual

    def _normalised(self, pictures: NDArray[np.uint8]) -> Tensor:
        images = torch.tensor(pictures).to(self.device).permute(0, 3, 1, 2).float() / 255
        return (images - self.mean.to(self.device)) / self.std.to(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def encode_text(model: Any, tokens: Tensor) -> Tensor:
    """Return text features ``(N, D)``, without the padding that follows every sentence where that is exact.

    The standard text tower is causal and answers at the end-of-text token, so what comes after it has no effect;
    a template sentence is about 10 of 77 tokens long.
    """
    if getattr(model, "text_pool_type", "") != "argmax" or getattr(model, "attn_mask", None) is None:
        return model.encode_text(tokens)
    ends = tokens.argmax(dim=-1)
    length = int(ends.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    pooled = x[torch.arange(len(x), device=x.device), ends]
    projection = model.text_projection
    return projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection


def pad_to_multiple(images: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """Pad ``(N, 3, H, W)`` with zeros to multiples of the patch, the odd pixel right and below."""
    pad_h, pad_w = -images.shape[2] % patch_size[0], -images.shape[3] % patch_size[1]
    return F.pad(images, (pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2))


def patch_features(
    visual: Any, images: Tensor, attention: str, positions: Tensor | None = None, unit_length: bool = True
) -> tuple[Tensor, Tensor]:
    """Return a ViT's features of every patch of a picture; gradients flow, so that a training takes the same way.

    Args:
        visual: open_clip's ``VisionTransformer``.
        images: ``(N, 3, H, W)`` float32, normalised, sides a multiple of the patch.
        attention: see `run_blocks`.
        positions: ``(1 + gh * gw, C)`` positional embedding to use; None: the trained one, bicubically resized.
        unit_length: whether patch features are normalised.

    Returns:
        Patch features ``(N, gh, gw, D)`` and <CLS> features ``(N, D)`` of unit length, both float32.
    """
    grid = _grid_of(visual, images)
    tokens = _embed_patches(visual, images, resized_positions(visual, grid) if positions is None else positions)
    tokens = run_blocks(visual.transformer.resblocks, tokens, attention)
    features = (visual.ln_post(tokens) @ visual.proj).float()
    patches, cls = features[:, 1:].unflatten(1, grid), F.normalize(features[:, 0], dim=-1)
    return F.normalize(patches, dim=-1) if unit_length else patches, cls


def _embed_patches(visual: Any, images: Tensor, positions: Tensor) -> Tensor:
    """Return tokens ``(N, 1 + gh * gw, C)`` before the first block."""
    tokens = visual.conv1(images).flatten(2).transpose(1, 2)
    cls = visual.class_embedding.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
    return visual.ln_pre(torch.cat([cls, tokens], dim=1) + positions.to(tokens.dtype))


def _grid_of(visual: Any, images: Tensor) -> tuple[int, int]:
    """Return rows and columns of the patches of pictures ``(N, 3, H, W)``."""
    return images.shape[2] // visual.patch_size[0], images.shape[3] // visual.patch_size[1]


def resized_positions(visual: Any, grid: tuple[int, int], interpolation: str = "bicubic") -> Tensor:
    """Return the positional embedding ``(1 + gh * gw, C)`` for a grid, interpolated from the trained one.

    Args:
        visual: open_clip's ``VisionTransformer``.
        grid: ``(gh, gw)``.
        interpolation: ``bicubic`` or ``bilinear``.
    """
    trained = visual.positional_embedding
    if grid == tuple(visual.grid_size):
        return trained
    planes = trained[1:].unflatten(0, tuple(visual.grid_size)).permute(2, 0, 1)[None].float()
    resized = F.interpolate(planes, size=grid, mode=interpolation, align_corners=False)
    return torch.cat([trained[:1].float(), resized[0].flatten(1).T])


def load_clip(path: Path, architecture: str, device: torch.device, dtype: torch.dtype) -> ClipModel:
    """Load a CLIP checkpoint; nothing is fetched.

    Args:
        path: state dict (.pt, .pth, .bin, .safetensors) in the layout of open_clip or of transformers, OpenAI's
            TorchScript archive, or the index of weights in several files.
        architecture: open_clip's name; empty: told as `describe_clip` says.
        device: where it will run.
        dtype: autocast type there.

    Raises:
        ModelError: damaged, no CLIP, of an architecture that cannot be told, or without the files of its tokenizer.
    """
    state = load_state_dict(path)
    shapes = shapes_of(state)
    if not architecture:
        require_role(shapes, "clip", path)
    described = describe_clip(path, shapes, architecture)
    try:
        model = _build(without_fetching(described.config, path))
        model.load_state_dict(under_own_names(state) if is_transformers_clip(shapes) else state, strict=True)
    except (RuntimeError, TypeError, KeyError, ValueError, OSError) as error:
        # Other sizes, or words that open_clip does not know.
        raise ModelError(
            f"The CLIP checkpoint {path} does not fit the architecture {architecture or 'told from its weights'}: "
            f"{str(error).splitlines()[-1].strip()[:160]} Name the right one in models.json."
        ) from error
    tokenizer = make_tokenizer(described.config, path)
    return ClipModel(model, tokenizer, path.name, device, dtype, described.mean, described.std)


def notes_on_clip(path: Path, architecture: str) -> tuple[str, ...]:
    """Return sentences on what could not be told of a checkpoint for certain; its weights are not read.

    Raises:
        ModelError: as `load_clip`.
    """
    return describe_clip(path, peek_keys_and_shapes(path), architecture).notes


def _build(config: dict[str, Any]) -> nn.Module:
    custom = config.get("custom_text") or "hf_model_name" in config["text_cfg"]
    values = {key: value for key, value in config.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    model: nn.Module = kind(**values)
    return model
