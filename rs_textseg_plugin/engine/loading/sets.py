"""What ``models list | fetch | verify`` do."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch

from rs_textseg_plugin.contract.catalog import (
    ModelFile,
    ModelSet,
    known_sets,
    load_catalog,
    models_home,
    set_folder,
)
from rs_textseg_plugin.contract.errors import EngineError, ModelError
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.contract.recipe import PIPELINES
from rs_textseg_plugin.engine.loading.files import resolve_set, verified
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import load_qwen_vl


def describe_sets() -> str:
    """Return a table of the catalogue's sets and the imported ones, one line each."""
    rows = [f"Model sets ({models_home()}):"]
    listed = {entry.id: entry for entry in load_catalog()}
    for name, here in known_sets().items():
        entry = listed.get(name)
        size = f"{entry.size_bytes / 1e9:.1f} GB, {_licences(entry)}" if entry else "imported"
        title = f"  {entry.title}" if entry else ""
        rows.append(f"  {name:16} {'here' if here else 'not fetched':12} {size}{title}")
    return "\n".join(rows)


def _licences(entry: ModelSet) -> str:
    return " and ".join(dict.fromkeys(file.licence for file in entry.files))


def fetch_set(name: str) -> Path:
    """Download a catalogue set into its folder; files that are there and right stay; return the folder.

    Raises:
        ModelError: no such set, or a file that is not the one listed.
        EngineError: the network or the disk failed.
    """
    entry = next((listed for listed in load_catalog() if listed.id == name), None)
    if entry is None:
        names = ", ".join(listed.id for listed in load_catalog())
        raise ModelError(f"The catalogue has no model set {name!r} to fetch: choose one of {names}.")
    folder = set_folder(name) or models_home() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"The folder {folder} cannot be made ({error}): make room for it, "
            "or name another place for models in RS_TEXTSEG_MODELS."
        ) from error
    for checkpoint in entry.files:
        for file in checkpoint.with_beside:
            fetch_file(file, folder)
    return folder


def fetch_file(file: ModelFile, folder: Path) -> Path:
    """Download one file, checking its digest on the way; an interrupted download leaves nothing behind.

    Raises:
        ModelError: the content is another one than listed.
        EngineError: the network or the disk failed.
    """
    target = folder / file.name
    if target.is_file():
        return verified(target, file).path
    print(f"{file.name}: {file.size_bytes / 1e6:.3g} MB, {file.licence}, {file.source}")
    try:
        target.parent.mkdir(exist_ok=True)
        torch.hub.download_url_to_file(file.url, str(target), hash_prefix=file.sha256 or None, progress=True)
    except (URLError, HTTPException, OSError) as error:
        raise EngineError(
            f"{file.url} could not be fetched ({error}): check the connection and the proxy settings, or copy the "
            f"file to {target} by hand."
        ) from error
    except RuntimeError as error:  # torch's word for a wrong digest
        raise ModelError(f"{file.url} is not the listed file ({error}): the download was thrown away.") from error
    return target


def verify_set(name: str) -> str:
    """Load every checkpoint of a set once; return what was found, one line each, and what it serves.

    Raises:
        ModelError: one of them is damaged or foreign, or no pipeline has all that it needs.
    """
    roles = dict.fromkeys(role for info in PIPELINES.values() for role in (*info.roles, *info.optional_roles))
    resolved = resolve_set(name, (), tuple(roles))
    lines = []
    for checkpoint in resolved.checkpoints.values():
        checkpoint.load(torch.device("cpu"), torch.float32)
        lines.append(f"{checkpoint.role}: {checkpoint.path} is whole, SHA-256 {checkpoint.sha256}")
        lines += [f"  {note}" for note in checkpoint.notes]
    lines += _verify_vlm(resolved.folder / VLM_FOLDER)
    served = [info.name for info in PIPELINES.values() if set(info.roles) <= set(resolved.checkpoints)]
    if not served:
        needs = "; ".join(f"{info.name}: {' and '.join(info.roles)}" for info in PIPELINES.values())
        raise ModelError(
            f"The model set {name!r} holds {' and '.join(resolved.checkpoints) or 'no checkpoint'}, which no method "
            f"can work with alone ({needs}): add what is missing."
        )
    return "\n".join([*lines, f"It serves {', '.join(served)}."])


def _verify_vlm(folder: Path) -> list[str]:
    """Load the vision-language model of a set, if it has one."""
    if not folder.is_dir():
        return []
    load_qwen_vl(folder, None, torch.device("cpu"), torch.float32)
    return [f"vlm: {folder} is whole"]
