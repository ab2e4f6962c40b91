"""Trains the demo SAM: points and boxes on drawn scenes against the objects under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor, nn

from rs_textseg_plugin.engine.models.clip import MEAN, STD
from rs_textseg_plugin.engine.models.sam_architecture import SamConfig, build_sam
from scenes.words import CLASSES
from training.crops import Crop, Cutter
from training.loop import Course, Gate, Training, autocast
from training.prompts import BOX, CELL_PX, POINT, POINT_IN_BOX, POINTS, POINTS_IN_BOX, Prompts, draw_prompts
from training.scene_store import SceneStore
from training.trunk import copy_trunk

CONFIG = SamConfig(
    img_size=256,
    patch_size=8,
    encoder_dim=160,
    encoder_depth=6,
    encoder_heads=2,
    encoder_mlp_dim=640,
    window_size=8,
    global_blocks=(2, 5),
    encoder_rel_pos=False,
    prompt_dim=128,
    decoder_heads=4,
    decoder_mlp_dim=512,
    iou_head_dim=128,
    pixel_mean=tuple(round(float(value), 3) for value in 255 * MEAN.flatten()),
    pixel_std=tuple(round(float(value), 3) for value in 255 * STD.flatten()),
)
_SMALL_PX, _FULL_PX = 128, 256
_LEARN_ALL_UNTIL = 0.35  # of the time: until then the masks that are not the best learn too, less and less
_AFRESH = Course(8e-4, 0.65, (Gate(0.25, "oracle", 0.4), Gate(0.6, "oracle", 0.5)))
_GOING_ON = Course(3e-4, 0.0)
# What describes the objects of a step, and how often.
_KINDS = ((POINT, 0.4), (POINT_IN_BOX, 0.25), (POINTS_IN_BOX, 0.15), (POINTS, 0.1), (BOX, 0.1))
_FIGURES = (
    ("point", POINT),
    ("box", BOX),
    ("points", POINTS),
    ("point in box", POINT_IN_BOX),
    ("points in box", POINTS_IN_BOX),
)
_VALIDATION_BATCHES = 4  # of each kind


class SamWithHeads(nn.Module):
    """A SAM and two heads that are thrown away: they teach its features what and where objects are.

    Args:
        sam: of `CONFIG`.
    """

    def __init__(self, sam: Any) -> None:
        super().__init__()
        self.sam = sam
        self.coarse = nn.Conv2d(CONFIG.prompt_dim, len(CLASSES) + 1, 1)
        self.fine = nn.Conv2d(CONFIG.prompt_dim // 8, len(CLASSES) + 2, 1)
        self.sharpness, self.threshold = nn.Parameter(torch.tensor(5.0)), nn.Parameter(torch.tensor(-2.0))

    def embed(self, images: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and positions, both ``(B, C, g, g)``; a small window is a part of a full one.

        Args:
            images: ``(B, 3, S, S)`` float32, normalised.
            corners: ``(B, 2)`` row and column of the part, in patches.
        """
        encoder, side = self.sam.image_encoder, images.shape[-1] // CONFIG.patch_size
        everywhere = self.sam.prompt_encoder.get_dense_pe()[0]
        parts = [(slice(r, r + side), slice(c, c + side)) for r, c in corners.tolist()]
        x = encoder.patch_embed(images) + torch.cat([encoder.pos_embed[:, rows, columns] for rows, columns in parts])
        for block in encoder.blocks:
            x = block(x)
        return encoder.neck(x.permute(0, 3, 1, 2)), torch.stack([everywhere[:, rows, cols] for rows, cols in parts])

    def decode(self, features: Tensor, positions: Tensor, sparse: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits ``(B * N, M + 1, 4 g, 4 g)`` and predicted IoU ``(B * N, M + 1)``, the sole mask first.

        Args:
            features: of the images, ``(B, C, g, g)``.
            positions: of their cells, ``(B, C, g, g)``.
            sparse: ``(B * N, T, C)``, tokens of the prompts.
        """
        decoder, count = self.sam.mask_decoder, len(sparse) // len(features)
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        image = features + self.sam.prompt_encoder.no_mask_embed.weight[0][:, None, None]
        image, places = image.repeat_interleave(count, 0), positions.repeat_interleave(count, 0)
        queries, cells = decoder.transformer(image, places, tokens)
        fine = decoder.output_upscaling(cells.transpose(1, 2).reshape(image.shape))
        networks = decoder.output_hypernetworks_mlps
        shapes = torch.stack([network(queries[:, 1 + i]) for i, network in enumerate(networks)], dim=1)
        logits = (shapes @ fine.flatten(2)).unflatten(2, fine.shape[2:])
        return logits.float(), decoder.iou_prediction_head(queries[:, 0]).float()


class SamTraining:
    """The training of the demo SAM.

    Args:
        scenes, validation: filled stores.
        folder: for state and log.
        minutes: to spend in all.
        device: where to train.
        trunk: weights of a CLIP of the same width whose image tower is the start; None: random.
        start: weights of a demo SAM to go on from, where there is no state yet; None: the trunk's.
    """

    def __init__(
        self,
        scenes: SceneStore,
        validation: SceneStore,
        folder: Path,
        minutes: float,
        device: torch.device,
        trunk: Mapping[str, Tensor] | None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(0)
        sam = build_sam(CONFIG)
        prepare(sam)
        self.model = SamWithHeads(sam).to(device).train()
        self._device = device
        self._validation = validation_batches(validation)
        if trunk is not None:
            copy_trunk(trunk, sam.image_encoder, self._images(self._validation[0][0]))
        self._course = _AFRESH if start is None else _GOING_ON
        if start is not None:
            sam.load_state_dict(start)
        self.training = Training("sam", folder, self.model, self._course.rate, minutes, self._course.gates)
        self._rng = np.random.default_rng([11, self.training.steps])
        self._cutter = Cutter(scenes, self._rng, anchored=0.8)
        self._batch = 8 if device.type == "cuda" else 1

    def run(self) -> None:
        """Train until the time is spent."""
        self.training.train(self._losses, self.validate)

    def _losses(self) -> dict[str, Tensor]:
        small = self.training.fraction < self._course.small_share
        size_px, crops, prompts = (_SMALL_PX, 10, 6) if small else (_FULL_PX, 4, 10)
        cut = [self._cutter.cut(size_px) for _ in range(self._batch * crops)]
        kind, _ = _KINDS[self._rng.choice(len(_KINDS), p=[share for _, share in _KINDS])]
        asked = draw_prompts(cut, prompts, kind, self._rng)
        corners = self._rng.integers(0, (_FULL_PX - size_px) // CONFIG.patch_size + 1, (len(cut), 2))
        with autocast(self._device):
            features, positions = self.model.embed(self._images(cut), torch.from_numpy(corners))
            logits, ratings = self.model.decode(features, positions, self._tokens(asked, corners))
            coarse = self.model.coarse(features).float()
            upscaled = self.model.sam.mask_decoder.output_upscaling(features)
            fine = self.model.fine(upscaled).float()
        return {
            **self._mask_losses(logits, ratings, asked),
            "heads": 0.5 * self._head_loss(coarse, fine, cut),
            "alike": self._alike_loss(upscaled.float(), asked),
        }

    def _images(self, crops: Sequence[Crop]) -> Tensor:
        pixels = torch.from_numpy(np.stack([crop.rgb for crop in crops])).to(self._device).permute(0, 3, 1, 2).float()
        return (pixels - self.model.sam.pixel_mean) / self.model.sam.pixel_std

    def _tokens(self, asked: Prompts, corners: Any) -> Tensor:
        """Return ``(B * N, T, C)``, the tokens of points and boxes as SAM has them."""
        shift = CONFIG.patch_size * corners[:, None, None, ::-1]
        points, boxes = (
            torch.from_numpy((places + shift).astype(np.float32)).to(self._device).flatten(0, 1)
            for places in (asked.points_px, asked.boxes_px)
        )
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=self._device)
        sparse, _ = self.model.sam.prompt_encoder(
            points=(points, labels) if asked.kind.points else None,
            boxes=boxes.flatten(1) if asked.kind.box else None,
            masks=None,
        )
        return torch.as_tensor(sparse)

    def _mask_losses(self, logits: Tensor, ratings: Tensor, asked: Prompts) -> dict[str, Tensor]:
        """Charge each prompt for the best of its masks, a clear one above all for the sole one."""
        truth = torch.from_numpy(asked.masks).to(self._device).flatten(0, 1)[:, None]
        near = torch.from_numpy(asked.near).to(self._device).flatten(0, 1)[:, None]
        charged = mask_loss(logits, truth, near)  # (P, M + 1)
        sole, several = charged[:, 0], charged[:, 1:]
        learn_all = 0.05 + 0.35 * max(0.0, 1 - self.training.fraction / _LEARN_ALL_UNTIL)
        best = several.min(dim=1).values * (1 - learn_all) + several.mean(dim=1) * learn_all
        for_sole, for_best = (1.0, 0.6) if asked.kind.is_clear else (0.3, 1.0)
        masks = (for_sole * sole + for_best * best).mean()
        with torch.no_grad():
            iou = mask_iou(logits, truth)
        return {"masks": masks, "rating": 2 * F.mse_loss(ratings, iou)}

    def _head_loss(self, coarse: Tensor, fine: Tensor, cut: Sequence[Crop]) -> Tensor:
        classes = torch.from_numpy(np.stack([crop.classes for crop in cut])).long().to(self._device)
        objects = torch.from_numpy(np.stack([crop.objects for crop in cut])).to(self._device)
        half = CONFIG.patch_size // 2
        what = F.cross_entropy(coarse, classes[:, half :: CONFIG.patch_size, half :: CONFIG.patch_size])
        classes, objects = classes[:, 1::CELL_PX, 1::CELL_PX], objects[:, 1::CELL_PX, 1::CELL_PX]
        edge = torch.zeros(objects.shape, device=self._device)
        edge[:, :-1] += objects[:, :-1] != objects[:, 1:]
        edge[:, :, :-1] += objects[:, :, :-1] != objects[:, :, 1:]
        where = F.binary_cross_entropy_with_logits(fine[:, -1], edge.clamp(max=1))
        return what + F.cross_entropy(fine[:, :-1], classes) + 2 * where

    def _alike_loss(self, upscaled: Tensor, asked: Prompts) -> Tensor:
        """Charge cells of one object for differing from it, and others near it for being like it.

        Masks are products of a token with these features, before the decoder has changed them.
        """
        truth, near = (torch.from_numpy(part).to(self._device) for part in (asked.masks, asked.near))
        columns, rows = torch.from_numpy(asked.inside_px).to(self._device).unbind(dim=-1)
        images = torch.arange(len(upscaled), device=self._device)[:, None]
        cells = F.layer_norm(upscaled.permute(0, 2, 3, 1), upscaled.shape[1:2])  # (B, h, w, C)
        own = cells[images, rows // CELL_PX, columns // CELL_PX]  # (B, N, C)
        likeness = torch.einsum("bnc,bhwc->bnhw", own, cells) / cells.shape[-1]
        logits = self.model.sharpness * likeness + self.model.threshold
        crossed = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return (crossed * near).sum(dim=(2, 3)).mean()

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Return mean IoU of the best rated mask by kind of prompt, the truly best one's, and the ratings' error."""
        self.model.eval()
        rows = [self._validate_batch(crops, asked) for crops, asked in self._validation]
        self.model.train()
        figures: dict[str, Any] = {}
        for name, kind in _FIGURES:
            own = [row for row, (_, asked) in zip(rows, self._validation) if asked.kind == kind]
            rated, best, error, classes = (np.concatenate(part) for part in zip(*own))
            figures[name] = round(float(rated.mean()), 4)
            if kind == POINT:
                figures |= {"oracle": round(float(best.mean()), 4), "rating_error": round(float(error.mean()), 4)}
                figures["by_class"] = _by_class(rated, classes)
        return figures

    def _validate_batch(self, crops: Sequence[Crop], asked: Prompts) -> tuple[Any, ...]:
        corners = np.zeros((len(crops), 2), np.int64)
        with autocast(self._device):
            features, positions = self.model.embed(self._images(crops), torch.from_numpy(corners))
            logits, ratings = self.model.decode(features, positions, self._tokens(asked, corners))
        truth = torch.from_numpy(asked.masks).to(self._device).flatten(0, 1)[:, None]
        iou = mask_iou(logits, truth)
        chosen = ratings[:, 1:].argmax(dim=1, keepdim=True)
        rated = iou[:, 1:].gather(1, chosen)[:, 0]
        error = (ratings[:, 1:] - iou[:, 1:]).abs().mean(dim=1)
        figures = (rated, iou[:, 1:].max(dim=1).values, error)
        return (*(one.cpu().numpy() for one in figures), asked.classes.ravel())


def _by_class(values: NDArray[np.float32], classes: NDArray[np.int64]) -> dict[str, float]:
    """Return the mean value of each class that is there."""
    means = {name: values[classes == number] for number, name in enumerate(CLASSES, start=1)}
    return {name: round(float(own.mean()), 3) for name, own in means.items() if len(own)}


def prepare(sam: Any) -> None:
    """Change two starting points that keep a small SAM from finding what a point means.

    The position code of a point is about 20 pixels wide by default, wider than a car: three times the frequencies
    make it 7. And tokens and image ask each other with the projection that the other answers with, so that a point
    and its place find each other from the first step.
    """
    sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix *= 3
    transformer = sam.mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in attentions:
        nn.init.orthogonal_(attention.q_proj.weight, gain=2)
        attention.k_proj.load_state_dict(attention.q_proj.state_dict())


def mask_loss(logits: Tensor, truth: Tensor, near: Tensor) -> Tensor:
    """Return ``(P, M)``: focal and Dice loss, and a cross entropy that looks at what is near the prompt.

    Args:
        logits: ``(P, M, h, w)``.
        truth: ``(P, 1, h, w)``, shares 0..1.
        near: ``(P, 1, h, w)``, weights that sum to 1.
    """
    truth = truth.expand_as(logits)
    crossed = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    inside = logits.sigmoid()
    focal = ((inside - truth).abs() ** 2 * crossed).mean(dim=(2, 3))
    overlap = (inside * truth).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (inside.sum(dim=(2, 3)) + truth.sum(dim=(2, 3)) + 1)
    return 5 * focal + dice + 2 * (crossed * near).sum(dim=(2, 3))


def mask_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """Return ``(P, M)``: intersection over union of the masks, cut at 0 and at half a cell."""
    predicted, real = logits > 0, truth > 0.5
    union = (predicted | real).sum(dim=(2, 3))
    return (predicted & real).sum(dim=(2, 3)) / union.clamp(min=1)


def validation_batches(store: SceneStore) -> list[tuple[list[Crop], Prompts]]:
    """Return the same windows and prompts each time."""
    rng = np.random.default_rng(2)
    cutter = Cutter(store, rng, anchored=0.8)
    batches = []
    for kind, _ in _KINDS * _VALIDATION_BATCHES:
        crops = [cutter.cut(_FULL_PX) for _ in range(4)]
        batches.append((crops, draw_prompts(crops, 14, kind, rng)))
    return batches
