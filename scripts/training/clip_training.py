"""Trains the demo CLIP: patches and crops of drawn scenes against words.

The patches take exactly the way of the product's dense maps (`patch_features` with self-self attention), so what is
learned is what is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor

from metrics import UNLABELLED, confusion, pixel_scores
from rs_textseg_plugin.engine.clip.object_picture import object_picture
from rs_textseg_plugin.engine.models.clip import MEAN, STD, TEMPLATES, encode_text, patch_features
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from scenes.words import CLASSES
from scenes.words import UNLABELLED as NOTHING
from training.crops import Crop, Cutter
from training.loop import Course, Gate, Training, autocast
from training.scene_store import SceneStore
from training.vocabulary import BACKGROUND, SYNONYMS, UNKNOWN, UNKNOWN_TOKEN, pick_sentences, pick_words

CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 256, "layers": 6, "width": 160, "head_width": 80, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 2},
}
SCALE = 50.0  # sharpness of the softmax over words, as in the recipe
_CLS_WEIGHT = 0.3  # the recipe's default, in half of the steps
_SMALL_PX, _FULL_PX = 128, 256
_ANCHORED, _ANCHORED_LATE = 0.65, 0.25  # shares of the windows that are looked for by class
_BALANCED_SHARE = 0.8  # of the time rare classes are favoured; then they are seen as often as they are
_CELL_PX = 4  # truth is compared on cells of that size, half a patch
_OBJECT_MASKED = 0.6  # share of the object crops that are black around the object
_SMALLEST_OBJECT_PX = 24
_ALL_CLASSES, _WITH_UNKNOWN = 0.6, 0.4  # shares of the steps
_BACKGROUND_WEIGHT = 0.7
_MOST_ALIKE = 0.2  # two words of different classes
_AFRESH = Course(1.2e-3, 0.5, (Gate(0.25, "miou", 0.22), Gate(0.6, "miou", 0.4)))
_GOING_ON = Course(4e-4, 0.0)
_EVALUATE_EVERY = 250
_VALIDATION_WINDOWS = 48


class ClipTraining:
    """The training of the demo CLIP.

    Args:
        scenes, validation: filled stores.
        folder: for state and log.
        minutes: to spend in all.
        device: where to train.
        start: weights of a demo CLIP to go on from, where there is no state yet; None: random.
    """

    def __init__(
        self,
        scenes: SceneStore,
        validation: SceneStore,
        folder: Path,
        minutes: float,
        device: torch.device,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        model, self._tokenizer = build_clip()
        self._course = _AFRESH if start is None else _GOING_ON
        if start is not None:
            model.load_state_dict(start)
        self.model = model.to(device)
        self._device = device
        self.known_tokens = find_known_tokens(self._tokenizer)
        self.training = Training("clip", folder, self.model, self._course.rate, minutes, self._course.gates)
        self._rng = np.random.default_rng([7, self.training.steps])
        self._cutter = Cutter(scenes, self._rng, anchored=_ANCHORED)
        self._weights = torch.tensor(class_weights(scenes), dtype=torch.float32, device=device)
        self._validation = validation_windows(validation)
        self._batch = 8 if device.type == "cuda" else 1

    def run(self) -> None:
        """Train until the time is spent."""
        running: list[tuple[float, float]] = []
        for step in self.training.run():
            size_px = _SMALL_PX if self.training.fraction < self._course.small_share else _FULL_PX
            if self.training.fraction > _BALANCED_SHARE:
                self._cutter.anchored, self._weights = _ANCHORED_LATE, torch.ones_like(self._weights)
            dense = self._dense_loss(size_px)
            crop = self._crop_loss(size_px) if step % 2 else torch.zeros((), device=self._device)
            self.training.descend(dense + 0.5 * crop)
            running.append((dense.item(), 2 * crop.item()))
            if step % _EVALUATE_EVERY == _EVALUATE_EVERY - 1:
                self._report(running)
                running = []
        self._report(running)

    def _dense_loss(self, size_px: int) -> Tensor:
        """Cross entropy between each cell's word probabilities and the shares of the classes in it."""
        crops = [self._cutter.cut(size_px) for _ in range(self._batch * (16 if size_px == _SMALL_PX else 5))]
        asked, words = self._question()
        texts = self._texts(words)
        with autocast(self._device):
            images, positions = self._images([crop.rgb for crop in crops]), self._sub_grids(len(crops), size_px)
            grid, cls = patch_features(self.model.visual, images, "self-self", positions)
        logits = SCALE * grid @ texts.T
        if self._rng.random() < 0.5:
            logits = logits - SCALE * _CLS_WEIGHT * (cls @ texts.T)[:, None, None]
        logits = F.interpolate(logits.permute(0, 3, 1, 2), scale_factor=8 / _CELL_PX, mode="bilinear")
        shares = torch.from_numpy(cell_shares(np.stack([crop.classes for crop in crops]), asked)).to(self._device)
        shares = F.pad(shares, (0, 0, 0, 0, 0, len(words) - shares.shape[1]))  # nothing is of an unknown class
        weights = F.pad(self._weights[asked], (0, len(words) - len(asked)), value=_BACKGROUND_WEIGHT)[:, None, None]
        losses = -(F.log_softmax(logits, dim=1) * shares * weights).sum(dim=1)
        return losses.sum() / (shares * weights).sum().clamp(min=1) + spread_loss(texts)

    def _question(self) -> tuple[list[int], list[str]]:
        """Return the classes asked for and all words: theirs, a background's, and one that is unknown.

        All classes are asked for and there is no background, or some of them against a background.
        """
        unknown = [str(self._rng.choice(UNKNOWN))] if self._rng.random() < _WITH_UNKNOWN else []
        if self._rng.random() < _ALL_CLASSES:
            asked = list(range(len(CLASSES)))
            return asked, pick_words(asked, self._rng) + unknown
        count = int(self._rng.integers(1, 9))
        asked = sorted(self._rng.choice(len(CLASSES), count, replace=False).tolist())
        return asked, [*pick_words(asked, self._rng), str(self._rng.choice(BACKGROUND)), *unknown]

    def _texts(self, words: Sequence[str]) -> Tensor:
        tokens = self._tokenizer(pick_sentences(words, TEMPLATES["80"], self._rng))
        tokens[~self.known_tokens[tokens]] = UNKNOWN_TOKEN
        return F.normalize(encode_text(self.model, tokens.to(self._device)).float(), dim=-1)

    def _images(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        pixels = torch.from_numpy(np.stack(pictures)).to(self._device).permute(0, 3, 1, 2).float() / 255
        return (pixels - MEAN.to(self._device)) / STD.to(self._device)

    def _sub_grids(self, count: int, size_px: int) -> Tensor:
        """Return positions ``(N, 1 + n, C)``: a small window is a random part of a full one."""
        positions = self.model.visual.positional_embedding
        side, part = _FULL_PX // 8, size_px // 8
        plane = positions[1:].unflatten(0, (side, side))
        corners = self._rng.integers(0, side - part + 1, (count, 2))
        parts = [plane[r : r + part, c : c + part].flatten(0, 1) for r, c in corners]
        return torch.stack([torch.cat([positions[:1], one]) for one in parts])

    def _crop_loss(self, size_px: int) -> Tensor:
        """Cross entropy of what <CLS> says of single objects, most of them cut out along their outline."""
        count = self._batch * (6 if size_px == _SMALL_PX else 2)
        pictures, labels = zip(*(self._object_picture(size_px) for _ in range(count)))
        texts = self._texts(pick_words(range(len(CLASSES)), self._rng))
        positions = self.model.visual.positional_embedding
        step = _FULL_PX // size_px
        plane = positions[1:].unflatten(0, (_FULL_PX // 8, _FULL_PX // 8))[::step, ::step]
        with autocast(self._device):
            images = self._images(pictures)
            whole = torch.cat([positions[:1], plane.flatten(0, 1)])
            _, cls = patch_features(self.model.visual, images, "vanilla", whole)
        return F.cross_entropy(SCALE * cls @ texts.T, torch.tensor(labels, device=self._device))

    def _object_picture(self, size_px: int) -> tuple[NDArray[np.uint8], int]:
        while True:
            crop = self._cutter.cut(_SMALL_PX)
            numbers, areas = np.unique(crop.objects[crop.classes > 0], return_counts=True)
            numbers = numbers[areas >= _SMALLEST_OBJECT_PX]
            if len(numbers):
                inside = crop.objects == self._rng.choice(numbers)
                masked = self._rng.random() < _OBJECT_MASKED
                return cut_out(crop, inside, size_px, masked), int(crop.classes[inside][0]) - 1

    def _report(self, running: list[tuple[float, float]]) -> None:
        figures = self.validate()
        dense, crop = np.mean(running, axis=0).tolist() if running else (math.nan, math.nan)
        self.training.log(loss_dense=dense, loss_crop=crop, **figures)

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Return pixel accuracy, mIoU and IoU per class over the validation windows."""
        self.model.eval()
        texts = torch.stack([self._mean_text(name) for name in CLASSES])
        counts = np.zeros((len(CLASSES) + 1, len(CLASSES) + 1), np.int64)
        for start in range(0, len(self._validation), 8):
            crops = self._validation[start : start + 8]
            with autocast(self._device):
                grid, _ = patch_features(self.model.visual, self._images([crop.rgb for crop in crops]), "self-self")
            logits = F.interpolate((grid @ texts.T).permute(0, 3, 1, 2), scale_factor=8, mode="bilinear")
            predicted = logits.argmax(dim=1).cpu().numpy().astype(np.int16) + 1
            truth = np.stack([crop.classes for crop in crops]).astype(np.int16)
            truth[truth == NOTHING] = UNLABELLED
            counts += confusion(truth, predicted, len(CLASSES))
        self.model.train()
        return figures_of(counts)

    def _mean_text(self, name: str) -> Tensor:
        tokens = self._tokenizer([one.replace("{}", name) for one in TEMPLATES["7"]]).to(self._device)
        return F.normalize(F.normalize(encode_text(self.model, tokens), dim=-1).mean(dim=0), dim=0)


def build_clip() -> tuple[Any, Any]:
    """Return the untrained model and its tokenizer; its scale is fixed."""
    ensure_torchvision()
    import open_clip  # imports torchvision

    torch.manual_seed(0)
    model = open_clip.CLIP(**CONFIG)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(SCALE))
    model.logit_scale.requires_grad_(False)
    return model, open_clip.SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])


def find_known_tokens(tokenizer: Any) -> Tensor:
    """Return ``(V,)`` bool: the tokens that some sentence of the training holds."""
    words = {word for synonyms in SYNONYMS.values() for word in synonyms} | set(BACKGROUND)
    sentences = [template.replace("{}", word) for word in sorted(words) for template in TEMPLATES["80"]]
    known = torch.zeros(CONFIG["text_cfg"]["vocab_size"], dtype=torch.bool)
    known[tokenizer(sentences)] = True
    return known


def spread_loss(texts: Tensor) -> Tensor:
    """Return the mean square of what the words' similarities, ``(K, D)`` of unit length, have above `_MOST_ALIKE`.

    Untrained, all sentences point in nearly the same direction, and at a fixed scale that leaves classes which look
    alike (a roof, a car park) hardly any room to differ.
    """
    excess = (texts @ texts.T - torch.eye(len(texts), device=texts.device) - _MOST_ALIKE).clamp(min=0)
    return (excess**2).sum() / max(len(texts) * (len(texts) - 1), 1)


def class_weights(scenes: SceneStore) -> NDArray[np.float64]:
    """Return ``(K,)`` weights around 1: a little more for classes that cover little."""
    sample = np.asarray(scenes.classes[:: max(1, scenes.count // 200), ::4, ::4])
    shares = np.bincount(sample.ravel(), minlength=len(CLASSES) + 1)[1:] / sample.size
    weights = np.maximum(shares, 1e-4) ** -0.25
    return weights / (weights * shares).sum() * shares.sum()


def cell_shares(classes: NDArray[np.uint8], asked: Sequence[int]) -> NDArray[np.float32]:
    """Return the share of each class asked for in each cell, ``(N, K, g, g)``.

    Where not all classes are asked for, one more plane holds everything else.
    """
    everything = len(asked) == len(CLASSES)
    table = np.full(len(CLASSES) + 1, -1 if everything else len(asked))
    for position, index in enumerate(asked):
        table[index + 1] = position
    planes = len(asked) + (not everything)
    values = table[classes]
    cells = values.reshape(len(values), values.shape[1] // _CELL_PX, _CELL_PX, -1, _CELL_PX)
    return np.stack([(cells == plane).mean(axis=(2, 4), dtype=np.float32) for plane in range(planes)], axis=1)


def cut_out(crop: Crop, inside: NDArray[np.bool_], size_px: int, masked: bool) -> NDArray[np.uint8]:
    """Return one object of a crop as the product shows it to CLIP (``selector=crop``)."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return object_picture(crop.rgb[window], inside[window], size_px, fill=(0, 0, 0), shows_around=not masked)


def validation_windows(store: SceneStore) -> list[Crop]:
    """Return the same windows each time."""
    cutter = Cutter(store, np.random.default_rng(1), anchored=0.5)
    return [cutter.cut(_FULL_PX) for _ in range(_VALIDATION_WINDOWS)]


def figures_of(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Return accuracy over labelled pixels, mIoU and IoU per class from a confusion matrix of `metrics.confusion`."""
    scores = pixel_scores(counts)
    return {
        "accuracy": round(float(np.diagonal(counts).sum() / counts.sum()), 4),
        "miou": round(scores.mean_iou, 4),
        "iou": {name: round(float(value), 4) for name, value in zip(CLASSES, np.nan_to_num(scores.iou))},
    }
