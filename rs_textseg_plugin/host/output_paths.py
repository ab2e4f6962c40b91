"""Where results go when the user names no place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QStandardPaths

from rs_textseg_plugin.contract.errors import OutputError

_LONGEST_SLUG = 40

# The rasters of an `Output` by name, and how their files end.
RASTER_SUFFIXES = {
    "label_raster": "_labels.tif",
    "score_raster": "_scores.tif",
    "class_scores": "_class_scores.tif",
}


def default_output_path(project: QgsProject, text: str, now: datetime) -> Path:
    """Return ``<folder>/rs_textseg/<time>_<slug>.gpkg``, a file that does not exist yet.

    The folder is the project's, or the user's documents where the project is not saved.
    """
    saved_in = str(project.absolutePath())
    documents = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
    folder = Path(saved_in or documents or Path.home()) / "rs_textseg"
    stem = f"{now:%Y%m%d-%H%M%S}_{slug(text)}"
    path, number = folder / f"{stem}.gpkg", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.gpkg", number + 1
    return path


def paths_beside(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the paths of rasters that lie beside the polygons of an `Output`, by name."""
    return {name: str(path.with_name(path.stem + RASTER_SUFFIXES[name])) for name in names}


def clicks_path_beside(path: Path) -> str:
    """Return the path of the file with boxes and points, which lies beside the polygons."""
    return str(path.with_name(f"{path.stem}_clicks.geojson"))


def make_folder_for(path: Path) -> None:
    """Make the folder that a file will lie in.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {str(path.parent)!r} for the result cannot be made ({error.strerror}): "
            "save the project in a folder that you can write to."
        ) from error


def slug(text: str) -> str:
    """Return the first words of a text with ASCII letters, digits and hyphens only."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return words[:_LONGEST_SLUG].strip("-") or "query"
