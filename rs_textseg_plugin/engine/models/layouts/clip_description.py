"""What a CLIP checkpoint is, as the files beside it, its name and its shapes tell: all that is needed to build it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import Shapes, is_torchscript, read_metadata
from rs_textseg_plugin.engine.models.layouts.clip_families import Colour, colours_of, find_family
from rs_textseg_plugin.engine.models.layouts.json_beside import read_json
from rs_textseg_plugin.engine.models.layouts.marks import is_transformers_clip
from rs_textseg_plugin.engine.models.layouts.transformers_clip import (
    head_counts_beside,
    quick_gelu_beside,
    shapes_under_own_names,
)
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (imports torchvision)

CONFIG_NAME = "open_clip_config.json"
# open_clip's ViT-H/14, ViT-g/14 and ViT-bigG/14; in every other published ViT a head is 64 wide.
_HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104}
_WORDS = 49408  # in the vocabulary that CLIP's own tokenizer knows
_OPENAI = (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)


@dataclass(frozen=True)
class ClipDescription:
    """What a CLIP checkpoint is.

    Attributes:
        config: open_clip's configuration: ``embed_dim``, ``vision_cfg``, ``text_cfg``, ``quick_gelu`` and more.
        mean, std: of red, green and blue, 0..1, that pictures are normalised with.
        notes: sentences on what could not be told for certain.
    """

    config: Mapping[str, Any]
    mean: Colour
    std: Colour
    notes: tuple[str, ...] = ()


def describe_clip(path: Path, shapes: Shapes, architecture: str) -> ClipDescription:
    """Tell what a CLIP checkpoint is.

    What is written down counts first: the named architecture, then the header of a .safetensors file, then
    ``open_clip_config.json`` beside it. After that the shapes tell the sizes. The activation then is that of
    ``config.json`` (transformers' layout), of a TorchScript archive, of the family, or a guess that is noted.

    Args:
        path: of the checkpoint.
        shapes: names and shapes of its weights, as they stand there.
        architecture: open_clip's name for it; empty: told from the rest.

    Raises:
        ModelError: open_clip has no such architecture, a configuration is damaged, or nothing tells what it is.
    """
    written = _written(path)
    notes: tuple[str, ...] = ()
    if architecture:
        config = _named(path, architecture)
    elif "model_cfg" in written:
        config = dict(written["model_cfg"])
    else:
        config, notes = _told(path, shapes)
    mean, std = _colours(path, shapes, architecture, written)
    return ClipDescription(config, mean, std, (*notes, *_note_on_size(path, config, written)))


def _named(path: Path, architecture: str) -> dict[str, Any]:
    config = open_clip.get_model_config(architecture)
    if config is None:
        raise ModelError(
            f"open_clip has no architecture {architecture!r} (asked for by {path}): correct it in models.json."
        )
    return dict(config)


def _written(path: Path) -> dict[str, Any]:
    """Return ``model_cfg`` and ``preprocess_cfg`` as a checkpoint's header or the file beside it has them."""
    header, beside = read_metadata(path).get("clip_config"), path.with_name(CONFIG_NAME)
    source, text = (path, header) if header else (beside, "")
    try:
        if not header and beside.is_file():
            text = beside.read_text(encoding="utf-8", errors="replace")
        if not text:
            return {}
        content = dict(json.loads(text))
        parts = {"model_cfg": dict(content.get("model_cfg", content))}
        return {**parts, "preprocess_cfg": dict(content.get("preprocess_cfg") or {})}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"The CLIP configuration in {source} is not understood ({error}): "
            "correct or remove it, or name the architecture in models.json."
        ) from error


def _told(path: Path, shapes: Shapes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the configuration that shapes, name and digest tell, and notes on what is uncertain in it."""
    is_foreign = is_transformers_clip(shapes)
    config = _from_shapes(path, shapes_under_own_names(shapes) if is_foreign else shapes)
    if is_foreign:
        _set_heads(config, head_counts_beside(path))
        beside = quick_gelu_beside(path)
        if beside is not None:
            return {**config, "quick_gelu": beside}, ()
    if config.get("quick_gelu"):  # an architecture that the file's name names in full
        return config, ()
    quick_gelu, notes = _activation(path, config)
    return {**config, "quick_gelu": quick_gelu}, notes


def _activation(path: Path, config: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
    """Return whether a CLIP has quick GELU, and a note where that is uncertain."""
    if is_torchscript(path):  # as OpenAI publishes its own, and nobody else
        return True, ()
    family = find_family(path)
    quick_gelu = family is not None and family.quick_gelu
    if family and not family.note:
        return quick_gelu, ()
    taken = "quick GELU" if quick_gelu else "GELU"
    reason = (
        f"{family.title}: {family.note}"
        if family
        else "its weights do not tell; models that were trained on from OpenAI's need quick GELU"
    )
    return quick_gelu, (f"The CLIP {path.name} was loaded with {taken} ({reason}). {_how_to_settle(config)}",)


def _how_to_settle(config: Mapping[str, Any]) -> str:
    name = _name_like(config)
    in_manifest = f'write "architecture": "{name}-quickgelu" or "{name}" for it in models.json, or ' if name else ""
    return f"To settle it, {in_manifest}put its {CONFIG_NAME} beside it."


def _name_like(config: Mapping[str, Any]) -> str:
    """Return open_clip's shortest name for a model of the same sizes that comes in both activations; empty: none."""
    return min((name for name in open_clip.list_models() if _has_sizes_of(name, config)), key=len, default="")


def _has_sizes_of(name: str, config: Mapping[str, Any]) -> bool:
    if f"{name}-quickgelu" not in open_clip.list_models():
        return False
    listed = open_clip.get_model_config(name) or {}
    sizes = {"embed_dim": config["embed_dim"], **{key: config["vision_cfg"].get(key) for key in _SIZES}}
    vision = listed.get("vision_cfg", {})
    return sizes == {"embed_dim": listed.get("embed_dim"), **{key: vision.get(key) for key in _SIZES}}


_SIZES = ("image_size", "layers", "width", "patch_size")


def _colours(path: Path, shapes: Shapes, architecture: str, written: Mapping[str, Any]) -> tuple[Colour, Colour]:
    """Return mean and deviation of pictures: as written, as the family has them, or OpenAI's."""
    beside = dict(written.get("preprocess_cfg", {}))
    if not beside and is_transformers_clip(shapes):
        found = read_json(path.with_name("preprocessor_config.json"))
        beside = {"mean": found.get("image_mean"), "std": found.get("image_std")}
    family = find_family(path)
    known = (family.mean, family.std) if family and family.mean and family.std else None
    mean, std = known or (colours_of(architecture) if architecture else None) or _OPENAI
    return _colour(path, beside.get("mean"), mean), _colour(path, beside.get("std"), std)


def _colour(path: Path, value: Any, default: Colour) -> Colour:
    if value is None:
        return default
    try:
        red, green, blue = (float(part) for part in value)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"The mean or deviation of colours beside {path} is {str(value)[:80]}, not three numbers: correct it."
        ) from error
    return red, green, blue


