"""Grounding DINO through transformers: boxes for words, from a folder in Hugging Face layout.

Words are matched by their tokens: it is known where in the caption each word stands, so no text is made of tokens and
compared again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.engine.models.hugging_face import load_detector_parts
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import transformers  # noqa: E402 (its image processor imports torchvision)

_ENDS_A_PHRASE = str.maketrans(".?", "  ")  # the model takes what stands between these for one phrase
_BESIDE = "config.json, preprocessor_config.json or processor_config.json, tokenizer.json or vocab.txt"


@dataclass(frozen=True)
class Caption:
    """Words that go through the model together.

    Attributes:
        text: ``building. road.``
        words: position of each of its words in the list that was asked for.
        tokens: where each of them stands among the caption's tokens.
    """

    text: str
    words: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Detections:
    """Boxes that were found for a caption.

    Attributes:
        boxes_px: ``(N, 4)`` float64, left, top, right, bottom in the tile's pixels; they may reach beyond the tile.
        scores: ``(N,)`` float32, 0..1, of the token that fits best.
        word_scores: ``(N, W)`` float32, 0..1, of each word's token that fits best.
    """

    boxes_px: NDArray[np.float64]
    scores: NDArray[np.float32]
    word_scores: NDArray[np.float32]


class GroundingDino:
    """A loaded detector on its device.

    Args:
        model: ``GroundingDinoForObjectDetection`` in eval mode.
        processor: ``GroundingDinoProcessor`` with a fast tokenizer.
        name: for messages and provenance.
        device: where it runs.
        dtype: autocast type on that device; float32 means none.
    """

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        self.model, self._processor, self.name = model.eval(), processor, name
        self.to(device, dtype)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to another device and precision."""
        self.model.to(device)
        self.device, self.dtype = device, dtype

    @property
    def most_tokens(self) -> int:
        """Tokens that a caption may have; the model cuts longer ones off without a word."""
        config = self.model.config
        return min(int(config.max_text_len), int(config.text_config.max_position_embeddings))

    def captions(self, words: Sequence[str]) -> list[Caption]:
        """Lay words out in as few captions as the limit of tokens allows, in their order.

        Raises:
            QueryError: a word is too long for a caption of its own, or has nothing that the model can read.
        """
        shown = [" ".join(word.lower().translate(_ENDS_A_PHRASE).split()) for word in words]
        groups: list[list[int]] = []
        used = self.most_tokens
        for number, word in enumerate(shown):
            needed = len(self._processor.tokenizer(word, add_special_tokens=False)["input_ids"]) + 1  # the full stop
            if not 1 < needed <= self.most_tokens - 2:
                raise QueryError(
                    f"The word {words[number]!r} makes {needed - 1} tokens for {self.name}, which takes 1 to "
                    f"{self.most_tokens - 3}: write it shorter, or in letters."
                )
            if used + needed > self.most_tokens:
                groups.append([])
                used = 2  # the tokens at both ends
            groups[-1].append(number)
            used += needed
        return [self._caption([shown[number] for number in group], group) for group in groups]

    def _caption(self, words: Sequence[str], numbers: Sequence[int]) -> Caption:
        text = ". ".join(words) + "."
        encoded = self._processor.tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        places = list(zip(encoded["offset_mapping"], encoded["special_tokens_mask"]))
        spans, start = [], 0
        for word in words:
            stop = start + len(word)
            inside = (i for i, ((a, b), special) in enumerate(places) if not special and start <= a < b <= stop)
            spans.append(tuple(inside))
            start = stop + 2
        return Caption(text, tuple(numbers), tuple(spans))

    @torch.inference_mode()
    def detect(self, rgb: NDArray[np.uint8], caption: Caption, box_threshold: float) -> Detections:
        """Find boxes for a caption on a tile ``(H, W, 3)`` uint8.

        Boxes and scores are those of ``GroundingDinoProcessor.post_process_grounded_object_detection``: kept is what
        has a token above `box_threshold`.
        """
        # Said, since for tiles of 1 or 3 rows it would be guessed.
        layout = {"input_data_format": "channels_last", "return_tensors": "pt"}
        inputs = self._processor(images=rgb, text=caption.text, **layout).to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            outputs = self.model(**inputs)
        fits = outputs.logits[0].float().sigmoid()
        kept = fits.amax(dim=1) > box_threshold
        fits, boxes = fits[kept], _corners(outputs.pred_boxes[0].float()[kept], rgb.shape[0], rgb.shape[1])
        words = [fits[:, list(tokens)].amax(dim=1) for tokens in caption.tokens]
        return Detections(
            boxes.cpu().numpy().astype(np.float64), fits.amax(dim=1).cpu().numpy(), torch.stack(words, 1).cpu().numpy()
        )


def _corners(boxes: Tensor, height: int, width: int) -> Tensor:
    """Turn centres and sizes as shares of the picture into corners in pixels."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    size = torch.tensor([width, height, width, height], device=boxes.device)
    return torch.cat([centre - half, centre + half], dim=1) * size


def load_grounding_dino(weights: Path, device: torch.device, dtype: torch.dtype) -> GroundingDino:
    """Load a detector from the folder of its weights; nothing is fetched.

    Args:
        weights: ``model.safetensors``, with the configuration, the preprocessor's and the tokenizer's files beside it.
        device: where it will run.
        dtype: autocast type there.

    Raises:
        ModelError: see `load_detector_parts`.
    """
    kinds = transformers.GroundingDinoForObjectDetection, transformers.GroundingDinoProcessor
    model, processor = load_detector_parts(weights, *kinds, _BESIDE)
    return GroundingDino(model, processor, weights.parent.name, device, dtype)
