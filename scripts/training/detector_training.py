"""Trains the demo detector, an OWL-ViT: boxes on drawn scenes against the objects in them.

Its image tower starts from the demo SAM's, which knows already where objects end.
"""

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
from rs_textseg_plugin.engine.models.owl import SENTENCE
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision, greedy_nms
from scenes.words import CLASSES
from training.boxes import Boxes, boxes_of
from training.crops import Crop, Cutter
from training.loop import Course, Gate, Training, autocast
from training.scene_store import SceneStore
from training.small_tokenizer import CONTEXT, make_tokenizer
from training.trunk import copy_to_owl
from training.vocabulary import UNKNOWN, all_sentences, pick_words

ensure_torchvision()

import transformers  # noqa: E402 (after the repair that it needs)

SIDE_PX, PATCH_PX = 256, 8
_WIDTH, _TEXT_WIDTH = 160, 64
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_UNKNOWN_WORDS = 3  # of each step: they name nothing
_SCORES_WEIGHT = 0.2  # of the scores' loss beside the boxes': scores are learnt sooner
_BESIDE_WEIGHT = 0.25  # of what a patch says of an object that others have to find
_SCORE_OF_ANY_BOX = 0.5  # on the right object; the rest is for the IoU
_AFRESH = Course(2e-3, 0.0, (Gate(0.3, "f1", 0.08), Gate(0.6, "f1", 0.12)))
_GOING_ON = Course(5e-4, 0.0)
_VALIDATION_WINDOWS = 24
_SURE, _SAME_OBJECT, _DUPLICATE = 0.5, 0.5, 0.5  # score, IoU with the truth, IoU of two boxes


