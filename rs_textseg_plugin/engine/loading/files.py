"""From the name of a model set to verified files on this disk."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rs_textseg_plugin.contract.catalog import (
    MANIFEST,
    ModelFile,
    ModelSet,
    load_catalog,
    near_names,
    read_manifest,
    set_folder,
)
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.loading.folder_scan import SUFFIXES, is_generic, names_beside, scan_folder
from rs_textseg_plugin.engine.loading.records import recorded_digest
from rs_textseg_plugin.engine.models.archives.digest import file_digest
from rs_textseg_plugin.engine.models.archives.shards import files_of
from rs_textseg_plugin.engine.models.kinds import KINDS
from rs_textseg_plugin.engine.models.layouts.hub_names import name_of_folder


@dataclass(frozen=True)
class Checkpoint:
    """A file that is there and is what it should be.

    Attributes:
        role: ``sam``, ``clip``, ...
        path: the file.
        architecture: open_clip's name, where the set's manifest gives it.
        sha256: hexadecimal digest of the file.
        surroundings: digest of what else may say how it is to be loaded: names, and the files beside it.
    """

    role: str
    path: Path
    architecture: str
    sha256: str
    surroundings: str = ""

    @property
    def identity(self) -> str:
        """What tells the loaded model from others."""
        return f"{self.sha256}:{self.architecture}:{self.surroundings}"

    def load(self, device: torch.device, dtype: torch.dtype) -> Any:
        """Return the loaded model, by the adapter of its kind.

        Raises:
            ModelError: the file is damaged, or holds a model of another kind.
        """
        return KINDS[self.role].load(self.path, self.architecture, device, dtype)

    @property
    def title(self) -> str:
        """The file's name; with its folder where the name is the one that every model on Hugging Face has."""
        return f"{self.path.parent.name}/{self.path.name}" if is_generic(self.path) else self.path.name

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for results on what could not be told of the file for certain."""
        return KINDS[self.role].notes(self.path, self.architecture)


@dataclass(frozen=True)
class ResolvedSet:
    """The checkpoints for a run, one per role.

    Attributes:
        name: as in the recipe.
        checkpoints: by role.
        parameters: recipe values that fit this set.
        described: its entry in the catalogue or its manifest; None: a plain folder.
        folder: where it lies.
    """

    name: str
    checkpoints: Mapping[str, Checkpoint]
    parameters: Mapping[str, ParameterValue]
    described: ModelSet | None
    folder: Path

    @property
    def is_demo(self) -> bool:
        """Whether results must say that a demo set made them."""
        return self.described is not None and self.described.is_demo

    def notes(self, metres: float) -> list[str]:
        """Return notes for the result: on files that nobody can verify, and on pixels of that size.

        Args:
            metres: side of the pixels.
        """
        on_resolution = self.described.note_on_resolution(metres) if self.described else ""
        return [note for note in (self._note_on_unverified(), on_resolution) if note]

    def notes_on_files(self, roles: Collection[str]) -> list[str]:
        """Return notes for the result on what could not be told of the files of those roles for certain."""
        return [note for role in sorted(set(roles) & set(self.checkpoints)) for note in self.checkpoints[role].notes]

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
        return tuple(checkpoint.identity for _, checkpoint in sorted(self.checkpoints.items()))


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
    return ResolvedSet(name, checkpoints, parameters, listed, folder)


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
        f"or a set such as {', '.join(near_names(name, catalog))}; 'models list' shows all."
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
        return scan_folder(folder)
    lacking = set(optional) - {file.role for file in listed.files}
    if not lacking or (folder / MANIFEST).is_file():
        return listed.files
    added = scan_folder(folder, [file.name for file in listed.files])
    return (*listed.files, *(file for file in added if file.role in lacking))


def _only_one(name: str, folder: Path, role: str, files: tuple[ModelFile, ...]) -> Checkpoint:
    fitting = [file for file in files if file.role == role]
    if not fitting:
        raise ModelError(
            f"The model set {name!r} ({folder}) holds no {role.upper()} checkpoint: "
            f"put one there ({', '.join(SUFFIXES)}){_hint_on_archives(folder)}."
        )
    if len(fitting) > 1:
        names = ", ".join(file.name for file in fitting)
        raise ModelError(f"The folder {folder} holds several {role.upper()} checkpoints ({names}): keep one.")
    return verified(fitting[0], folder)


def _hint_on_archives(folder: Path) -> str:
    archives = sorted(folder.glob("*.zip"))
    return f", or import what is packed in {archives[0].name} with 'models import NAME FILE'" if archives else ""


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
    path = folder / listed.name
    digest = _with_shards(path, verified_digest(listed, folder))
    return Checkpoint(listed.role, path, listed.architecture, digest, _surroundings(path, listed.role))


def _surroundings(path: Path, role: str) -> str:
    """Return the digest of names and of files beside, which may say how weights are to be loaded."""
    near = [path.with_name(name) for name in names_beside(path, role) if path.with_name(name).is_file()]
    names = [path.name, name_of_folder(path.parent)] if is_generic(path) else [path.name]
    said = [*names, *(f"{file.name} {file_digest(file)}" for file in near)]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def _with_shards(path: Path, digest: str) -> str:
    """Return the digest of a checkpoint; of one in several files it is made of all their digests."""
    shards = files_of(path)[1:]
    if not shards:
        return digest
    return hashlib.sha256("".join([digest, *map(file_digest, shards)]).encode()).hexdigest()


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
