"""What is copied when files and folders are imported, and where it comes to lie in the new set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from rs_textseg_plugin.contract.catalog import MANIFEST, ModelFile, ModelSet, read_manifest
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.engine.loading.folder_scan import is_generic, names_beside, scan_folder
from rs_textseg_plugin.engine.models.archives.shards import files_of
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.kinds import KINDS, checkpoint_role, kinds_in_words
from rs_textseg_plugin.engine.models.layouts.hub_names import name_of_folder
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import family_of, is_vlm_folder, weight_files

VLM = "vlm"
_OF_TRAINING = re.compile(r"epoch_\w+\.pt", re.IGNORECASE)  # says when, not what


@dataclass(frozen=True)
class Part:
    """A file of the new set.

    Attributes:
        source: what is copied.
        target: path inside the set.
        role: of the checkpoint or vision-language model that it is; empty: it lies beside one.
        title: what that is called in sentences.
        listed: its entry in a manifest beside it; None: there is none.
    """

    source: Path
    target: PurePosixPath
    role: str = ""
    title: str = ""
    listed: ModelFile | None = None


def parts_of(given: Path) -> list[Part]:
    """Return what a file or folder brings along.

    Args:
        given: a checkpoint; or a folder with a Qwen-VL, with one model as it is published, or with a whole set.

    Raises:
        ModelError: it is no model that is known, or a file of it is missing or damaged.
    """
    if not given.is_dir():
        return _of_file(given)
    if is_vlm_folder(given):
        return _of_vlm(given)
    if (given / MANIFEST).is_file():
        return _of_set(given)
    return _of_folder(given)


def _of_file(path: Path) -> list[Part]:
    role = checkpoint_role(peek_keys_and_shapes(path))
    if role is None:
        raise ModelError(
            f"The file {path} is no checkpoint of a kind that is known ({kinds_in_words()}): nothing was imported."
        )
    inside = name_of_folder(path.parent) if is_generic(path) else ""
    return _of_checkpoint(path, role, inside)


def _of_checkpoint(path: Path, role: str, inside: str) -> list[Part]:
    """Return a checkpoint with its shards and what lies beside it, for a folder inside the set, or for the set's."""
    home = PurePosixPath(inside)
    name = f"{name_of_folder(path.parent)}_{path.name}" if _OF_TRAINING.fullmatch(path.name) else path.name
    weights, *shards = files_of(path)
    near = [path.with_name(one) for one in names_beside(path, role) if path.with_name(one).is_file()]
    return [
        Part(weights, home / name, role, str(path), _entry_beside(path)),
        *(Part(one, home / one.name) for one in (*shards, *near)),
    ]


def _entry_beside(path: Path) -> ModelFile | None:
    """Return what a manifest beside a checkpoint says of it: an architecture, for one."""
    manifest = path.with_name(MANIFEST)
    listed = _read(manifest).files if manifest.is_file() else ()
    return next((entry for entry in listed if entry.name == path.name), None)


def _read(manifest: Path) -> ModelSet:
    try:
        return read_manifest(manifest)
    except ValueError as error:
        raise ModelError(f"The model manifest cannot be read: {error}. Correct or remove it.") from error


def _of_vlm(folder: Path) -> list[Part]:
    weight_files(folder, None)
    family_of(folder)
    home = PurePosixPath(VLM_FOLDER)
    first, *others = (Part(path, home / path.name) for path in sorted(folder.iterdir()) if path.is_file())
    return [replace(first, role=VLM, title=str(folder)), *others]


def _of_set(folder: Path) -> list[Part]:
    """Return a set with a manifest as it is."""
    listed = _read(folder / MANIFEST).files
    parts = [Part(folder / MANIFEST, PurePosixPath(MANIFEST))]
    for entry in listed:
        path = folder / entry.name
        if not path.is_file():
            raise ModelError(f"The model file {path} is missing: fetch or copy it, or correct {MANIFEST}.")
        parts.append(Part(path, PurePosixPath(entry.name), entry.role, str(path)))
        parts += [Part(folder / near.name, PurePosixPath(near.name)) for near in _near(folder, entry)]
    return [*parts, *_vlm_inside(folder)]


def _near(folder: Path, entry: ModelFile) -> Iterator[ModelFile]:
    """Yield what is listed beside a file, what its kind has beside it, and its shards."""
    yield from entry.beside
    path = folder / entry.name
    there = [name for name in names_beside(path, entry.role) if path.with_name(name).is_file()]
    for name in (*(shard.name for shard in files_of(path)[1:]), *there):
        yield replace(entry, name=str(PurePosixPath(entry.name).with_name(name)))


def _of_folder(folder: Path) -> list[Part]:
    found = scan_folder(folder)
    parts = _vlm_inside(folder)
    for file in found:
        path = folder / file.name
        has_own = is_generic(path) or any(path.with_name(name).is_file() for name in names_beside(path, file.role))
        inside = path.parent.name if path.parent != folder else name_of_folder(folder) if has_own else ""
        parts += _of_checkpoint(path, file.role, inside)
    if not parts:
        raise ModelError(
            f"The folder {folder} holds no model that is known ({kinds_in_words()}, Qwen2.5-VL or Qwen3-VL): name one "
            "with weights such as model.safetensors and what lies beside them; nothing was imported."
        )
    return parts


def _vlm_inside(folder: Path) -> list[Part]:
    return _of_vlm(folder / VLM_FOLDER) if is_vlm_folder(folder / VLM_FOLDER) else []


def require_one_each(parts: Sequence[Part]) -> list[Part]:
    """Return the parts, each once.

    Raises:
        ModelError: two models are of one role, or two files would have one name.
    """
    roles, places = dict[str, Part](), dict[str, Part]()
    for part in dict.fromkeys(parts):
        place = str(part.target).casefold()  # as Windows and macOS tell names apart
        if part.role and part.role in roles:
            raise _two_of_a_role(roles[part.role], part)
        if place in places and places[place].source != part.source:
            raise ModelError(
                f"{places[place].source} and {part.source} would both become {part.target} in the set: rename one of "
                "them, or name folders instead of files; nothing was imported."
            )
        places.setdefault(place, part)
        roles.update({part.role: part} if part.role else {})
    return list(places.values())


def _two_of_a_role(first: Part, second: Part) -> ModelError:
    title = "vision-language models" if first.role == VLM else f"{KINDS[first.role].title} checkpoints"
    return ModelError(
        f"{first.title} and {second.title} are two {title}: a set holds one, so name one of them; nothing was imported."
    )


def roles_in(parts: Iterable[Part]) -> set[str]:
    """Return the roles of checkpoints among the parts."""
    return {part.role for part in parts if part.role in KINDS}
