"""What ``models import`` does: all is checked first, copied into a folder beside, and then put in place at once."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rs_textseg_plugin.contract.catalog import MANIFEST, is_installed, load_catalog, models_home
from rs_textseg_plugin.contract.errors import EngineError, ModelError, shown
from rs_textseg_plugin.contract.recipe import PIPELINES
from rs_textseg_plugin.contract.text.file_name import why_no_file_name
from rs_textseg_plugin.engine.loading.import_parts import Part, parts_of, require_one_each, roles_in
from rs_textseg_plugin.engine.loading.packed import PackedModel, is_packed, look_into, require_room
from rs_textseg_plugin.engine.models.kinds import KINDS

_GROWING = ".importing-"  # before the names of folders that a set grows in
_FORGOTTEN_S = 24 * 3600  # after which such a folder is one of a program that was killed


def import_set(name: str, given: Sequence[Path]) -> Path:
    """Copy models into a set of that name; return its folder. What fails leaves nothing behind.

    Args:
        name: of the new set.
        given: checkpoints, zip files of a training, folders with a Qwen-VL or with another published model, or one
            folder with a whole set.

    Raises:
        ModelError: the name is taken or no plain word; something is no model that is known; two are of one role; or
            two files would have one name.
        EngineError: the disk is full, or cannot be written.
    """
    folder = _new_folder(name)
    different = list(dict.fromkeys(given))
    packed = [look_into(path, _names_beside()) for path in different if is_packed(path)]
    parts = [part for path in different if not is_packed(path) for part in parts_of(path)]
    _require_alone(different)
    require_one_each(parts)
    with _growing_beside(folder) as work:
        require_room(work, sum(part.source.stat().st_size for part in parts) + sum(map(_size_bytes, packed)))
        for number, model in enumerate(packed):
            parts += _unpacked(model, work / f"unpacked{number}" / model.archive.stem)
        _fill(work / name, require_one_each(parts))
        (work / name).rename(folder)
    return folder


def _new_folder(name: str) -> Path:
    folder = models_home() / name
    reason = why_no_file_name(name)
    if reason:
        raise ModelError(f"The set name {shown(name)} is no plain name, since {reason}: choose another one.")
    if folder.exists() or any(entry.id == name and is_installed(entry) for entry in load_catalog()):
        raise ModelError(f"There is a model set {name!r} already ({folder}): choose another name, or remove it first.")
    return folder


def _names_beside() -> set[str]:
    return {name for kind in KINDS.values() for name in kind.files_beside}


def _require_alone(given: Sequence[Path]) -> None:
    whole = next((path for path in given if (path / MANIFEST).is_file()), None)
    if whole and len(given) > 1:
        raise ModelError(
            f"The folder {whole} is a whole set with a {MANIFEST}: import it alone, or name single files of it; "
            "nothing was imported."
        )


def _size_bytes(model: PackedModel) -> int:
    return model.checkpoint.file_size + sum(entry.file_size for entry in model.beside.values())


def _unpacked(model: PackedModel, folder: Path) -> list[Part]:
    folder.mkdir(parents=True)
    parts = parts_of(model.unpack(folder))
    return [replace(part, title=str(model.archive)) if part.role else part for part in parts]


@contextmanager
def _growing_beside(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside one that does not exist yet; it is removed with all that is still in it.

    Raises:
        EngineError: what was written in it could not be, as on a full disk.
    """
    work: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_forgotten(folder.parent)
        work = Path(tempfile.mkdtemp(prefix=_GROWING, dir=folder.parent))
        yield work
    except OSError as error:
        raise EngineError(
            f"The set could not be written to {folder} ({error.strerror or error}): nothing was imported, so make room "
            "there and check the permissions, or name another place for models in RS_TEXTSEG_MODELS."
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _remove_forgotten(home: Path) -> None:
    for work in home.glob(f"{_GROWING}*"):
        if time.time() - work.stat().st_mtime > _FORGOTTEN_S:
            shutil.rmtree(work, ignore_errors=True)


def _fill(folder: Path, parts: Sequence[Part]) -> None:
    """Copy parts into a new folder; what was unpacked beside it is moved."""
    folder.mkdir()
    for part in parts:
        target = folder / part.target
        target.parent.mkdir(parents=True, exist_ok=True)
        if part.source.is_relative_to(folder.parent):
            part.source.rename(target)
        else:
            shutil.copyfile(part.source, target)
    if any(part.listed and part.listed.architecture for part in parts):
        (folder / MANIFEST).write_text(json.dumps(_manifest(folder.name, parts), indent=2), encoding="utf-8")


def _manifest(name: str, parts: Sequence[Part]) -> dict[str, object]:
    """Return a manifest that keeps what one beside the imported files said of them."""
    roles = roles_in(parts)
    return {
        "id": name,
        "title": name,
        "pipelines": [info.name for info in PIPELINES.values() if set(info.roles) <= roles],
        "files": [_entry(part) for part in parts if part.role in KINDS],
    }


def _entry(part: Part) -> dict[str, object]:
    kept = ("url", "sha256", "size_bytes", "licence", "source", "architecture")
    listed = {key: getattr(part.listed, key) for key in kept if getattr(part.listed, key, None)}
    return {"role": part.role, "name": str(part.target), **listed}
