"""Which model sets the dock offers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rs_textseg_plugin.contract.catalog import known_sets, load_catalog, set_folder
from rs_textseg_plugin.host.engine_commands import how_to_fetch
from rs_textseg_plugin.host.translate import tr


@dataclass(frozen=True)
class ModelChoice:
    """A model set: its id, how the dock calls it, and whether its files are on this computer."""

    id: str
    title: str
    is_here: bool

    @property
    def label(self) -> str:
        """The title, and what has to be done first."""
        return self.title if self.is_here else tr("{} (not downloaded)").format(self.title)


def model_choices(pipeline: str) -> list[ModelChoice]:
    """Return the sets that serve a pipeline; those that are here come first, otherwise as in the catalogue."""
    catalogue = {entry.id: entry for entry in load_catalog()}
    serving = [
        ModelChoice(name, catalogue[name].title if name in catalogue else name, is_here)
        for name, is_here in known_sets().items()
        if name not in catalogue or pipeline in catalogue[name].pipelines
    ]
    return sorted(serving, key=lambda choice: not choice.is_here)


def folder_of(models: str) -> Path | None:
    """Return the folder of a set or the folder that was named; None where there is none here."""
    return Path(models) if models.strip() and Path(models).is_dir() else set_folder(models)


def why_not_usable(models: str) -> str:
    """Return why a set or folder cannot be used and what to do; empty where nothing speaks against it."""
    if not models.strip():
        return tr("Choose a model set, or a folder with checkpoints.")
    known = known_sets()
    if known.get(models, False) or Path(models).is_dir():
        return ""
    if models in known:
        return how_to_fetch(models)
    return tr("There is no model set and no folder {!r}: choose one of the list, or a folder.").format(models)
