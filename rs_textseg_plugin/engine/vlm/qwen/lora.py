"""LoRA adapters as ``peft`` saves them, onto a model of transformers."""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.compute.device import is_memory_error
from rs_textseg_plugin.engine.models.checkpoint import load_state_dict
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Adapters that were trained before transformers 4.52 have the names that the parts of Qwen2.5-VL had then.
_OLD_NAMES = (
    (re.compile(r"^base_model\.model\.model\.(?=layers\.)"), "base_model.model.model.language_model."),
    (re.compile(r"^base_model\.model\.visual\."), "base_model.model.model.visual."),
)


def add_adapter(model: Any, folder: Path) -> Any:
    """Return the model with an adapter beside its weights, in their precision and in eval mode.

    Args:
        model: of transformers; it is changed.
        folder: ``adapter_config.json`` and ``adapter_model.safetensors``.

    Raises:
        ModelError: no LoRA adapter, damaged, or of another model.
    """
    config = _config_of(folder)
    weights = {_current_name(name): value for name, value in load_state_dict(folder / WEIGHTS).items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for things under their old names
            tuned = import_peft().PeftModel(model, config, autocast_adapter_dtype=False)
        _require_same_layout(tuned, weights, folder)
        import_peft().set_peft_model_state_dict(tuned, weights)
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        if is_memory_error(error):
            raise
        raise _of_another_model(folder, (str(error).splitlines() or [type(error).__name__])[0][:160]) from error
    return tuned.eval()


def import_peft() -> Any:
    """Return the module ``peft``; its import takes a second or more, which only adapters are worth."""
    ensure_torchvision()  # peft imports transformers, whose image processors import torchvision
    return importlib.import_module("peft")


def _config_of(folder: Path) -> Any:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = config["peft_type"]
        if kind != "LORA":
            raise ModelError(f"The adapter in {folder} is of the kind {kind}: take a LoRA adapter.")
        return import_peft().LoraConfig.from_pretrained(str(folder))
    except OSError as error:
        raise ModelError(
            f"{folder} is no folder with a LoRA adapter, it has no {CONFIG} that can be read ({error.strerror}): "
            "name one that peft wrote."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The file {folder / CONFIG} is damaged or of no adapter: fetch it again.") from error


def _current_name(name: str) -> str:
    for old, current in _OLD_NAMES:
        name = old.sub(current, name)
    return name


def _require_same_layout(tuned: Any, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Check that an adapter has exactly the weights that this model takes: peft would leave out the others."""
    # Else peft may ask the hub whether the vocabulary is that of the base model.
    expected: dict[str, Tensor] = import_peft().get_peft_model_state_dict(tuned, save_embedding_layers=False)
    problems = {
        "lacks": expected.keys() - weights.keys(),
        "has beside those of this model": weights.keys() - expected.keys(),
        "has in another shape": {
            name for name in expected.keys() & weights.keys() if expected[name].shape != weights[name].shape
        },
    }
    found = [f"it {what} {_some(names)}" for what, names in problems.items() if names]
    if found:
        raise _of_another_model(folder, found[0])


def _some(names: Collection[str]) -> str:
    return f"{len(names)} weights such as {sorted(names)[0]}"


def _of_another_model(folder: Path, reason: str) -> ModelError:
    return ModelError(f"The adapter in {folder} does not fit this model ({reason}): take the one that was made for it.")
