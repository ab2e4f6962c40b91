"""From the name of a model set to verified files on this disk."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from rs_textseg_plugin.contract.catalog import (
    MANIFEST,
    ModelFile,
    ModelSet,
    load_catalog,
    read_manifest,
    set_folder,
)
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.loading.records import recorded_digest
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.kinds import KINDS, checkpoint_role, kinds_in_words

_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A file that is there and is what it should be.

    Attributes:
        role: ``sam``, ``clip``, ...
        path: the file.
        architecture: open_clip's name, where the set's manifest gives it.
        sha256: hexadecimal digest of the file.
    """

    role: str
    path: Path
    architecture: str
    sha256: str

    def load(self, device: torch.device, dtype: torch.dtype) -> Any:
        """Return the loaded model, by the adapter of its kind.

        Raises:
            ModelError: the file is damaged, or holds a model of another kind.
        """
        return KINDS[self.role].load(self.path, self.architecture, device, dtype)

    @property
    def title(self) -> str:
        """The file's name; with its folder where the name is the one that every model on Hugging Face has."""
        has_own_folder = self.path.name in (kind.own_folder_file for kind in KINDS.values())
        return f"{self.path.parent.name}/{self.path.name}" if has_own_folder else self.path.name


@dataclass(frozen=True)
class ResolvedSet:
    """The checkpoints for a run, one per role.

    Attributes:
        name: as in the recipe.
        checkpoints: by role.
        parameters: recipe values that fit this set.
        described: its entry in the catalogue or its manifest; None: a plain folder.
    """

    name: str
    checkpoints: Mapping[str, Checkpoint]
    parameters: Mapping[str, ParameterValue]
    described: ModelSet | None

    @property
    def is_demo(self) -> bool:
        """Whether results must say that a demo set made them."""
        return self.described is not None and self.described.is_demo

    def notes(self, metres: float) -> list[str]:
        """Return notes for the result: on pixels of that size where they do not suit, and on unverified files."""
        if self.described is None:
            return []
        return [note for note in (self.described.note_on_resolution(metres), self._note_on_unverified()) if note]

    @property
    def unverified(self) -> tuple[ModelFile, ...]:
        """Files of its checkpoints whose digest no public source states."""
        listed = self.described.unverified if self.described else ()
        return tuple(file for file in listed if file.role in self.checkpoints)

    def _note_on_unverified(self) -> str:
        if not self.unverified:
            return ""
        names = ", ".join(file.name for file in self.unverified)
        return (
            f"The model set {self.name!r} is unverified: no public source states the SHA-256 of {names}. "
            "It is compared with the one of its first fetch."
        )

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells these checkpoints from others."""
        return tuple(f"{c.sha256}:{c.architecture}" for _, c in sorted(self.checkpoints.items()))


def resolve_set(name: str, roles: Collection[str], optional: Collection[str] = ()) -> ResolvedSet:
    """Find the checkpoints of a set that a pipeline needs.

    Args:
        name: a folder, an imported set or an entry of the catalogue.
        roles: what the pipeline needs, for example ``("sam", "clip")``.
        optional: what it takes where the set has it; the result lacks these roles where it does not.

    Raises:
        ModelError: no such set or folder, a role without a file or with several, or a file that is not as listed.
    """
    folder, listed = _locate(name)
    files = _files_in(folder, listed, optional)
    taken = [*roles, *(role for role in optional if any(file.role == role for file in files))]
    checkpoints = {role: _only_one(name, folder, role, files) for role in taken}
    parameters = listed.parameters if listed else {}
    return ResolvedSet(name, checkpoints, parameters, listed)


def _locate(name: str) -> tuple[Path, ModelSet | None]:
    """Return the folder of a set, and its description where there is one."""
    catalog = {entry.id: entry for entry in load_catalog()}
    if Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
        return folder, _manifest_in(folder)
    installed = set_folder(name)
    if installed:
        return installed, _manifest_in(installed) or catalog.get(name)
    if name in catalog:
        raise ModelError(
            f"The model set {name!r} ({catalog[name].size_bytes / 1e9:.1f} GB) is not on this machine: "
            f"fetch it with 'python -m rs_textseg_plugin.engine models fetch {name}', or name a folder with its files."
        )
    raise ModelError(
        f"There is no model set and no folder {name!r}: name a folder that holds the checkpoints, "
        f"or one of {', '.join(sorted(catalog))}."
    )


def _manifest_in(folder: Path) -> ModelSet | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return read_manifest(path)
    except ValueError as error:
        raise ModelError(f"The model manifest cannot be read: {error}. Correct or remove it.") from error


def _files_in(folder: Path, listed: ModelSet | None, optional: Collection[str]) -> tuple[ModelFile, ...]:
    """Return the files of a set: as they are listed, or what its folder holds.

    Into the folder of a set that the catalogue lists, a user may have put optional models of their own.
    """
    if listed is None:
        return _scan(folder)
    lacking = set(optional) - {file.role for file in listed.files}
    if not lacking or (folder / MANIFEST).is_file():
        return listed.files
    added = _scan(folder, [file.name for file in listed.files])
    return (*listed.files, *(file for file in added if file.role in lacking))


def _scan(folder: Path, known: Collection[str] = ()) -> tuple[ModelFile, ...]:
    """Return the checkpoints in a folder beside the `known` files; the role of each is told from its weights."""
    files = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES and path.is_file() and path.name not in known:
            role = checkpoint_role(peek_keys_and_shapes(path))
            if role is None:
                raise ModelError(
                    f"The file {path} is no checkpoint of a kind that is known ({kinds_in_words()}): take it out of "
                    "the folder, or list the files to use in models.json."
                )
            files.append(ModelFile(role, path.name))
    return (*files, *_models_below(folder))


def _models_below(folder: Path) -> Iterator[ModelFile]:
    """Yield models that lie in folders of their own, as they are published; other folders are passed over."""
    for kind in KINDS.values():
        for path in sorted(folder.glob(f"*/{kind.own_folder_file}") if kind.own_folder_file else ()):
            if path.with_name("config.json").is_file() and kind.recognises(peek_keys_and_shapes(path)):
                yield ModelFile(kind.role, path.relative_to(folder).as_posix())


def _only_one(name: str, folder: Path, role: str, files: tuple[ModelFile, ...]) -> Checkpoint:
    fitting = [file for file in files if file.role == role]
    if not fitting:
        raise ModelError(
            f"The model set {name!r} ({folder}) holds no {role.upper()} checkpoint: "
            f"put one there ({', '.join(_SUFFIXES)})."
        )
    if len(fitting) > 1:
        names = ", ".join(file.name for file in fitting)
        raise ModelError(f"The folder {folder} holds several {role.upper()} checkpoints ({names}): keep one.")
    return verified(fitting[0], folder)


def verified(listed: ModelFile, folder: Path) -> Checkpoint:
    """Return the checkpoint after comparing it, and the files beside it, with its entry and the record of its fetch.

    Args:
        listed: its entry.
        folder: of the set.

    Raises:
        ModelError: a file is missing, or its digest is another one.
    """
    for file in listed.beside:
        verified_digest(file, folder)
    return Checkpoint(listed.role, folder / listed.name, listed.architecture, verified_digest(listed, folder))


def verified_digest(listed: ModelFile, folder: Path) -> str:
    """Return the hexadecimal SHA-256 of a file of a set after comparing it; what lies beside it is not looked at.

    Raises:
        ModelError: the file is missing, or its digest is another one.
    """
    path = folder / listed.name
    if not path.is_file():
        raise ModelError(f"The model file {path} is missing: fetch or copy it, or correct models.json.")
    digest, expected = file_digest(path), listed.sha256 or recorded_digest(folder, listed.name)
    if expected and digest != expected:
        known = "listed" if listed.sha256 else "when it was fetched"
        raise ModelError(
            f"The model file {path} is not the file that is listed (SHA-256 {digest[:12]}..., "
            f"{known} {expected[:12]}...): it is damaged or another version, so remove it and fetch it again."
        )
    return digest


def file_digest(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file; remembered while the file does not change."""
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size_bytes: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
