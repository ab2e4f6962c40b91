"""What changes when one of the files that a raster consists of does: its sidecars, and the sources of a VRT."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

FileState = tuple[tuple[str, int, int], ...]  # path, size in bytes, time of the last change in nanoseconds

# Formats whose pixels lie in the files that GDAL lists. Of others (services, databases, folders) nobody can tell.
_IN_LISTED_FILES = {
    "AAIGrid", "BMP", "COG", "ENVI", "ERS", "GIF", "GPKG", "GTiff", "HDF4", "HDF5", "HFA", "JP2ECW", "JP2KAK",
    "JP2OpenJPEG", "JPEG", "MBTiles", "MrSID", "NITF", "PCIDSK", "PNG", "RMF", "SAGA", "VRT", "WEBP", "netCDF",
}  # fmt: skip
_SOURCE = re.compile(r"<Source(?:Filename|Dataset)\b([^>]*)>([^<]*)<")
_DEEPEST = 8  # of VRTs in VRTs; a VRT that names itself must come to an end


def state_of_files(dataset: DatasetReader, depth: int = 0) -> FileState | None:
    """Return size and time of every file that is read for a raster, sorted; None where that cannot be known.

    Args:
        dataset: the open raster.
        depth: how many VRTs lie around it.
    """
    if dataset.driver not in _IN_LISTED_FILES or depth > _DEEPEST or not dataset.files:
        return None
    sources = list(_sources(dataset)) if dataset.driver == "VRT" else []
    states: set[tuple[str, int, int]] = set()
    for path in {*map(Path, dataset.files), *sources}:
        inner = _state_of_source(path, depth) if path in sources else _state_of_file(path)
        if inner is None:
            return None
        states.update(inner)
    return tuple(sorted(states))


def changed_since(state: FileState) -> list[str]:
    """Return the paths of files that are no longer as they were, sorted."""
    return [path for path, size, time_ns in state if _state_of_file(Path(path)) != ((path, size, time_ns),)]


def _sources(dataset: DatasetReader) -> Iterator[Path]:
    folder = Path(dataset.name).parent
    for attributes, name in _SOURCE.findall(dataset.tags(ns="xml:VRT").get("xml:VRT", "")):
        is_relative = 'relativeToVRT="1"' in attributes
        yield folder / html.unescape(name) if is_relative else Path(html.unescape(name))


def _state_of_source(path: Path, depth: int) -> FileState | None:
    if not path.is_file() or not _is_vrt(path):
        return _state_of_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path) as inner:
                return state_of_files(inner, depth + 1)
    except RasterioError:
        return None


def _is_vrt(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"<VRTDataset")


def _state_of_file(path: Path) -> FileState | None:
    if not path.is_file():
        return None  # in memory, in an archive, on a server, a folder, or gone
    status = path.stat()
    return ((str(path.resolve()), status.st_size, status.st_mtime_ns),)
