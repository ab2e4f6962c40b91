"""Checkpoint files as people have them, to tensors, without running any code that they hold."""

from __future__ import annotations

import re
import struct
import zipfile
from _pickle import UnpicklingError  # only the exception; nothing is unpickled here but by torch's weights-only loader
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.compute.device import is_memory_error

Shapes = Mapping[str, tuple[int, ...]]

# What torch and safetensors raise on files with missing or changed bytes (found by cutting and changing files).
_DAMAGE = (
    SafetensorError,
    UnpicklingError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    struct.error,
    zipfile.BadZipFile,
)
_ZIP, _PICKLE, _TORCH_PICKLE = b"PK\x03\x04", b"\x80", b"\x80\x02"  # first bytes
_CODE_NAME = re.compile(r"GLOBAL ([\w.]+)")  # in torch's refusal to unpickle anything but tensors
_NESTED = ("state_dict", "model")  # under which training scripts keep the weights
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")  # tensors in OpenAI's CLIP archives


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, on the CPU, in the type that they are stored in.

    Understood are .safetensors; torch's files (.pth, .pt, .bin), also of a training script (``state_dict`` or
    ``model`` inside, ``module.`` before every name); and TorchScript archives as OpenAI publishes CLIP. Where the
    format allows it, tensors are mapped from the file: copy them before the file may change.

    Raises:
        ModelError: missing, damaged, with code in it, or without weights.
    """
    head = _read_head(path)
    try:
        content = _read(path, head)
    except _DAMAGE as error:
        if is_memory_error(error):
            raise
        raise ModelError(_explain(path, error)) from error
    return _weights_in(content, path)


def peek_keys_and_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a checkpoint's tensors; cheap but for TorchScript and torch's format before 1.6.

    Raises:
        ModelError: as `load_state_dict`.
    """
    if not _is_safetensors(path):
        return shapes_of(load_state_dict(path))
    _read_head(path)
    try:
        with safe_open(path, "pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except _DAMAGE as error:
        raise ModelError(_explain(path, error)) from error


def is_torchscript(path: Path) -> bool:
    """Whether a checkpoint that can be read is a TorchScript archive, as OpenAI publishes CLIP and nobody else does."""
    return zipfile.is_zipfile(path) and _is_torchscript(path)


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of tensors."""
    return {key: tuple(value.shape) for key, value in state.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts in the header of a .safetensors file; empty for other formats.

    Raises:
        ModelError: the file is missing or damaged.
    """
    if not _is_safetensors(path):
        return {}
    _read_head(path)
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except _DAMAGE as error:
        raise ModelError(_explain(path, error)) from error


def _is_safetensors(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _read_head(path: Path) -> bytes:
    """Return the first bytes of a file, and refuse what is no file that can be read."""
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not a checkpoint: name a file inside it.")
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError as error:
        raise ModelError(f"There is no checkpoint {path}: fetch the model set again, or correct the path.") from error
    except OSError as error:
        raise ModelError(f"The checkpoint {path} cannot be read ({error.strerror}): check its permissions.") from error
    if not head:
        raise ModelError(f"The checkpoint {path} is empty (0 bytes): fetch it again.")
    return head


def _read(path: Path, head: bytes) -> object:
    if _is_safetensors(path):
        return load_file(path)
    if head.startswith(_PICKLE) and not head.startswith(_TORCH_PICKLE):
        raise ModelError(
            f"The file {path} is a plain Python pickle, which may run code when it is opened, and was not opened: "
            "take a .safetensors file of the same model."
        )
    if not head.startswith((_ZIP, _PICKLE)):
        raise ModelError(f"The file {path} is not a checkpoint (it begins with {head!r}): fetch it again.")
    if not zipfile.is_zipfile(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    if _is_torchscript(path):
        state = torch.jit.load(path, map_location="cpu").state_dict()
        return {key: value for key, value in state.items() if key not in _NOT_WEIGHTS}
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _explain(path: Path, error: Exception) -> str:
    code = _CODE_NAME.search(str(error)) if isinstance(error, UnpicklingError) else None
    if code:
        return (
            f"The checkpoint {path} holds more than weights ({code[1]}), which may run code when it is opened, and was "
            "not opened: take a .safetensors file of the same model."
        )
    megabytes = path.stat().st_size / 1e6
    return f"The checkpoint {path} ({megabytes:.1f} MB) is damaged or cut off: fetch it again."


def _weights_in(content: object, path: Path) -> dict[str, Tensor]:
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise ModelError(f"The file {path} holds a {type(content).__name__}, not named weights: choose another file.")
    weights = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ModelError(f"The file {path} holds no weights but {first_names(content)}: choose another file.")
    if all(key.startswith("module.") for key in weights):
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    return weights


def first_names(names: Collection[object]) -> str:
    """Return the first names of a collection, in words for a sentence."""
    shown = [str(name) for name in names][:3]
    more = ", ..." if len(names) > len(shown) else ""
    return f"the keys {', '.join(shown)}{more}" if shown else "nothing"
