"""Segment Anything through segment_anything's own modules: any size, told from the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import Shapes, load_state_dict, read_metadata, shapes_of
from rs_textseg_plugin.engine.models.kinds import require_role
from rs_textseg_plugin.engine.models.layouts.marks import is_transformers_sam
from rs_textseg_plugin.engine.models.layouts.transformers_sam import under_own_names, written_beside
from rs_textseg_plugin.engine.models.point_decoder import decode_prompts
from rs_textseg_plugin.engine.models.sam_architecture import METADATA_KEY, SamConfig, build_sam

_FOREGROUND = 1  # the label of a point that lies on the object


@dataclass(frozen=True)
class SamEmbedding:
    """What the image encoder saw of a tile.

    Attributes:
        image_embeddings: ``(1, C, g, g)`` float32 on the model's device.
        input_size: ``(height, width)`` in pixels of the tile as the model saw it, without the padding.
        original_size: ``(height, width)`` of the tile in pixels.
    """

    image_embeddings: Tensor
    input_size: tuple[int, int]
    original_size: tuple[int, int]


class SamModel:
    """A loaded SAM on its device.

    Args:
        sam: a ``segment_anything.modeling.Sam`` in eval mode.
        device: where it runs.
        dtype: autocast type of the image encoder and the mask decoder there; float32 means none.
    """

    def __init__(self, sam: Any, device: torch.device, dtype: torch.dtype) -> None:
        self.sam = sam
        self.to(device, dtype)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to another device and precision."""
        self.sam.to(device)
        self.device, self.dtype = device, dtype

    @property
    def input_px(self) -> int:
        """Side of the square that the model sees, in pixels."""
        return int(self.sam.image_encoder.img_size)

    @torch.inference_mode()
    def embed(self, rgb: NDArray[np.uint8]) -> SamEmbedding:
        """Run the image encoder over a tile ``(H, W, 3)`` uint8.

        The long side is resized to `input_px` as ``ResizeLongestSide.apply_image`` does (PIL, bilinear with
        antialiasing); the rest of the square is padded after the normalisation.
        """
        height, width = rgb.shape[:2]
        input_size = fit_long_side(height, width, self.input_px)
        resized = Image.fromarray(rgb).resize((input_size[1], input_size[0]), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).to(self.device).permute(2, 0, 1)[None]
        with self._autocast():
            features = self.sam.image_encoder(self.sam.preprocess(pixels))
        return SamEmbedding(features.float(), input_size, (height, width))

    def embedding_of(self, features: NDArray[np.float16], original_size: tuple[int, int]) -> SamEmbedding:
        """Put features that were kept, ``(1, C, g, g)``, back on the device.

        Args:
            features: the `image_embeddings` of a tile.
            original_size: ``(height, width)`` of that tile in pixels.
        """
        input_size = fit_long_side(*original_size, self.input_px)
        return SamEmbedding(torch.from_numpy(features).to(self.device).float(), input_size, original_size)

    @torch.inference_mode()
    def decode_points(
        self, embedding: SamEmbedding, points_px: NDArray[np.float64], min_rating: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw what is at each point: M masks a point, for the whole, a part and a part of that.

        Args:
            embedding: of the tile.
            points_px: ``(N, 2)`` x and y in the tile's pixels, N of at least 1.
            min_rating: points none of whose masks is rated higher are not drawn and left out; None: all are drawn.

        Returns:
            Logits ``(N', M, h, w)`` float32 over the model's padded square, above 0 inside the mask, and predicted
            IoU ``(N', M)`` float32, on the model's device.
        """
        points = self._in_model_px(embedding, points_px[:, None])
        labels = torch.full((len(points), 1), _FOREGROUND, dtype=torch.int, device=self.device)
        return self._decode(embedding, min_rating, points=(points, labels))

    @torch.inference_mode()
    def decode_point_sets(
        self, embedding: SamEmbedding, points_px: NDArray[np.float64], is_inside: NDArray[np.bool_], multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Draw what each set of points describes together.

        Args:
            embedding: of the tile.
            points_px: ``(N, P, 2)`` x and y in the tile's pixels, N and P of at least 1. Sets of other lengths go into
                another call: SAM has no padding that changes nothing.
            is_inside: ``(N, P)`` bool, whether a point lies on the object or beside it.
            multimask: see `decode_prompts`.

        Returns:
            As `decode_points`; M is 1 where `multimask` is False.
        """
        labels = torch.as_tensor(is_inside, dtype=torch.int, device=self.device)
        points = self._in_model_px(embedding, points_px)
        return self._decode(embedding, None, multimask, points=(points, labels))

    @torch.inference_mode()
    def decode_boxes(
        self, embedding: SamEmbedding, boxes_px: NDArray[np.float64], multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Draw what is in each box.

        Args:
            embedding: of the tile.
            boxes_px: ``(N, 4)`` left, top, right, bottom in the tile's pixels, N of at least 1.
            multimask: see `decode_prompts`.

        Returns:
            As `decode_points`; M is 1 where `multimask` is False.
        """
        corners = self._in_model_px(embedding, boxes_px.reshape(-1, 2, 2))
        return self._decode(embedding, None, multimask, boxes=corners.flatten(1))

    @torch.inference_mode()
    def decode_together(
        self,
        embedding: SamEmbedding,
        box_px: NDArray[np.float64] | None,
        points_px: NDArray[np.float64],
        is_inside: NDArray[np.bool_],
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Draw one object that a box and points describe together.

        Args:
            embedding: of the tile.
            box_px: ``(4,)`` left, top, right, bottom in the tile's pixels; None: only points.
            points_px: ``(P, 2)`` x and y; P may be 0 where there is a box.
            is_inside: ``(P,)`` bool, whether a point lies on the object or beside it.
            multimask: see `decode_prompts`.

        Returns:
            As `decode_points`, with N of 1; M is 1 where `multimask` is False.
        """
        prompts: dict[str, Any] = {}
        if len(points_px):
            labels = torch.as_tensor(is_inside[None], dtype=torch.int, device=self.device)
            prompts["points"] = (self._in_model_px(embedding, points_px[None]), labels)
        if box_px is not None:
            prompts["boxes"] = self._in_model_px(embedding, box_px.reshape(1, 2, 2)).flatten(1)
        return self._decode(embedding, None, multimask, **prompts)

    def _in_model_px(self, embedding: SamEmbedding, points_px: NDArray[np.float64]) -> Tensor:
        scale = np.asarray(embedding.input_size) / np.asarray(embedding.original_size)
        return torch.as_tensor(points_px * scale[::-1], dtype=self._coordinate_dtype, device=self.device)

    def _decode(
        self, embedding: SamEmbedding, min_rating: float | None, multimask: bool = True, **prompts: Any
    ) -> tuple[Tensor, Tensor]:
        """Run the decoder for prompts in the frame of the model's input, as the prompt encoder takes them."""
        everything = {"points": None, "boxes": None, "masks": None, **prompts}
        # The prompts' positions need float32, so only the decoder itself is cast.
        sparse, dense = self.sam.prompt_encoder(**everything)
        positions = self.sam.prompt_encoder.get_dense_pe()
        with self._autocast():
            logits, predicted_iou = decode_prompts(
                self.sam.mask_decoder, embedding.image_embeddings, positions, sparse, dense, min_rating, multimask
            )
        return logits.float(), predicted_iou.float()

    @property
    def _coordinate_dtype(self) -> torch.dtype:
        """float64 as in SamPredictor, where the device has it."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def fit_long_side(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Return ``(height, width)`` in pixels scaled so that the longer one is `long_side`; rounds as SAM does."""
    scale = long_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def load_sam(path: Path, device: torch.device, dtype: torch.dtype) -> SamModel:
    """Load a SAM checkpoint of any size in the layout of segment_anything or of transformers.

    Args:
        path: .pth, .pt, .bin or .safetensors; see `METADATA_KEY` for what the latter may tell beside the weights.
        device: where it will run.
        dtype: autocast type there; float32 means none.

    Raises:
        ModelError: missing, damaged, or of another architecture.
    """
    state = load_state_dict(path)
    require_role(shapes_of(state), "sam", path)
    is_foreign = is_transformers_sam(state)
    state = under_own_names(state) if is_foreign else state
    shapes = shapes_of(state)
    config = _config_of(path, shapes, is_foreign)
    with torch.device("meta"), _explained(path):  # no time is spent on random weights
        sam = build_sam(config)
    _require_same_layout(path, shapes_of(sam.state_dict()), shapes)
    sam.to_empty(device=device)
    sam.load_state_dict(state, strict=True)
    for name in ("pixel_mean", "pixel_std"):  # in no checkpoint, and to_empty left them undefined
        getattr(sam, name).copy_(torch.tensor(getattr(config, name)).view(-1, 1, 1))
    return SamModel(sam, device, dtype)


def _config_of(path: Path, shapes: Shapes, is_foreign: bool) -> SamConfig:
    written = read_metadata(path).get(METADATA_KEY, "{}")
    with _explained(path):
        beside = written_beside(path, shapes) if is_foreign else {}
        return SamConfig.from_shapes(shapes, {**beside, **_read_config(written)})


def _read_config(written: str) -> dict[str, Any]:
    given = dict(json.loads(written))
    unknown = set(given) - {field.name for field in fields(SamConfig)}
    if unknown:
        raise ValueError(f"its {METADATA_KEY} has unknown fields: {', '.join(sorted(unknown))}")
    return given


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what goes wrong with an architecture into words."""
    try:
        yield
    except KeyError as error:
        raise _unknown_architecture(path, f"it lacks {error.args[0]}") from error
    except (TypeError, ValueError, IndexError, ZeroDivisionError, AssertionError, RecursionError) as error:
        raise _unknown_architecture(path, str(error)) from error


def _unknown_architecture(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"The architecture of the SAM checkpoint {path} cannot be told ({reason}): take a checkpoint in the layout of "
        f"segment_anything, or a .safetensors file with a {METADATA_KEY} in its header."
    )


def _require_same_layout(path: Path, expected: Shapes, given: Shapes) -> None:
    problems = {
        "lacks": sorted(expected.keys() - given.keys()),
        "has beside SAM's own": sorted(given.keys() - expected.keys()),
        "has in another shape": sorted(key for key in expected.keys() & given.keys() if expected[key] != given[key]),
    }
    found = [f"{what} {len(keys)} weights such as {keys[0]}" for what, keys in problems.items() if keys]
    if found:
        raise ModelError(
            f"The SAM checkpoint {path} does not fit its architecture, it {' and '.join(found)}: take a checkpoint in "
            "the layout of segment_anything."
        )
