"""What an environment was made from; tells one that is stale after an update of the plugin or of the system."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rs_textseg_plugin.runtime.environment import interpreter_in

MARKER = "rs_textseg_engine.json"


@dataclass(frozen=True)
class Marker:
    """What an environment was made from.

    Attributes:
        lock: digest of the lock.
        python: version of its Python, such as ``3.11``.
        processor: as in `Machine`.
        base: program of the Python that it was made from.
        torch: build of torch, such as ``2.13.0+cpu``.
        device: what the self-test computed on, in words.
    """

    lock: str
    python: str
    processor: str
    base: str
    torch: str
    device: str = ""

    def write(self, environment: Path) -> None:
        """Write it into an environment."""
        (environment / MARKER).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def read_marker(environment: Path) -> Marker | None:
    """Return an environment's marker; None: there is none, or it cannot be read."""
    try:
        told: Mapping[str, str] = json.loads((environment / MARKER).read_text(encoding="utf-8"))
        return Marker(**told)
    except (OSError, ValueError, TypeError):
        return None


def why_stale(environment: Path, lock: str, processor: str) -> str:
    """Return in words why an environment has to be made anew; empty: it fits, or the user made it by hand.

    Args:
        environment: its folder.
        lock: digest of the lock of this plugin.
        processor: of this computer.
    """
    marker = read_marker(environment)
    if marker is None:
        return ""
    if not interpreter_in(environment).exists() or not Path(marker.base).exists():
        return f"The Python that the engine was made from is gone ({marker.base})."
    if marker.processor != processor:
        return f"The engine was made for another processor ({marker.processor}, this is {processor})."
    return "" if marker.lock == lock else "The engine was made for another version of the plugin."