def _note_on_size(path: Path, config: Mapping[str, Any], written: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note where the preprocessing asks for another size than the model has; the model's counts."""
    asked = written.get("preprocess_cfg", {}).get("size")
    has = config.get("vision_cfg", {}).get("image_size")
    asked_px, has_px = (value[-1] if isinstance(value, list) and value else value for value in (asked, has))
    if asked_px is None or has_px is None or asked_px == has_px:
        return ()
    return (
        f"The CLIP {path.name} is shown pictures of {has_px} px, for which it was built; preprocess_cfg asks for "
        f"{asked_px} px.",
    )


def _set_heads(config: dict[str, Any], heads: Mapping[str, int]) -> None:
    """Write the counts of heads that a ``config.json`` gives into open_clip's configuration."""
    if "text_config" in heads:
        config["text_cfg"]["heads"] = heads["text_config"]
    if "vision_config" in heads:
        config["vision_cfg"]["head_width"] = config["vision_cfg"]["width"] // heads["vision_config"]


def _from_shapes(path: Path, shapes: Shapes) -> dict[str, Any]:
    """Return the configuration of a standard ViT CLIP by its shapes, or of the architecture that its name has."""
    try:
        config = _sizes(shapes)
    except KeyError as error:
        named = _architecture_in(path.name)
        if named:
            return dict(open_clip.get_model_config(named) or {})
        raise ModelError(
            f"The architecture of the CLIP checkpoint {path} cannot be told from its weights (no {error}): "
            f"name it in models.json beside the file, as open_clip calls it, or put its {CONFIG_NAME} there."
        ) from error
    words = config["text_cfg"]["vocab_size"]
    if words != _WORDS:
        raise ModelError(
            f"The CLIP checkpoint {path} has a vocabulary of {words} and not CLIP's own of {_WORDS}, so its tokenizer "
            f"cannot be told: put its {CONFIG_NAME} and its tokenizer's files beside it."
        )
    return config


def _sizes(shapes: Shapes) -> dict[str, Any]:
    width, _, patch, _ = shapes["visual.conv1.weight"]
    text_width = shapes["ln_final.weight"][0]
    return {
        "embed_dim": shapes["visual.proj"][1],
        "vision_cfg": {
            "image_size": round((shapes["visual.positional_embedding"][0] - 1) ** 0.5) * patch,
            "layers": _count_blocks(shapes, "visual.transformer.resblocks."),
            "width": width,
            "patch_size": patch,
            "head_width": _HEAD_WIDTHS.get(width, 64),
            "mlp_ratio": _ratio(shapes, "visual.transformer.", width),
        },
        "text_cfg": {
            "context_length": shapes["positional_embedding"][0],
            "vocab_size": shapes["token_embedding.weight"][0],
            "width": text_width,
            "heads": text_width // 64,
            "layers": _count_blocks(shapes, "transformer.resblocks."),
            "mlp_ratio": _ratio(shapes, "transformer.", text_width),
        },
    }


def _ratio(shapes: Shapes, tower: str, width: int) -> float:
    # open_clip multiplies and cuts off; the half keeps rounding from losing a unit.
    return float(shapes[f"{tower}resblocks.0.mlp.c_fc.weight"][0] + 0.5) / width


def _count_blocks(shapes: Shapes, prefix: str) -> int:
    return len({key.split(".")[prefix.count(".")] for key in shapes if key.startswith(prefix)})


def _architecture_in(file_name: str) -> str:
    """Return the longest open_clip name that the file name contains; empty if none."""
    return max(
        (name for name in open_clip.list_models() if name.casefold() in file_name.casefold()), key=len, default=""
    )
