"""Weights that are published in several files, with an index that says which name stands in which file."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

from rs_textseg_plugin.contract.errors import ModelError

INDEX_SUFFIX = ".index.json"  # after the name that the weights would have in one file
_MOST_INDEX_BYTES = 16_000_000
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.\w+$")


def is_index(path: Path) -> bool:
    """Whether a file is the index of weights in several files, by its name."""
    return path.name.lower().endswith(INDEX_SUFFIX)


def is_shard(path: Path) -> bool:
    """Whether a file is one of several with the weights of a model, by its name."""
    return bool(_SHARD.search(path.name))


def read_index(path: Path) -> dict[str, Path]:
    """Return the file that holds each weight, by the weight's name.

    Raises:
        ModelError: the index is missing or damaged, or a file that it lists is missing.
    """
    names = _weight_map(path)
    lacking = [name for name in sorted(set(names.values())) if not path.with_name(name).is_file()]
    if lacking:
        raise ModelError(f"There is no {lacking[0]} beside {path}, which lists it: fetch all files of the model.")
    return {key: path.with_name(name) for key, name in names.items()}


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that a checkpoint consists of: itself, and those that it lists where it is an index.

    Raises:
        ModelError: as `read_index`.
    """
    return (path, *sorted(set(read_index(path).values()))) if is_index(path) else (path,)


def _weight_map(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError("too large")
        names = {str(key): str(name) for key, name in dict(json.loads(path.read_text("utf-8"))["weight_map"]).items()}
    except FileNotFoundError as error:
        raise ModelError(f"There is no checkpoint {path}: fetch the model again, or correct the path.") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"The list of weights {path} is damaged: fetch it again.") from error
    if not names or any(PurePosixPath(name).name != name or "\\" in name or not name for name in names.values()):
        raise ModelError(f"The list of weights {path} names files outside its folder, or none: fetch it again.")
    return names