class DetectorTraining:
    """The training of the demo detector.

    Args:
        scenes, validation: filled stores.
        folder: for state and log.
        minutes: to spend in all.
        device: where to train.
        trunk: weights of a SAM of the same width whose image encoder is the start; None: random.
        start: weights of a demo detector to go on from, where there is no state yet; None: the trunk's.
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
        self.tokenizer = make_tokenizer(all_sentences())
        self._device = device
        self._validation = validation_windows(validation)
        self.model = build_detector(len(self.tokenizer))
        if trunk is not None:
            copy_to_owl(trunk, self.model.owlvit.vision_model, self._images(self._validation))
        self.model.to(device).train()
        course = _AFRESH if start is None else _GOING_ON
        if start is not None:
            self.model.load_state_dict(start)
        self.training = Training("detector", folder, self.model, course.rate, minutes, course.gates)
        self._rng = np.random.default_rng([13, self.training.steps])
        self._cutter = Cutter(scenes, self._rng, anchored=0.8)
        self._batch = 16 if device.type == "cuda" else 4

    def run(self) -> None:
        """Train until the time is spent."""
        self.training.train(self._losses, self.validate)

    def _losses(self) -> dict[str, Tensor]:
        crops = [self._cutter.cut(SIDE_PX) for _ in range(self._batch)]
        truths = [boxes_of(crop, PATCH_PX) for crop in crops]
        words = [*pick_words(range(len(CLASSES)), self._rng), *unknown_words(self._rng)]
        logits, boxes = self.look(crops, words)
        parts = [_losses_of(own, found, truth) for own, found, truth in zip(logits, boxes, truths)]
        objects = max(sum(len(truth.labels) for truth in truths), 1)
        return {name: torch.stack([part[name] for part in parts]).sum() / objects for name in parts[0]}

    def look(self, crops: Sequence[Crop], words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return logits ``(B, P, Q)`` and boxes ``(B, P, 4)``, middle and sides as shares of the crop; float32."""
        model, count = self.model, len(crops)
        tokens = self.tokenizer([SENTENCE.format(word) for word in words], padding=True, return_tensors="pt")
        with autocast(self._device):
            plane, _ = model.image_embedder(self._images(crops))
            features = plane.flatten(1, 2)
            texts = model.owlvit.get_text_features(tokens["input_ids"].to(self._device)).pooler_output
            logits, _ = model.class_predictor(features, texts.expand(count, -1, -1))
            moved = model.box_head(features)
        return logits.float(), (moved.float() + model.box_bias).sigmoid()

    def _images(self, crops: Sequence[Crop]) -> Tensor:
        pixels = torch.from_numpy(np.stack([crop.rgb for crop in crops])).to(self._device).permute(0, 3, 1, 2) / 255
        return (pixels - MEAN.to(self._device)) / STD.to(self._device)

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Return precision, recall and F1 of sure boxes at IoU 0.5, and the F1 of each class."""
        self.model.eval()
        counts = np.zeros((len(CLASSES), 3))
        for crop in self._validation:
            (logits,), (boxes,) = self.look([crop], CLASSES)
            counts += count_found(logits.sigmoid().cpu(), corners_of(boxes).cpu(), boxes_of(crop, PATCH_PX))
        self.model.train()
        right, found, there = counts.sum(axis=0)
        f1 = 2 * counts[:, 0] / np.maximum(counts[:, 1] + counts[:, 2], 1)
        return {
            "f1": round(2 * right / max(found + there, 1), 4),
            "precision": round(right / max(found, 1), 4),
            "recall": round(right / max(there, 1), 4),
            "by_class": {name: round(float(value), 3) for name, value in zip(CLASSES, f1)},
        }


def build_detector(tokens: int) -> Any:
    """Return an untrained detector for that many tokens."""
    text = {"vocab_size": tokens, "hidden_size": _TEXT_WIDTH, "intermediate_size": 4 * _TEXT_WIDTH,
            "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": CONTEXT,
            "pad_token_id": 0, "bos_token_id": tokens - 2, "eos_token_id": tokens - 1}  # fmt: skip
    vision = {"hidden_size": _WIDTH, "intermediate_size": 4 * _WIDTH, "num_hidden_layers": 6, "num_attention_heads": 2,
              "image_size": SIDE_PX, "patch_size": PATCH_PX, "hidden_act": "gelu"}  # fmt: skip
    config = transformers.OwlViTConfig(text_config=text, vision_config=vision, projection_dim=_TEXT_WIDTH)
    model: Any = transformers.OwlViTForObjectDetection(config)
    for part in (*model.class_head.modules(), *model.box_head.modules()):
        if isinstance(part, nn.Linear):
            part.reset_parameters()  # transformers starts them so large that nothing can move them
    with torch.no_grad():  # nearly nothing is an object, and what is one is small
        model.box_head.dense2.weight.mul_(0.1)
        for part, start in ((model.class_head.logit_scale, 9.0), (model.class_head.logit_shift, -0.45)):
            part.weight.zero_()
            part.bias.fill_(start)
        model.owlvit.text_model.embeddings.token_embedding.weight.normal_(std=0.3)
        model.owlvit.text_projection.weight.normal_(std=_TEXT_WIDTH**-0.5)
    return model


def write_detector(state: Mapping[str, Tensor], folder: Path) -> Path:
    """Write weights (float16), configuration, preprocessor and tokenizer as transformers reads them.

    Returns:
        The path of the weights.
    """
    tokenizer = make_tokenizer(all_sentences())
    model = build_detector(len(tokenizer))
    model.load_state_dict(state)
    model.half().save_pretrained(folder)
    size = {"height": SIDE_PX, "width": SIDE_PX}
    images = transformers.OwlViTImageProcessor(
        size=size, image_mean=MEAN.flatten().tolist(), image_std=STD.flatten().tolist()
    )
    processor: Any = transformers.OwlViTProcessor
    processor(images, tokenizer).save_pretrained(folder)
    weights = folder / "model.safetensors"
    weights.chmod(0o644)  # safetensors keeps what it writes to itself
    return weights


def unknown_words(rng: np.random.Generator) -> list[str]:
    """Return words that name nothing: some that exist, some of random letters."""
    words = [str(rng.choice(UNKNOWN))]
    for _ in range(_UNKNOWN_WORDS - 1):
        words.append("".join(rng.choice(list(_LETTERS), int(rng.integers(2, 12)))))
    return words


def _losses_of(logits: Tensor, boxes: Tensor, truth: Boxes) -> dict[str, Tensor]:
    """Charge one picture: a score says that an object is there, and how well its box fits (`_SCORE_OF_ANY_BOX` to 1).

    Args:
        logits: ``(P, Q)``, the first columns for `CLASSES`, the others for what does not exist.
        boxes: ``(P, 4)``, middle and sides.
        truth: of the picture.
    """
    patches = torch.from_numpy(np.flatnonzero(truth.owner >= 0)).to(logits.device)
    owners = torch.from_numpy(truth.owner[truth.owner >= 0]).to(logits.device)
    labels = torch.from_numpy(truth.labels).to(logits.device)
    corners = torch.from_numpy(truth.corners).to(logits.device)[owners]
    found = corners_of(boxes[patches])
    iou, enclosed = overlaps(found, corners)
    wanted, weights = torch.zeros_like(logits), _weights(truth, logits)
    wanted[patches, labels[owners]] = _SCORE_OF_ANY_BOX + (1 - _SCORE_OF_ANY_BOX) * iou.detach()
    weights[patches, labels[owners]] = 1
    crossed = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    scores = _SCORES_WEIGHT * ((logits.sigmoid() - wanted).abs() ** 2 * crossed * weights).sum()
    # Every object counts alike, however many patches find it.
    each = 1 / torch.bincount(owners, minlength=len(labels)).clamp(min=1)[owners]
    missed = (found - corners).abs().sum(dim=1)
    return {"scores": scores, "overlap": (2 * (1 - enclosed) * each).sum(), "sides": (3 * missed * each).sum()}


def _weights(truth: Boxes, logits: Tensor) -> Tensor:
    """Weigh scores: less where an object lies whose box other patches have to find."""
    weights = torch.ones_like(logits)
    patches, objects = np.nonzero(truth.covered)
    weights[torch.from_numpy(patches), torch.from_numpy(truth.labels[objects])] = _BESIDE_WEIGHT
    return weights


def corners_of(boxes: Tensor) -> Tensor:
    """Return left, top, right and bottom for middle and sides, ``(..., 4)``."""
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([middle - half, middle + half], dim=-1)


def overlaps(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalised IoU (Rezatofighi et al. 2019) of pairs of boxes with corners ``(N, 4)``."""
    sides = (torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])).clamp(min=0)
    around = torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])
    common, hull = sides.prod(dim=1), around.prod(dim=1).clamp(min=1e-9)
    union = ((one[:, 2:] - one[:, :2]).prod(dim=1) + (other[:, 2:] - other[:, :2]).prod(dim=1) - common).clamp(min=1e-9)
    return common / union, common / union - (hull - union) / hull


