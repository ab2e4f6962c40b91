"""A detector and its processor from a folder in Hugging Face layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.kinds import require_role
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import transformers  # noqa: E402 (its image processors import torchvision)

WEIGHTS = "model.safetensors"


def load_detector_parts(weights: Path, model_class: Any, processor_class: Any, beside: str) -> tuple[Any, Any]:
    """Load a detector in float32 and its processor; nothing is fetched, and no weight is left random.

    Args:
        weights: ``model.safetensors``, with the configuration, the preprocessor's and the tokenizer's files beside it.
        model_class: of transformers.
        processor_class: of transformers.
        beside: the files that have to lie beside the weights, in words.

    Returns:
        Model and processor.

    Raises:
        ModelError: no detector, a file is missing or damaged, or weights are missing.
    """
    require_role(peek_keys_and_shapes(weights), "detector", weights)
    if weights.name != WEIGHTS:
        raise ModelError(f"The detector {weights} has to be named {WEIGHTS}, as it is published: rename it.")
    quiet: Any = transformers.utils.logging
    quiet.disable_progress_bar()  # it would fill the log of the worker
    folder = str(weights.parent)
    try:
        processor = processor_class.from_pretrained(folder, local_files_only=True)
        model, report = model_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, ImportError) as error:
        raise ModelError(
            f"The detector in {folder} cannot be loaded ({str(error).splitlines()[0][:160]}): beside {WEIGHTS} "
            f"the folder needs {beside} of the same model."
        ) from error
    lacking = [*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]
    if lacking:  # transformers would go on with random values
        raise ModelError(
            f"The detector {weights} lacks {len(lacking)} weights that its config.json asks for, such as "
            f"{sorted(lacking)[0]}: take all files from the same model."
        )
    return model.float(), processor
