"""CLIP through open_clip: words, pictures, and dense features of a picture's patches.

Any open_clip architecture gives words and pictures; dense features need a ViT with the standard blocks.
"""

from __future__ import annotations

import json
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
from rs_textseg_plugin.engine.models.checkpoint import (
    is_torchscript,
    load_state_dict,
    read_metadata,
    shapes_of,
)
from rs_textseg_plugin.engine.models.kinds import require_role
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (imports torchvision)

# The mean and standard deviation that every CLIP of these families was trained with, for values 0..1.
MEAN = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(1, 3, 1, 1)
STD = torch.tensor(open_clip.OPENAI_DATASET_STD).view(1, 3, 1, 1)

# open_clip's ViT-H/14, ViT-g/14 and ViT-bigG/14; in every other published ViT a head is 64 wide.
_HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104}

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
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        self.model = model.to(device).eval()
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
        return (images - MEAN.to(self.device)) / STD.to(self.device)

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
    """Load a CLIP checkpoint.

    Args:
        path: state dict (.pt, .pth, .bin, .safetensors) or OpenAI's TorchScript archive.
        architecture: open_clip's name; empty: told from the weights.
        device: where it will run.
        dtype: autocast type there.

    Raises:
        ModelError: damaged, no CLIP, or of an architecture that cannot be told.
    """
    state = load_state_dict(path)
    if not architecture:
        require_role(shapes_of(state), "clip", path)
    config = _configuration(path, state, architecture)
    try:
        model = _build(config)
        model.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, KeyError) as error:  # other sizes, or words that open_clip does not know
        raise ModelError(
            f"The CLIP checkpoint {path} does not fit the architecture {architecture or 'told from its weights'}: "
            f"{str(error).splitlines()[-1].strip()[:160]} Name the right one in models.json."
        ) from error
    context = config["text_cfg"].get("context_length", 77)
    return ClipModel(model, _tokenizer(config, context), path.name, device, dtype)


def _build(config: dict[str, Any]) -> nn.Module:
    custom = config.get("custom_text") or "hf_model_name" in config["text_cfg"]
    values = {key: value for key, value in config.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    model: nn.Module = kind(**values)
    return model


def _tokenizer(config: dict[str, Any], context: int) -> Any:
    name = config["text_cfg"].get("hf_tokenizer_name")
    if name:
        return open_clip.HFTokenizer(name, context_length=context)
    return open_clip.SimpleTokenizer(context_length=context)


def _configuration(path: Path, state: dict[str, Tensor], architecture: str) -> dict[str, Any]:
    """Return open_clip's configuration: as named, as written into the file, or as the shapes tell."""
    if architecture:
        config = open_clip.get_model_config(architecture)
        if config is None:
            raise ModelError(
                f"open_clip has no architecture {architecture!r} (asked for by {path}): correct it in models.json."
            )
        return dict(config)
    written = read_metadata(path).get("clip_config")
    if written:
        return _read_configuration(written, path)
    beside = path.with_name("open_clip_config.json")
    if beside.is_file():
        return _read_configuration(beside.read_text(encoding="utf-8", errors="replace"), beside)
    return _configuration_from_shapes(path, state)


def _read_configuration(text: str, source: Path) -> dict[str, Any]:
    try:
        content = json.loads(text)
        return dict(content.get("model_cfg", content))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"The CLIP configuration in {source} is not understood ({error}): "
            "correct or remove it, or name the architecture in models.json."
        ) from error


def _configuration_from_shapes(path: Path, state: dict[str, Tensor]) -> dict[str, Any]:
    """Read a standard ViT CLIP's configuration off its weights."""
    try:
        width, _, patch, _ = state["visual.conv1.weight"].shape
        tokens = state["visual.positional_embedding"].shape[0]
        text_width = state["ln_final.weight"].shape[0]
        return {
            "embed_dim": state["visual.proj"].shape[1],
            "vision_cfg": {
                "image_size": round((tokens - 1) ** 0.5) * patch,
                "layers": _count_blocks(state, "visual.transformer.resblocks."),
                "width": width,
                "patch_size": patch,
                "head_width": _HEAD_WIDTHS.get(width, 64),
                "mlp_ratio": state["visual.transformer.resblocks.0.mlp.c_fc.weight"].shape[0] / width,
            },
            "text_cfg": {
                "context_length": state["positional_embedding"].shape[0],
                "vocab_size": state["token_embedding.weight"].shape[0],
                "width": text_width,
                "heads": text_width // 64,
                "layers": _count_blocks(state, "transformer.resblocks."),
            },
            # OpenAI's own archives were trained with the quick approximation of GELU; of others their set says so.
            "quick_gelu": is_torchscript(path),
        }
    except KeyError as error:
        named = _architecture_in(path.name)
        if named:
            return dict(open_clip.get_model_config(named))
        raise ModelError(
            f"The architecture of the CLIP checkpoint {path} cannot be told from its weights (no {error}): "
            "name it in models.json beside the file, as open_clip calls it."
        ) from error


def _count_blocks(state: dict[str, Tensor], prefix: str) -> int:
    return len({key.split(".")[prefix.count(".")] for key in state if key.startswith(prefix)})


def _architecture_in(file_name: str) -> str:
    """Return the longest open_clip name that the file name contains; empty if none."""
    return max(
        (name for name in open_clip.list_models() if name.casefold() in file_name.casefold()), key=len, default=""
    )
