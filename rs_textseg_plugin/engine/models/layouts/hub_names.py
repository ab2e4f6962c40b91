"""What a model is called by the folder that it lies in."""

from __future__ import annotations

from pathlib import Path


def name_of_folder(folder: Path) -> str:
    """Return the name of a folder with a model; of one in a cache of Hugging Face the name of its repository.

    There a folder is called after a commit: ``models--facebook--sam-vit-base/snapshots/70c1a07f/``.
    """
    place = folder.absolute() if folder.name not in ("", "..") else folder.resolve()
    parts = place.parts
    if len(parts) > 2 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        return parts[-3].rpartition("--")[2]
    return place.name
