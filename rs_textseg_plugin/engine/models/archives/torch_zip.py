"""The zip files that torch and TorchScript write: their directory, their pickle, and where their numbers lie.

::

    NAME/data.pkl           a pickle of the state dict, or of TorchScript's module
    NAME/data/KEY           the numbers of a storage, as they are
    NAME/constants.pkl      in TorchScript only, as is the next
    NAME/code/...           source text; here only the names of parameters and buffers are read from it

What is declared is compared with what is there before anything is read, so that a small file cannot fill the memory.
"""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rs_textseg_plugin.engine.models.archives.opcodes import DamagedPickle
from rs_textseg_plugin.engine.models.archives.pickled_tensors import (
    EndlessPickle,
    HoldsCode,
    Name,
    PickledObject,
    StoredTensor,
    read_pickled,
)

MOST_DIRECTORY_BYTES = 8_000_000  # published models have up to some hundred kilobytes
_MOST_READ_BYTES = 16_000_000  # of pickle and code together, unpacked
_MOST_OBJECTS = 50_000
_LONGEST_PATH = 1000  # of a module within modules, in characters
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_UNKNOWN = 0xFFFFFFFF  # in a record that is too small for the number, which then stands in the larger one
_QUOTED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Span:
    """Where bytes lie in a file."""

    offset: int
    size_bytes: int


class TorchZip:
    """A zip file of torch that has been looked over: its sizes are those of the file.

    Args:
        path: of the file.

    Raises:
        EndlessPickle: the directory is larger than that of any model.
        ValueError, zipfile.BadZipFile, OSError, struct.error: damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file_bytes = path.stat().st_size
        self._read_bytes = 0
        _require_small("a directory", directory_bytes(path), MOST_DIRECTORY_BYTES)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries) or sum(entry.compress_size for entry in entries) > self._file_bytes:
            raise DamagedPickle("records that overlap")
        self._root = entries[0].filename.partition("/")[0] if entries else ""

    @property
    def is_torchscript(self) -> bool:
        """Whether the archive was written by TorchScript."""
        return f"{self._root}/constants.pkl" in self._entries

    def content(self) -> Any:
        """The pickle's value as `read_pickled` gives it; for TorchScript the tensors by their names.

        Raises:
            HoldsCode: the pickle asks for more than tensors.
        """
        content = read_pickled(self.read("data.pkl"))
        if not self.is_torchscript:
            return content
        if not isinstance(content, PickledObject):
            raise DamagedPickle("no module")
        return _script_weights(content, _Declared(self))

    def read(self, name: str) -> bytes:
        """Return one record, unpacked; empty if there is none.

        Raises:
            EndlessPickle: with this, more is unpacked than a list of tensors ever needs.
        """
        entry = self._entries.get(f"{self._root}/{name}")
        if entry is None:
            return b""
        self._read_bytes += entry.file_size
        _require_small("a list of tensors", self._read_bytes, _MOST_READ_BYTES)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DamagedPickle("a compression that torch does not use")
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(entry)

    def span(self, tensor: StoredTensor) -> Span:
        """Return where the numbers of a tensor's storage lie.

        Raises:
            DamagedPickle: they are not there, packed, or fewer than declared.
        """
        storage = tensor.storage
        entry = self._entries.get(f"{self._root}/data/{storage.key}")
        wanted_bytes = storage.count * storage.dtype.itemsize
        if entry is None or entry.compress_type != zipfile.ZIP_STORED or entry.compress_size < wanted_bytes:
            raise DamagedPickle(f"the storage {storage.key[:40]!r} is not there as declared")
        with self.path.open("rb") as file:
            file.seek(entry.header_offset)
            name_bytes, extra_bytes = struct.unpack("<26xHH", file.read(30))
        span = Span(entry.header_offset + 30 + name_bytes + extra_bytes, wanted_bytes)
        if span.offset + span.size_bytes > self._file_bytes:
            raise DamagedPickle(f"the storage {storage.key[:40]!r} is cut off")
        return span

    def require_storages(self, tensors: dict[str, StoredTensor]) -> None:
        """Check that the numbers of tensors are there.

        Raises:
            DamagedPickle: as `span`.
        """
        for tensor in {tensor.storage.key: tensor for tensor in tensors.values()}.values():
            self.span(tensor)

    def tensors(self, described: dict[str, StoredTensor]) -> dict[str, Tensor]:
        """Return tensors that are mapped from the file, on the CPU, in the shapes and types that they are stored in.

        Raises:
            DamagedPickle: as `span`.
        """
        if self.read("byteorder") not in (b"", b"little"):
            raise DamagedPickle("numbers of another machine")
        mapped = torch.UntypedStorage.from_file(str(self.path), False, self._file_bytes)
        storages: dict[str, torch.UntypedStorage] = {}
        tensors = {}
        for name, tensor in described.items():
            key = tensor.storage.key
            if key not in storages:
                storages[key] = _part(mapped, self.span(tensor))
            empty = torch.empty(0, dtype=tensor.dtype)
            tensors[name] = empty.set_(storages[key], tensor.offset, tensor.shape, tensor.stride)
        return tensors


def _part(mapped: Any, span: Span) -> torch.UntypedStorage:
    part: torch.UntypedStorage = mapped[span.offset : span.offset + span.size_bytes]
    return part if span.offset % 16 == 0 else part.clone()  # kernels expect numbers at whole addresses


def _require_small(what: str, size_bytes: int, most_bytes: int) -> None:
    if size_bytes > most_bytes:
        raise EndlessPickle(f"{what} of {size_bytes / 1e6:.0f} MB")


def directory_bytes(path: Path) -> int:
    """Return the size of a zip file's directory, which `zipfile` would read without a limit."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - 2**16 - 22)
        file.seek(start)
        tail = file.read()
        place = tail.rfind(_END)
        if place < 0:
            raise zipfile.BadZipFile("no end record")
        directory_bytes = int(struct.unpack_from("<12xL", tail, place)[0])
        if directory_bytes != _UNKNOWN or place < 20 or tail[place - 20 : place - 16] != _LOCATOR_64:
            return directory_bytes
        file.seek(struct.unpack_from("<8xQ", tail, place - 20)[0])
        record = file.read(56)
    if not record.startswith(_END_64):
        raise zipfile.BadZipFile("no end record of a large file")
    return int(struct.unpack_from("<40xQ", record)[0])


