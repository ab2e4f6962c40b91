"""What is remembered of fetches: digests that nobody states, and licences that the user accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from rs_textseg_plugin.contract.catalog import ModelFile, models_home
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.loading.growing import growing_file, in_words

FETCHED = "fetched.json"  # in the folder of a set
ACCEPTED = "accepted_licences.json"  # in the folder of all sets


def recorded_digest(folder: Path, name: str) -> str:
    """Return the SHA-256 that a file had when it was first fetched; empty: it was not recorded.

    Args:
        folder: of the set.
        name: of the file inside it, with slashes.

    Raises:
        ModelError: the record is damaged.
    """
    record = _read(folder / FETCHED).get(name, {})
    return str(record.get("sha256", "")) if isinstance(record, dict) else ""


def record_fetch(folder: Path, file: ModelFile, digest: str, url: str) -> None:
    """Remember the digest of a file that no public source states, so that a later change of it is found.

    Raises:
        ModelError: the record is damaged.
        EngineError: it cannot be written.
    """
    record = {"sha256": digest, "url": url, "date": date.today().isoformat()}
    _write(folder / FETCHED, {**_read(folder / FETCHED), file.name: record})


def is_accepted(file: ModelFile) -> bool:
    """Whether the user accepted the licence of a file, or need not.

    Raises:
        ModelError: the record is damaged.
    """
    return not file.needs_acceptance or file.licence in _read(models_home() / ACCEPTED)


def record_acceptance(file: ModelFile) -> None:
    """Remember that the user accepts the licence of a file.

    Raises:
        ModelError: the record is damaged.
        EngineError: it cannot be written.
    """
    path = models_home() / ACCEPTED
    _write(path, {**_read(path), file.licence: {"text": file.licence_url, "date": date.today().isoformat()}})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"The record {path} cannot be read ({error}): remove it, and fetch the set again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"The record {path} is damaged: remove it, and fetch the set again.")
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the record whole or not at all."""
    with in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with growing_file(path) as growing:
        growing.write(json.dumps(content, indent=2, sort_keys=True).encode())
