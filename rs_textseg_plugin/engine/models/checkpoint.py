"""Checkpoint files as people have them, to tensors, without running any code that they hold."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from _pickle import UnpicklingError  # only the exception; nothing is unpickled here but by torch's weights-only loader
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.compute.device import is_memory_error
from rs_textseg_plugin.engine.models.archives.opcodes import DamagedPickle
from rs_textseg_plugin.engine.models.archives.pickled_tensors import (
    EndlessPickle,
    HoldsCode,
    StoredTensor,
    read_pickled,
)
from rs_textseg_plugin.engine.models.archives.shards import is_index, read_index
from rs_textseg_plugin.engine.models.archives.torch_zip import TorchZip

Shapes = Mapping[str, tuple[int, ...]]
_Kind = TypeVar("_Kind", Tensor, StoredTensor)
_Part = TypeVar("_Part")

# What torch and safetensors raise on files with missing or changed bytes (found by cutting and changing files).
_DAMAGE = (
    HoldsCode,
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
    zlib.error,
)
_ZIP, _PICKLE, _TORCH_PICKLE = b"PK\x03\x04", b"\x80", b"\x80\x02"  # first bytes
_CODE_NAME = re.compile(r"GLOBAL ([\w.]+)")  # in torch's refusal to unpickle anything but tensors
_MOST_HEADER_BYTES = 16_000_000  # names and shapes; published models have up to some hundred kilobytes
_NESTED = ("state_dict", "model")  # under which training scripts keep the weights
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")  # tensors in OpenAI's CLIP archives


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, on the CPU, in the type that they are stored in.

    Understood are .safetensors; torch's files (.pth, .pt, .bin), also of a training script (``state_dict`` or
    ``model`` inside, ``module.`` before every name); TorchScript archives as OpenAI publishes CLIP; and the index of
    weights in several such files. Where the format allows it, tensors are mapped from the file: copy them before the
    file may change.

    Raises:
        ModelError: missing, damaged, with code in it, without weights, or with more names than a model has.
    """
    if is_index(path):
        return _joined(read_index(path), load_state_dict)
    head = _read_head(path)
    try:
        return _read(path, head)
    except _DAMAGE as error:
        if is_memory_error(error):
            raise
        raise ModelError(_explain(path, error)) from error


def peek_keys_and_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a checkpoint's tensors; the tensors themselves are not read.

    Raises:
        ModelError: as `load_state_dict`.
    """
    if is_index(path):
        return _joined(read_index(path), peek_keys_and_shapes)
    head = _read_head(path)
    try:
        if not _is_safetensors(path):
            return {key: tensor.shape for key, tensor in _described(path, head).items()}
        _require_small_header(path)
        with safe_open(path, "pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except _DAMAGE as error:
        raise ModelError(_explain(path, error)) from error


def _joined(files: Mapping[str, Path], read: Callable[[Path], dict[str, _Part]]) -> dict[str, _Part]:
    """Return what is read of weights in several files, each name from the file that the index gives for it."""
    content = {file: read(file) for file in dict.fromkeys(files.values())}
    for name, file in files.items():
        if name not in content[file]:
            raise ModelError(f"The file {file} lacks {name[:80]}, which its index lists: fetch all files of the model.")
    return {name: content[file][name] for name, file in files.items()}


def is_torchscript(path: Path) -> bool:
    """Whether a checkpoint that can be read is a TorchScript archive, as OpenAI publishes CLIP and nobody else does."""
    return zipfile.is_zipfile(path) and TorchZip(path).is_torchscript


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
        _require_small_header(path)
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


def _require_small_header(path: Path) -> None:
    with path.open("rb") as file:
        size_bytes = int.from_bytes(file.read(8), "little")
    if _MOST_HEADER_BYTES < size_bytes < path.stat().st_size:  # beyond the file's end it is damaged
        raise EndlessPickle(f"a header of {size_bytes} bytes")


def _read(path: Path, head: bytes) -> dict[str, Tensor]:
    if _is_safetensors(path):
        _require_small_header(path)
        return _weights_in(load_file(path), path, Tensor)
    described = _described(path, head)  # also a check: torch makes whatever a file declares
    if not zipfile.is_zipfile(path):
        return _weights_in(torch.load(path, map_location="cpu", weights_only=True), path, Tensor)
    archive = TorchZip(path)
    if archive.is_torchscript:
        return archive.tensors(described)
    return _weights_in(torch.load(path, map_location="cpu", weights_only=True, mmap=True), path, Tensor)


def _described(path: Path, head: bytes) -> dict[str, StoredTensor]:
    """Tensors of a torch file by name, as its header describes them; their bytes are checked to be there."""
    if head.startswith(_PICKLE) and not head.startswith(_TORCH_PICKLE):
        raise ModelError(
            f"The file {path} is a plain Python pickle, which may run code when it is opened, and was not opened: "
            "take a .safetensors file of the same model."
        )
    if not head.startswith((_ZIP, _PICKLE)):
        raise ModelError(f"The file {path} is not a checkpoint (it begins with {head!r}): fetch it again.")
    if not zipfile.is_zipfile(path):
        return _described_before_zip(path)
    archive = TorchZip(path)
    tensors = _weights_in(archive.content(), path, StoredTensor)
    if archive.is_torchscript:
        tensors = {key: tensor for key, tensor in tensors.items() if key not in _NOT_WEIGHTS}
    archive.require_storages(tensors)
    return tensors


def _described_before_zip(path: Path) -> dict[str, StoredTensor]:
    """Read torch's format before 1.6: five pickles, of which the fourth has the tensors, and the numbers."""
    with path.open("rb") as file:
        pickles = io.BytesIO(file.read(_MOST_HEADER_BYTES))
    for _ in range(3):
        read_pickled(pickles)
    tensors = _weights_in(read_pickled(pickles), path, StoredTensor)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    read_pickled(pickles)  # the order of the storages, each of which begins with its length in eight bytes
    numbers_bytes = sum(8 + storage.count * storage.dtype.itemsize for storage in storages.values())
    if pickles.tell() + numbers_bytes > path.stat().st_size:
        raise DamagedPickle("more numbers than bytes")
    return tensors


def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, EndlessPickle):
        return (
            f"The checkpoint {path} lists more names than any model has ({error}): it is no model that this program "
            "knows, so take another file."
        )
    code = _CODE_NAME.search(str(error)) if isinstance(error, UnpicklingError) else None
    if code or isinstance(error, HoldsCode):
        name = code[1] if code else str(error)
        return (
            f"The checkpoint {path} holds more than weights ({name[:80]}), which may run code when it is opened, and "
            "was not opened: take a .safetensors file of the same model."
        )
    megabytes = path.stat().st_size / 1e6
    return f"The checkpoint {path} ({megabytes:.1f} MB) is damaged or cut off: fetch it again."


def _weights_in(content: object, path: Path, kind: type[_Kind]) -> dict[str, _Kind]:
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        name = "Tensor" if isinstance(content, StoredTensor) else type(content).__name__
        raise ModelError(f"The file {path} holds a {name}, not named weights: choose another file.")
    weights = {str(key): value for key, value in content.items() if isinstance(value, kind)}
    if not weights:
        raise ModelError(f"The file {path} holds no weights but {first_names(content)}: choose another file.")
    if all(key.startswith("module.") for key in weights):
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    return weights


def first_names(names: Collection[object]) -> str:
    """Return the first names of a collection, in words for a sentence; each of them has an end."""
    shown = [str(name)[:80] for name in names][:3]
    more = ", ..." if len(names) > len(shown) else ""
    return f"the keys {', '.join(shown)}{more}" if shown else "nothing"
