"""What a folder with a Qwen-VL in Hugging Face layout says of itself, before anything large is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.vlm.model import Convention
from rs_textseg_plugin.engine.vlm.qwen.lora import WEIGHTS as ADAPTER_WEIGHTS

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class QwenFamily:
    """What is different between the generations.

    Attributes:
        title: as people call it.
        model, processor: names of transformers' classes.
        convention: what its numbers mean.
    """

    title: str
    model: str
    processor: str
    convention: Convention


_FAMILIES = {
    "qwen2_5_vl": QwenFamily(
        "Qwen2.5-VL", "Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLProcessor", Convention.PIXELS
    ),
    "qwen3_vl": QwenFamily("Qwen3-VL", "Qwen3VLForConditionalGeneration", "Qwen3VLProcessor", Convention.GRID_1000),
}


def weight_files(folder: Path, adapter: Path | None) -> tuple[Path, ...]:
    """Return the files that hold the weights of a model and of its adapter, which tell it from others.

    Raises:
        ModelError: they are missing.
    """
    index = folder / _INDEX
    names = _shards(index) if index.is_file() else [_WEIGHTS]
    paths = [folder / name for name in names] + ([adapter / ADAPTER_WEIGHTS] if adapter else [])
    lacking = [path for path in paths if not path.is_file()]
    if lacking:
        raise ModelError(
            f"There is no {lacking[0].name} in {lacking[0].parent}: fetch all files of the model, with its weights as "
            ".safetensors."
        )
    return tuple(paths)


def _shards(index: Path) -> list[str]:
    try:
        named: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return sorted({Path(name).name for name in named.values()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"The list of weights {index} is damaged: fetch it again.") from error


def is_vlm_folder(folder: Path) -> bool:
    """Whether a folder says of itself that it holds a Qwen-VL, also one of a generation that is not known here."""
    try:
        kind = str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
    return kind.startswith("qwen") and "vl" in kind


def family_of(folder: Path) -> QwenFamily:
    """Return which generation a folder holds.

    Raises:
        ModelError: neither of them, or no model at all.
    """
    path = folder / "config.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except OSError as error:
        raise ModelError(
            f"{folder} is no folder with a vision-language model, it has no config.json that can be read "
            f"({error.strerror}): name one in Hugging Face layout."
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"The file {path} is damaged or of no model: fetch it again.") from error
    if str(kind) not in _FAMILIES:
        known = " or ".join(family.title for family in _FAMILIES.values())
        raise ModelError(f"The model in {folder} is of the kind {kind!r}: take a {known}.")
    return _FAMILIES[str(kind)]
