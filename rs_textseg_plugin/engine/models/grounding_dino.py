"""Grounding DINO through transformers: boxes for words, from a folder in Hugging Face layout or its own repository's.

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

from rs_textseg_plugin.contract.errors import ModelError, QueryError
from rs_textseg_plugin.engine.models.checkpoint import Shapes, load_state_dict, peek_keys_and_shapes
from rs_textseg_plugin.engine.models.hugging_face import FAILURES, build_with, load_detector_parts
from rs_textseg_plugin.engine.models.layouts.marks import is_original_grounding_dino
from rs_textseg_plugin.engine.models.layouts.original_grounding_dino import config_of, under_transformers_names
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
        weights: as transformers publishes them, with the configuration, the preprocessor's and the tokenizer's files
            beside them; or as its own repository does (``groundingdino_swint_ogc.pth``), with BERT's ``vocab.txt``.
        device: where it will run.
        dtype: autocast type there.

    Raises:
        ModelError: see `load_detector_parts`.
    """
    shapes = peek_keys_and_shapes(weights)
    if is_original_grounding_dino(shapes):
        model, processor = _load_original(weights, shapes)
        return GroundingDino(model, processor, weights.stem, device, dtype)
    kinds = transformers.GroundingDinoForObjectDetection, transformers.GroundingDinoProcessor
    model, processor = load_detector_parts(weights, *kinds, _BESIDE)
    return GroundingDino(model, processor, weights.parent.name, device, dtype)


def _load_original(weights: Path, shapes: Shapes) -> tuple[Any, Any]:
    """Return model and processor for the layout of Grounding DINO's own repository."""
    tokenizer = _bert_tokenizer(weights, shapes["bert.embeddings.word_embeddings.weight"][0])
    try:
        config = transformers.GroundingDinoConfig(**config_of(shapes))
        state = under_transformers_names(load_state_dict(weights))
        model = build_with(transformers.GroundingDinoForObjectDetection, config, state, weights)
    except (*FAILURES, IndexError, ZeroDivisionError) as error:
        raise ModelError(
            f"The detector {weights} is not whole ({(str(error).splitlines() or [''])[0][:160]}): fetch it again."
        ) from error
    # The processor's own defaults are the repository's: 800 px for the short side, at most 1333, ImageNet's colours.
    return model, transformers.GroundingDinoProcessor(transformers.GroundingDinoImageProcessor(), tokenizer)


def _bert_tokenizer(weights: Path, words: int) -> Any:
    """Return BERT's tokenizer from the files beside the weights."""
    folder, remedy = weights.parent, "bert-base-uncased (google-bert/bert-base-uncased on Hugging Face)"
    if not any((folder / name).is_file() for name in ("vocab.txt", "tokenizer.json")):
        raise ModelError(
            f"The detector {weights} reads words with BERT's vocabulary, which is not in its file and is not fetched: "
            f"put vocab.txt or tokenizer.json of {remedy} beside it."
        )
    tokenizer_class: Any = transformers.BertTokenizerFast
    try:
        tokenizer = tokenizer_class.from_pretrained(str(folder), local_files_only=True)
    except FAILURES as error:
        raise ModelError(
            f"The vocabulary beside {weights} cannot be read ({(str(error).splitlines() or [''])[0][:160]}): take "
            f"vocab.txt of {remedy}."
        ) from error
    if len(tokenizer) != words:
        raise ModelError(
            f"The vocabulary beside {weights} has {len(tokenizer)} words, and the detector {words}: take vocab.txt "
            f"of {remedy}."
        )
    return tokenizer
