"""A detector and its processor from the folder of its weights, through transformers; nothing is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import load_state_dict, shapes_of
from rs_textseg_plugin.engine.models.kinds import require_role
from rs_textseg_plugin.engine.models.layouts.vocabulary import has_vocabulary
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import transformers  # noqa: E402 (its image processors import torchvision)

# What transformers raises on files that are missing, damaged, or of another model.
FAILURES = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, ImportError)


def load_detector_parts(weights: Path, model_class: Any, processor_class: Any, beside: str) -> tuple[Any, Any]:
    """Load a detector in float32 and its processor; nothing is fetched, and no weight is left random.

    Args:
        weights: .safetensors, .bin, or the index of several, with the configuration, the preprocessor's and the
            tokenizer's files beside it. They are read by `load_state_dict`, which runs no code.
        model_class: of transformers.
        processor_class: of transformers.
        beside: the files that have to lie beside the weights, in words.

    Returns:
        Model and processor.

    Raises:
        ModelError: no detector, a file is missing or damaged, or weights are missing.
    """
    state = load_state_dict(weights)
    require_role(shapes_of(state), "detector", weights)
    folder = str(weights.parent)
    if not has_vocabulary(weights.parent):  # transformers would make a tokenizer that knows no word
        raise _not_loaded(weights, "it has no vocabulary", beside)
    try:
        processor = processor_class.from_pretrained(folder, local_files_only=True)
        config = model_class.config_class.from_pretrained(folder, local_files_only=True)
        model = build_with(model_class, config, state, weights)
    except FAILURES as error:
        raise _not_loaded(weights, (str(error).splitlines() or [""])[0][:160], beside) from error
    return model, processor


def _not_loaded(weights: Path, reason: str, beside: str) -> ModelError:
    return ModelError(
        f"The detector in {weights.parent} cannot be loaded ({reason}): beside {weights.name} the folder needs "
        f"{beside} of the same model."
    )


def build_with(model_class: Any, config: Any, state: Mapping[str, Tensor], weights: Path) -> Any:
    """Return a model of transformers with these weights, in float32.

    Args:
        model_class: of transformers.
        config: of that class.
        state: weights under the names that transformers publishes.
        weights: where they come from, for messages.

    Raises:
        ModelError: some weight is missing or of another shape; transformers would go on with random values.
    """
    quiet: Any = transformers.utils.logging
    quiet.disable_progress_bar()  # it would fill the log of the worker
    # transformers would use them where they lie, mapped from a file that may change while the model is kept.
    copies = {name: value.clone() for name, value in state.items()}
    model, report = model_class.from_pretrained(None, config=config, state_dict=copies, output_loading_info=True)
    lacking = [*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]
    if lacking:
        raise ModelError(
            f"The detector {weights} lacks {len(lacking)} weights that its configuration asks for, such as "
            f"{sorted(lacking)[0]}: take all files from the same model."
        )
    return model.float()
