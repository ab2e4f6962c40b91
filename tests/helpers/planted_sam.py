"""A SAM without networks: it answers each point of a grid with masks and ratings that were planted for it.

The parts of a real ``segment_anything.modeling.Sam`` around the networks are kept, so that both
``SamAutomaticMaskGenerator`` and the product can run on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel, fit_long_side
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

from segment_anything.modeling import Sam  # noqa: E402

MASKS_PER_POINT = 3
RATING_CUT = 0.88  # planted ratings lie above it in `pass_rate` of all cases


@dataclass(frozen=True)
class Planted:
    """What is answered: ``logits`` (P, 3, h, w) float32 and ``ratings`` (P, 3) float32 for P points, row by row."""

    logits: Tensor
    ratings: Tensor

    @property
    def points_per_side(self) -> int:
        return round(len(self.logits) ** 0.5)


@dataclass(frozen=True)
class Ellipses:
    """M objects on the coarse grid: centres, half axes and angles, all (M,)."""

    x: np.ndarray
    y: np.ndarray
    long: np.ndarray
    short: np.ndarray
    angle: np.ndarray


def scatter_ellipses(count: int, coarse_px: int, radii: tuple[float, float], rng: np.random.Generator) -> Ellipses:
    """Scatter ellipses whose half axes are spread evenly in the logarithm between two shares of the grid's side."""
    low, high = np.log(np.asarray(radii) * coarse_px)
    long = np.exp(rng.uniform(low, high, count))
    x, y = rng.uniform(0, coarse_px, (2, count))
    return Ellipses(x, y, long, long * rng.uniform(0.5, 1, count), rng.uniform(0, np.pi, count))


def plant(
    points_per_side: int,
    coarse_px: int,
    pass_rate: float,
    seed: int,
    radii: tuple[float, float] = (0.02, 0.35),
    objects: int = 60,
) -> Planted:
    """Plant, for each point, the three ellipses nearest to it, a little shifted, with random steepness and ratings."""
    rng = np.random.default_rng(seed)
    ellipses = scatter_ellipses(objects, coarse_px, radii, rng)
    points = points_per_side**2
    logits = torch.empty(points, MASKS_PER_POINT, coarse_px, coarse_px)
    for p in range(points):
        x, y = (p % points_per_side + 0.5, p // points_per_side + 0.5) / np.float64(points_per_side) * coarse_px
        nearest = np.argsort((ellipses.x - x) ** 2 + (ellipses.y - y) ** 2)[:MASKS_PER_POINT]
        for k, which in enumerate(nearest):
            logits[p, k] = torch.from_numpy(_draw(ellipses, which, coarse_px, rng))
    passes = rng.random((points, MASKS_PER_POINT)) < pass_rate
    ratings = np.where(passes, rng.uniform(RATING_CUT, 1, passes.shape), rng.uniform(0, RATING_CUT, passes.shape))
    return Planted(logits, torch.from_numpy(ratings.astype(np.float32)))


def _draw(ellipses: Ellipses, i: int, coarse_px: int, rng: np.random.Generator) -> np.ndarray:
    """Return logits (h, w) float32 with a stability of about 0.9 to 1, and a little unevenness along the outline."""
    shift_x, shift_y = rng.normal(0, 0.3, 2)
    x = np.arange(coarse_px, dtype=np.float32)[None, :] + np.float32(0.5 - ellipses.x[i] + shift_x)
    y = np.arange(coarse_px, dtype=np.float32)[:, None] + np.float32(0.5 - ellipses.y[i] + shift_y)
    cos, sin = np.float32(np.cos(ellipses.angle[i])), np.float32(np.sin(ellipses.angle[i]))
    u, v = (x * cos + y * sin) / np.float32(ellipses.long[i]), (y * cos - x * sin) / np.float32(ellipses.short[i])
    distance = 1 - np.sqrt(u * u + v * v)
    root = np.sqrt(rng.uniform(0.9, 0.999))
    steepness = (1 + root) / (1 - root)  # at an offset of 1 the two cuts then enclose areas of ratio root squared
    uneven = 0.05 * np.sin(x * np.float32(0.9) + y * np.float32(0.7))
    return np.clip(distance * np.float32(steepness) + uneven, -25, 25)


class _Encoder(nn.Module):
    def __init__(self, img_size: int) -> None:
        super().__init__()
        self.img_size = img_size

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.zeros(1, 1, 1, 1)


class _Prompts(nn.Module):
    def get_dense_pe(self) -> Tensor:
        return torch.zeros(1)

    def forward(self, points: tuple[Tensor, Tensor], boxes: None, masks: None) -> tuple[Tensor, None]:
        return points[0][:, 0], None


class _Decoder(nn.Module):
    """Looks up which point of the grid is meant."""

    def __init__(self, planted: Planted, input_size: tuple[int, int]) -> None:
        super().__init__()
        self.planted, self.input_size, self.calls = planted, input_size, 0

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        self.calls += 1
        count, (height, width) = self.planted.points_per_side, self.input_size
        columns, rows = (sparse_prompt_embeddings / torch.tensor([width, height]) * count).long().T
        which = rows * count + columns
        if torch.equal(which, torch.arange(which[0], which[0] + len(which))):
            which = slice(int(which[0]), int(which[0]) + len(which))  # a view, which costs nothing
        return self.planted.logits[which], self.planted.ratings[which]


def planted_sam(planted: Planted, model_px: int, tile_size: tuple[int, int]) -> Sam:
    """Return a Sam of that input size that knows the answers for tiles of that (height, width)."""
    input_size = fit_long_side(*tile_size, model_px)
    return Sam(_Encoder(model_px), _Prompts(), _Decoder(planted, input_size)).eval()


class _PlantedModel(SamModel):
    """Asks the planted decoder, which has none of the layers of a real one.

    Leaving out badly rated points saves a real decoder their drawing; here it costs a copy, which a bench can avoid.
    """

    draws_all = False

    def _decode(self, embedding: SamEmbedding, min_rating: float | None, **prompts) -> tuple[Tensor, Tensor]:
        sparse, dense = self.sam.prompt_encoder(**{"points": None, "boxes": None, "masks": None, **prompts})
        logits, ratings = self.sam.mask_decoder(
            image_embeddings=embedding.image_embeddings,
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        if self.draws_all or min_rating is None or (ratings > min_rating).any(dim=1).all():
            return logits, ratings
        kept = (ratings > min_rating).any(dim=1)
        return logits[kept], ratings[kept]


def wrapped(sam: Sam) -> SamModel:
    kind = _PlantedModel if isinstance(sam.mask_decoder, _Decoder) else SamModel
    return kind(sam, torch.device("cpu"), torch.float32)


def embedding_for(model: SamModel, tile_size: tuple[int, int]) -> SamEmbedding:
    return model.embed(np.zeros((*tile_size, 3), np.uint8))
