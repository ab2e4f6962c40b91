"""The files that a raster consists of: its sidecars, and the sources of a VRT; and what changes when one does."""

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


def files_of_raster(path: str) -> set[Path]:
    """Return the files on disk that a raster is read from, as far as they are known.

    Args:
        path: as GDAL takes it: a file, one of the rasters in it, a VRT's text, a path into an archive.
    """
    found = {file for file in (_on_disk(piece) for piece in _pieces(path)) if file is not None}
    for file in tuple(found):
        found |= _listed_files(str(file), 0)
    return found | _listed_files(path, 0)


def _pieces(path: str) -> Iterator[str]:
    """Split what may be a spelling like ``NETCDF:"/a.nc":band`` into what may be paths."""
    yield path
    for piece in re.split(r'["?,|<>!]', path):
        for start in (0, *(found.end() for found in re.finditer(":(?://)?", piece))):
            yield piece[start:]
            yield piece[start:].rsplit(":", 1)[0]


def _listed_files(path: str, depth: int) -> set[Path]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, sharing=False) as dataset:
                listed = {file for file in map(_on_disk, dataset.files) if file is not None}
                sources = list(_sources(dataset)) if dataset.driver == "VRT" else []
    except (RasterioError, ValueError):
        return set()  # opening it for the run will say why
    for source in sources:
        file = _on_disk(str(source))
        if file is not None:
            listed.add(file)
        if depth < _DEEPEST and source != Path(path):
            listed |= _listed_files(str(source), depth + 1)
    return listed


def _on_disk(path: str) -> Path | None:
    """Return the file that holds a path of GDAL's: itself, or the archive that it lies in; None: none is known."""
    plain = re.sub(r"^(/vsi[a-z0-9_]+/)+", "", path)
    plain = re.sub(r"^\d+_\d+,", "", plain).replace("{", "").replace("}", "")  # a part of a file; archives in braces
    if "\0" in plain:
        return None
    here = Path(plain)
    for candidate in (here, *here.parents):
        try:
            if candidate.is_file():
                return candidate
        except OSError:  # too long for a name: text of a VRT
            return None
    return None


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