def count_found(scores: Tensor, corners: Tensor, truth: Boxes) -> NDArray[np.float64]:
    """Return for each class how many boxes are right, how many there are, and how many there should be: ``(K, 3)``.

    Args:
        scores: ``(P, K)``.
        corners: ``(P, 4)``.
        truth: of the picture.
    """
    counts = np.zeros((len(CLASSES), 3))
    for label in range(len(CLASSES)):
        sure = scores[:, label] > _SURE
        kept = greedy_nms(corners[sure].double(), scores[sure, label], _DUPLICATE)
        found, real = corners[sure][kept], torch.from_numpy(truth.corners[truth.labels == label])
        counts[label] = _matched(found, real), len(found), len(real)
    return counts


def _matched(found: Tensor, real: Tensor) -> int:
    """Return how many boxes, best first, meet an object that none before them met."""
    free = torch.ones(len(real), dtype=torch.bool)
    for box in found:
        iou, _ = overlaps(box.expand(len(real), 4), real) if len(real) else (torch.zeros(0), None)
        iou = iou * free
        if len(iou) and iou.max() >= _SAME_OBJECT:
            free[iou.argmax()] = False
    return int((~free).sum())


def validation_windows(store: SceneStore) -> list[Crop]:
    """Return the same windows each time."""
    cutter = Cutter(store, np.random.default_rng(3), anchored=0.8)
    return [cutter.cut(SIDE_PX) for _ in range(_VALIDATION_WINDOWS)]