class _Declared:
    """The names of parameters and buffers that TorchScript's source text declares, class by class."""

    def __init__(self, archive: TorchZip) -> None:
        self._archive = archive
        self._of: dict[str, frozenset[str] | None] = {}
        self._texts: dict[str, str] = {}

    def of(self, kind: Name) -> frozenset[str] | None:
        """Return the names of a class; None: the text does not say, as in old archives."""
        if kind.dotted not in self._of:
            self._of[kind.dotted] = self._look_up(*kind.dotted.rpartition(".")[::2])
        return self._of[kind.dotted]

    def _look_up(self, module: str, name: str) -> frozenset[str] | None:
        if module not in self._texts:
            source = self._archive.read(f"code/{module.replace('.', '/')}.py")
            self._texts[module] = source.decode("utf-8", errors="replace")
        _, found, body = self._texts[module].partition(f"class {name}(Module):\n")
        heads: dict[str, list[str]] = {}
        for line in body.split("\n", 8)[:8] if found else []:
            label, equals, value = line.strip().partition(" = ")
            if equals and label in ("__parameters__", "__buffers__"):
                heads.setdefault(label, _QUOTED.findall(value))
        return frozenset(chain(*heads.values())) if len(heads) == 2 else None


def _script_weights(root: PickledObject, declared: _Declared) -> dict[str, StoredTensor]:
    """Return the parameters and buffers of a module and those in it, as its state dict calls them."""
    if not root.kind.is_of_script:
        raise HoldsCode(root.kind.dotted)
    weights: dict[str, StoredTensor] = {}
    waiting = [("", root)]
    seen = 0
    while waiting:
        prefix, instance = waiting.pop()
        names = declared.of(instance.kind)
        for name, value in instance.attributes.items():
            seen += 1
            if isinstance(value, StoredTensor) and (names is None or name in names):
                weights[prefix + name] = value
            elif isinstance(value, PickledObject):
                waiting.append((f"{prefix}{name}.", value))
        if seen > _MOST_OBJECTS or len(prefix) > _LONGEST_PATH:
            raise DamagedPickle("modules without end")
    return weights
