"""The checkpoint in a zip file of a training (``SkyCLIP_ViT_L14_top30pct.zip``), unpacked without trusting it.

No name in the archive becomes a path. What is unpacked is no larger than what the archive declares, and that is
compared with the archive's size and with the room on the disk first.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from rs_textseg_plugin.contract.errors import EngineError, ModelError
from rs_textseg_plugin.engine.loading.folder_scan import SUFFIXES
from rs_textseg_plugin.engine.models.archives.torch_zip import MOST_DIRECTORY_BYTES, directory_bytes

_MOST_RATIO = 20  # weights shrink to nine tenths, those of a sparse optimizer to some hundredths at most
_MOST_SMALL_BYTES = 50_000_000  # of a file beside; the largest tokenizers have 20 MB
_CHUNK_BYTES = 1 << 20
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class PackedModel:
    """What is taken out of an archive.

    Attributes:
        archive: the zip file.
        checkpoint: the entry with the weights.
        beside: entries that lie in its folder and belong to such models, by their plain names.
    """

    archive: Path
    checkpoint: zipfile.ZipInfo
    beside: dict[str, zipfile.ZipInfo]

    @property
    def file_name(self) -> str:
        """The archive's name with the checkpoint's ending: ``epoch_20.pt`` would not say which model it is."""
        return self.archive.stem + PurePosixPath(self.checkpoint.filename).suffix.lower()

    def unpack(self, folder: Path) -> Path:
        """Write the checkpoint and what lies beside it into a folder; return the checkpoint's path.

        Raises:
            ModelError: the archive is damaged.
            OSError: the disk is full, or the folder cannot be written.
        """
        with zipfile.ZipFile(self.archive) as archive:
            for name, entry in {**self.beside, self.file_name: self.checkpoint}.items():
                with (folder / name).open("wb") as target:
                    _copy(archive, entry, target)
        return folder / self.file_name


def is_packed(path: Path) -> bool:
    """Whether a file is named as a zip file; torch's own files are such too, under other names."""
    return path.suffix.lower() == ".zip" and path.is_file()


def look_into(path: Path, beside: Collection[str]) -> PackedModel:
    """Find the one checkpoint in an archive.

    Args:
        path: of the zip file.
        beside: names of files that belong to models.

    Raises:
        ModelError: damaged, encrypted, without a checkpoint or with several, or much larger than it looks.
    """
    entries = [entry for entry in _entries(path) if not entry.is_dir()]
    found = [entry for entry in entries if PurePosixPath(entry.filename).suffix.lower() in SUFFIXES]
    if len(found) != 1:
        names = ", ".join(PurePosixPath(entry.filename).name[:60] for entry in found[:3]) or "none"
        raise ModelError(
            f"The archive {path} holds {len(found)} checkpoints ({names}), and one is needed: unpack it, and import "
            "the file that you want."
        )
    home = PurePosixPath(found[0].filename).parent
    near = {PurePosixPath(e.filename).name: e for e in entries if PurePosixPath(e.filename).parent == home}
    taken = {name: near[name] for name in beside if name in near}
    _require_sound(path, found[0], path.stat().st_size * _MOST_RATIO)
    for entry in taken.values():
        _require_sound(path, entry, _MOST_SMALL_BYTES)
    return PackedModel(path, found[0], taken)


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        if directory_bytes(path) > MOST_DIRECTORY_BYTES:
            raise ValueError("a directory without end")
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (*_DAMAGE, OSError) as error:
        raise ModelError(f"The archive {path} is no zip file that can be read ({error}): fetch it again.") from error


def _require_sound(path: Path, entry: zipfile.ZipInfo, most_bytes: int) -> None:
    name = PurePosixPath(entry.filename).name[:60]
    if entry.flag_bits & 1 or entry.compress_type not in _PACKINGS:
        raise ModelError(f"The file {name} in {path} is encrypted or packed in an unusual way: unpack it yourself.")
    if entry.file_size > most_bytes:
        raise ModelError(
            f"The file {name} in {path} would unpack to {entry.file_size / 1e6:.0f} MB, far more than such a file "
            "has: do not use this archive."
        )
    if not entry.file_size:
        raise ModelError(f"The file {name} in {path} is empty: fetch the archive again.")


def require_room(folder: Path, size_bytes: int) -> None:
    """Check that a disk has room.

    Args:
        folder: on the disk.
        size_bytes: that will be written.

    Raises:
        EngineError: it has not.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < size_bytes:
        raise EngineError(
            f"The disk of {folder} has {free_bytes / 1e9:.1f} GB free, and the models need {size_bytes / 1e9:.1f} GB: "
            "free some space there, or name another place for models in RS_TEXTSEG_MODELS."
        )


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: IO[bytes]) -> None:
    """Write an entry; more than it declares is refused while it is read."""
    left_bytes = entry.file_size
    try:
        with archive.open(entry) as source:
            while chunk := source.read(_CHUNK_BYTES):
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    raise ValueError("longer than declared")
                target.write(chunk)
            if left_bytes:
                raise EOFError("shorter than declared")
    except _DAMAGE as error:
        raise ModelError(
            f"The archive {archive.filename} is damaged at {PurePosixPath(entry.filename).name[:60]} ({error}): fetch "
            "it again."
        ) from error
