"""What ``models fetch`` does: the files of a catalogue set, from their own addresses or from a mirror."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from rs_textseg_plugin.contract.catalog import ModelFile, ModelSet, load_catalog, models_home, near_names, set_folder
from rs_textseg_plugin.contract.errors import EngineError, ModelError, RecipeError, shown
from rs_textseg_plugin.engine.loading.download import download, download_packed
from rs_textseg_plugin.engine.loading.files import verified_digest
from rs_textseg_plugin.engine.loading.packed import require_room
from rs_textseg_plugin.engine.loading.records import is_accepted, record_acceptance, record_fetch, recorded_digest
from rs_textseg_plugin.engine.models.archives.digest import file_digest


def fetch_set(name: str, mirror: str = "", accepts_licence: bool = False) -> Path:
    """Download a catalogue set into its folder; files that are there and right stay; return the folder.

    Args:
        name: of the set.
        mirror: address of a folder that holds the files under their names in the set; empty: their own addresses.
        accepts_licence: whether the user accepts the licences that ask for it.

    Raises:
        RecipeError: the mirror is no address, or it cannot be trusted with a file.
        ModelError: no such set, a licence that was not accepted, or a file that is not the one listed.
        EngineError: the network or the disk failed.
    """
    entry = _listed(name)
    _require_trust(entry, mirror)
    folder = set_folder(name) or models_home() / name
    lacking = [file for file in entry.all_files if not (folder / file.name).is_file()]
    _show(lacking)
    _require_acceptance(lacking, accepts_licence)
    _make_folder(folder)
    require_room(folder, sum(file.size_bytes for file in lacking))
    for file in entry.all_files:
        _fetch_file(file, folder, mirror)
    return folder


def _listed(name: str) -> ModelSet:
    entry = next((listed for listed in load_catalog() if listed.id == name), None)
    if entry is None:
        names = ", ".join(near_names(name, (listed.id for listed in load_catalog())))
        raise ModelError(
            f"The catalogue has no model set {name!r} to fetch: choose one such as {names}; 'models list' shows all."
        )
    return entry


def _require_trust(entry: ModelSet, mirror: str) -> None:
    """Refuse a mirror where nothing tells whether what it sends is the file.

    Raises:
        RecipeError: see above, or the mirror is no address.
    """
    if not mirror:
        return
    parts = urlsplit(mirror)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecipeError(
            f"The mirror {shown(mirror)} is no address of a server: write one that begins with https://, or import "
            "files that are on this machine with 'models import'."
        )
    if entry.unverified:
        raise RecipeError(
            f"The file {entry.unverified[0].name} of the model set {entry.id!r} is not fetched from a mirror, since no "
            "public source states its SHA-256: fetch the set without --from."
        )


def _show(lacking: Iterable[ModelFile]) -> None:
    """Print what is about to be fetched, before anything is."""
    for file in lacking:
        size = f"{file.size_bytes / 1e6:.3g} MB" if file.size_bytes else "size unknown"
        page = f", {file.licence_url}" if file.licence_url else ""
        print(f"{file.name}: {size}, licence {file.licence}{page}, from {file.source}", flush=True)


def _require_acceptance(lacking: Iterable[ModelFile], accepts_licence: bool) -> None:
    for file in lacking:
        if is_accepted(file):
            continue
        if not accepts_licence:
            raise ModelError(
                f"The licence of {file.name}, {file.licence}, restricts its use: read it at {file.licence_url}, "
                "and fetch with --accept-licence if you accept it. Nothing was fetched."
            )
        record_acceptance(file)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"The folder {folder} cannot be made ({error}): make room for it, "
            "or name another place for models in RS_TEXTSEG_MODELS."
        ) from error


def _fetch_file(file: ModelFile, folder: Path, mirror: str) -> None:
    """Bring one file into the folder of its set, checking its digest on the way."""
    target = folder / file.name
    url = f"{mirror.rstrip('/')}/{quote(file.name)}" if mirror else file.url
    if target.is_file():
        digest, url = verified_digest(file, folder), ""
    else:
        target.parent.mkdir(exist_ok=True)
        digest = _linked(file, target) or (download_packed if url.endswith(".zip") else download)(file, url, target)
    if not file.sha256 and not recorded_digest(folder, file.name):
        record_fetch(folder, file, digest, url)


def _linked(file: ModelFile, target: Path) -> str:
    """Take the same file from another set that is here, without a second copy where the disk allows it.

    Returns:
        Its digest; empty: no other set has it.
    """
    if not file.sha256:
        return ""
    for other in models_home().glob(f"*/{file.name}"):
        with suppress(OSError):
            if other.stat().st_size == file.size_bytes and file_digest(other) == file.sha256:
                os.link(other, target)
                return file.sha256
    return ""
