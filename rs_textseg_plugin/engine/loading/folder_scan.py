"""Which checkpoints a folder holds, where nothing lists them: folders and repositories as people have them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from rs_textseg_plugin.contract.catalog import ModelFile
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.engine.models.archives.shards import files_of, is_index, is_shard
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.kinds import KINDS, checkpoint_role, kinds_in_words

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
# A repository often has one model several times. The first file of a row that is there stands for the row, and where
# both rows are of one kind, the first row stands for both. Safetensors come first, since they can hold no code.
_SAME_MODEL = (
    ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"),
    (
        "model.safetensors", "model.safetensors.index.json", "pytorch_model.safetensors", "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ),
)  # fmt: skip
_GENERIC = frozenset(name for row in _SAME_MODEL for name in row)
# What a training leaves beside its weights.
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.bin", "scheduler.pt", "rng_state.pth")


def is_generic(path: Path) -> bool:
    """Whether a file has a name that every model on Hugging Face has, so that its folder's name tells the model."""
    return path.name in _GENERIC


def names_beside(path: Path, role: str) -> tuple[str, ...]:
    """Return the names of files that may belong to a checkpoint; of a published folder all that such folders have."""
    if is_generic(path):
        return tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.files_beside))
    return KINDS[role].files_beside if role in KINDS else ()


def scan_folder(folder: Path, known: Collection[str] = ()) -> tuple[ModelFile, ...]:
    """Return the checkpoints in a folder, and in folders inside it that hold one model as it is published.

    Args:
        folder: to look into.
        known: names of files that are passed over.

    Returns:
        Entries whose role is told from the weights.

    Raises:
        ModelError: a file is damaged, or no checkpoint of a kind that is known.
    """
    return (*scan_flat(folder, known), *_models_below(folder))


def scan_flat(folder: Path, known: Collection[str] = (), takes_foreign: bool = False) -> tuple[ModelFile, ...]:
    """Return the checkpoints that lie directly in a folder; see `scan_folder`.

    Args:
        folder: to look into.
        known: names of files that are passed over.
        takes_foreign: whether files of no kind that is known are passed over instead of refused.
    """
    roles = {path: _role_of(path) for path in _checkpoints_in(folder) if path.name not in known}
    has_generic = any(role and is_generic(path) for path, role in roles.items())
    for path, role in roles.items():
        # Another program's form of the same model may lie beside the one that is known.
        if role is None and not takes_foreign and not (has_generic and is_generic(path)):
            raise ModelError(
                f"The file {path} is no checkpoint of a kind that is known ({kinds_in_words()}): take it out of "
                "the folder, or list the files to use in models.json."
            )
    doubled = _of_the_later_row(roles)
    return tuple(ModelFile(role, path.name) for path, role in roles.items() if role and path not in doubled)


def _role_of(path: Path) -> str | None:
    if is_shard(path):
        raise ModelError(
            f"The file {path} is a part of a model, and no index beside it lists it: put the model's .index.json there."
        )
    return checkpoint_role(peek_keys_and_shapes(path))


def _checkpoints_in(folder: Path) -> list[Path]:
    """Return the files that may be checkpoints, each model once as far as names tell."""
    files = [path for path in sorted(folder.iterdir()) if _may_be_weights(path)]
    names = {path.name for path in files}
    passed_over = {name for row in _SAME_MODEL for name in [name for name in row if name in names][1:]}
    kept = [path for path in files if path.name not in passed_over]
    # Shards belong to an index, also to one that is passed over.
    listed = {shard for path in files if is_index(path) for shard in _shards_that_are_there(path, path in kept)}
    return [path for path in kept if path not in listed]


def _may_be_weights(path: Path) -> bool:
    is_named_so = path.suffix.lower() in SUFFIXES or path.name in _GENERIC
    return is_named_so and path.name not in _NO_WEIGHTS and path.is_file()


def _shards_that_are_there(index: Path, is_needed: bool) -> tuple[Path, ...]:
    try:
        return files_of(index)[1:]
    except ModelError:
        if is_needed:
            raise
        return tuple(path for path in index.parent.iterdir() if is_shard(path))


def _of_the_later_row(roles: dict[Path, str | None]) -> set[Path]:
    """Return the files that hold in transformers' layout the model that another file holds in open_clip's."""
    first, later = ({path: role for path, role in roles.items() if role and path.name in row} for row in _SAME_MODEL)
    return {path for path, role in later.items() if role in first.values()}


def _models_below(folder: Path) -> Iterator[ModelFile]:
    """Yield models that lie in folders of their own, as they are published; other folders are passed over."""
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and not inner.name.startswith(".") and inner.name != VLM_FOLDER and holds_a_model(inner):
            yield from (
                ModelFile(file.role, f"{inner.name}/{file.name}") for file in scan_flat(inner, takes_foreign=True)
            )


def holds_a_model(folder: Path) -> bool:
    """Whether a folder looks like a published model: weights, and beside them a file that belongs to such."""
    names = {path.name for path in folder.iterdir()}
    belongs = {name for kind in KINDS.values() for name in kind.files_beside}
    return bool(names & belongs) and any(_may_be_weights(path) for path in folder.iterdir())
