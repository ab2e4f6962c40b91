"""The model sets that the dock offers, and the chosen one, as they are found on the disk.

Looking takes dozens of file accesses, so it is done at certain moments; what was found is kept in a `Snapshot`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from rs_textseg_plugin.contract.catalog import ModelSet, known_sets, load_catalog, own_parameters, set_folder
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.host.engine_commands import how_to_fetch
from rs_textseg_plugin.host.translate import tr


@dataclass(frozen=True)
class OfferedSet:
    """A model set that can be chosen.

    Attributes:
        id: its name.
        title: how the dock calls it.
        is_here: whether its files are on this computer.
        pipelines: the methods that it serves; None: not known, because it was imported.
        is_verified: whether public sources state the digests of all its files.
    """

    id: str
    title: str
    is_here: bool
    pipelines: Optional[tuple[str, ...]] = None
    is_verified: bool = True

    @property
    def label(self) -> str:
        """The title, what has to be done first, and whether its files can be told from others."""
        title = self.title if self.is_verified else tr("{} (unverified)").format(self.title)
        return title if self.is_here else tr("{} (not downloaded)").format(title)


@dataclass(frozen=True)
class ChosenModels:
    """A set or folder that was chosen.

    Attributes:
        problem: why it cannot be used and what to do; empty: nothing speaks against it.
        parameters: its own values, which take the place of defaults.
        has_vlm: whether a vision-language model lies in it.
    """

    problem: str = ""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    has_vlm: bool = False


def find_sets() -> tuple[OfferedSet, ...]:
    """Return all sets: those that are here come first, otherwise as in the catalogue."""
    catalogue = {entry.id: entry for entry in load_catalog()}
    offered = (_offered(name, is_here, catalogue.get(name)) for name, is_here in known_sets().items())
    return tuple(sorted(offered, key=lambda entry: not entry.is_here))


def sets_for(pipeline: str, sets: Iterable[OfferedSet]) -> tuple[OfferedSet, ...]:
    """Return the sets that serve a method; an imported set is taken to serve all of them."""
    return tuple(entry for entry in sets if entry.pipelines is None or pipeline in entry.pipelines)


def find_models(models: str) -> ChosenModels:
    """Look at the set of that name, or at a folder."""
    folder = Path(models) if models.strip() and Path(models).is_dir() else set_folder(models)
    has_vlm = folder is not None and (folder / VLM_FOLDER).is_dir()
    return ChosenModels(_why_not_usable(models), own_parameters(models), has_vlm)


def _offered(name: str, is_here: bool, entry: ModelSet | None) -> OfferedSet:
    if entry is None:
        return OfferedSet(name, name, is_here)
    return OfferedSet(name, entry.title, is_here, entry.pipelines, is_verified=not entry.unverified)


def _why_not_usable(models: str) -> str:
    if not models.strip():
        return tr("Choose a model set, or a folder with checkpoints.")
    known = known_sets()
    if known.get(models, False) or Path(models).is_dir():
        return ""
    if models in known:
        return how_to_fetch(models)
    return tr("There is no model set and no folder {!r}: choose one of the list, or a folder.").format(models)
