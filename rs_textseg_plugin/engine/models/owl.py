"""OWL-ViT and OWLv2 through transformers: boxes for words, from a folder in Hugging Face layout.

Every word is a query of its own and has a score of its own for every box, so all words go through the model together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.engine.models.grounding_dino import Caption, Detections
from rs_textseg_plugin.engine.models.hugging_face import load_detector_parts
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import transformers  # noqa: E402 (its image processor imports torchvision)

KINDS: dict[str, tuple[Any, Any]] = {
    "owlv2": (transformers.Owlv2ForObjectDetection, transformers.Owlv2Processor),
    "owlvit": (transformers.OwlViTForObjectDetection, transformers.OwlViTProcessor),
}  # by the model_type in config.json
SENTENCE = "a photo of a {}"  # as in the models' documentation
_BESIDE = "config.json, preprocessor_config.json or processor_config.json, and the tokenizer's files, all"


class Owl:
    """A loaded detector on its device.

    Args:
        model: ``Owlv2ForObjectDetection`` or ``OwlViTForObjectDetection``.
        processor: the processor of the same kind.
        name: for messages.
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

    def captions(self, words: Sequence[str]) -> list[Caption]:
        """Lay all words out in one caption, a line each.

        Raises:
            QueryError: a word is too long for the model.
        """
        most = int(self.model.config.text_config.max_position_embeddings)
        lines = [SENTENCE.format(" ".join(word.split())) for word in words]
        for word, line in zip(words, lines):
            needed = len(self._processor.tokenizer(line)["input_ids"])
            if needed > most:  # the model would cut it off without a word
                raise QueryError(
                    f"The word {word!r} makes {needed} tokens for {self.name}, which takes {most}: write it shorter."
                )
        return [Caption("\n".join(lines), tuple(range(len(words))), ())]

    @torch.inference_mode()
    def detect(self, rgb: NDArray[np.uint8], caption: Caption, box_threshold: float) -> Detections:
        """Find boxes for a caption on a tile ``(H, W, 3)`` uint8.

        Boxes and best scores are those of the processor's ``post_process_grounded_object_detection``: kept is what has
        a word above `box_threshold`.
        """
        lines = caption.text.split("\n")
        inputs = self._processor(text=[lines], images=rgb, input_data_format="channels_last", return_tensors="pt").to(
            self.device
        )
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            outputs = self.model(**inputs)
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        every = {"threshold": -1.0, "target_sizes": [rgb.shape[:2]]}
        (found,) = self._processor.post_process_grounded_object_detection(outputs, **every)
        fits = outputs.logits[0].sigmoid()
        kept = found["scores"] > box_threshold
        return Detections(
            found["boxes"][kept].cpu().numpy().astype(np.float64),
            found["scores"][kept].cpu().numpy(),
            fits[kept].cpu().numpy(),
        )


def load_owl(weights: Path, kind: str, device: torch.device, dtype: torch.dtype) -> Owl:
    """Load a detector from the folder of its weights; nothing is fetched.

    Args:
        weights: ``model.safetensors``, with the configuration, the preprocessor's and the tokenizer's files beside it.
        kind: ``owlv2`` or ``owlvit``.
        device: where it will run.
        dtype: autocast type there.

    Raises:
        ModelError: see `load_detector_parts`.
    """
    model, processor = load_detector_parts(weights, *KINDS[kind], _BESIDE)
    return Owl(model, processor, weights.parent.name, device, dtype)
