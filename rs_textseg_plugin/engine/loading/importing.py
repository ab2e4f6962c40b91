"""What ``models import`` does."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rs_textseg_plugin.contract.catalog import is_installed, load_catalog, models_home
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.kinds import KINDS, checkpoint_role, kinds_in_words
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import family_of, weight_files


def import_set(name: str, files: Sequence[Path]) -> Path:
    """Copy checkpoints into a set of that name; return its folder.

    Args:
        name: of the new set.
        files: checkpoints, and at most one folder with a Qwen-VL.

    Raises:
        ModelError: the name is taken or no plain word, or a file is no checkpoint that is known.
    """
    folder = models_home() / name
    if not name or Path(name).name != name or name in (".", ".."):
        raise ModelError(f"The set name {name!r} is no plain name: write one without slashes.")
    if folder.exists() or any(entry.id == name and is_installed(entry) for entry in load_catalog()):
        raise ModelError(f"There is a model set {name!r} already ({folder}): choose another name, or remove it first.")
    vlm = [file for file in files if file.is_dir()]
    _require_vlm(vlm)
    roles = _roles_of([file for file in files if file not in vlm])
    folder.mkdir(parents=True)
    for file, role in roles.items():
        shutil.copyfile(file, folder / file.name)
        _copy_beside(file, KINDS[role].files_beside, folder)
    for model_folder in vlm:
        _copy_files(model_folder, folder / VLM_FOLDER)
    return folder


def _require_vlm(folders: Sequence[Path]) -> None:
    for folder in folders:
        weight_files(folder, None)
        family_of(folder)
    if len(folders) > 1:
        raise ModelError(
            f"{folders[0]} and {folders[1]} are two vision-language models: a set holds one, so name one of them."
        )


def _roles_of(files: Sequence[Path]) -> dict[Path, str]:
    roles = {}
    for file in files:
        role = checkpoint_role(peek_keys_and_shapes(file))
        if role is None:
            raise ModelError(
                f"The file {file} is no checkpoint of a kind that is known ({kinds_in_words()}): nothing was imported."
            )
        roles[file] = role
    return roles


def _copy_files(source: Path, target: Path) -> None:
    """Copy the files of a folder, but not its folders."""
    target.mkdir()
    for file in filter(Path.is_file, source.iterdir()):
        shutil.copyfile(file, target / file.name)


def _copy_beside(weights: Path, names: Sequence[str], folder: Path) -> None:
    """Copy what belongs to weights in their folder: configuration, preprocessor and tokenizer."""
    for name in names:
        if weights.with_name(name).is_file():
            shutil.copyfile(weights.with_name(name), folder / name)
