"""Small JSON files beside weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rs_textseg_plugin.contract.errors import ModelError

_MOST_BYTES = 1_000_000  # published ones have some kilobytes


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file holds; empty where there is none.

    Raises:
        ModelError: it is damaged, or holds no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES / 1e6:g} MB")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("no JSON object")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"The file {path} is not understood ({error}): correct it, or fetch it again.") from error
    return content
