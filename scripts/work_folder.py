"""What trainings do with their folders before hours are spent."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rs_textseg_plugin.contract.errors import ModelError, OutputError


def require_writable(folders: Mapping[str, Path]) -> None:
    """Make folders where they are missing, and write to each of them once.

    Args:
        folders: by the option that names them.

    Raises:
        OutputError: one of them cannot be written.
    """
    for option, folder in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise OutputError(
                f"{option}: nothing can be written to {folder} ({error.strerror}): choose another folder."
            ) from error


def require_same_training(note: Path, facts: Mapping[str, str]) -> None:
    """Note what a folder's training is for, or check that it is for the same.

    Args:
        note: the file in the training's folder.
        facts: what the training depends on.

    Raises:
        ModelError: it was begun with something else.
    """
    if note.is_file():
        begun: dict[str, str] = json.loads(note.read_text(encoding="utf-8"))
        changed = [name for name in (*facts, *begun) if begun.get(name) != facts.get(name)]
        if changed:
            name = changed[0]
            raise ModelError(
                f"The training in {note.parent} was begun with {name} {begun.get(name)}, not {facts.get(name)}: "
                "choose another --work folder, or remove this one."
            )
    note.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
