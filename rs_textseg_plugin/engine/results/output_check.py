"""What may be written where, found out before the work."""

from __future__ import annotations

import errno
import os
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path

import pyogrio

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.contract.request import Output
from rs_textseg_plugin.engine.raster.file_state import files_of_raster
from rs_textseg_plugin.engine.results.placement import part_paths
from rs_textseg_plugin.engine.results.vector_file import DRIVERS, LAYER, SHAPEFILE_SUFFIXES

_PROBE = ".rs_textseg_"  # a hidden file, there for an instant


def check_output(output: Output, raster: str = "", others: Iterable[str] = ()) -> None:
    """Find out before the work whether the results can be written.

    Args:
        output: where they should go.
        raster: the raster that is segmented; none of its files may be replaced.
        others: files and folders that are read too: clicks, models.

    Raises:
        OutputError: unknown suffix, missing or read-only folder, a name that is too long, a file that is needed twice
            or cannot be replaced, or a GeoPackage that holds other layers.
    """
    path = Path(output.path)
    _check_suffixes(output)
    targets = [Path(name) for name in astuple(output) if name]
    if len({os.path.realpath(target) for target in targets}) < len(targets):
        raise OutputError(f"Two outputs have the same name: {', '.join(map(str, targets))}. Give each its own.")
    inputs = files_of_raster(raster) if raster else set[Path]()
    read = [Path(name) for name in others if "\0" not in name]
    for target in targets:
        if raster and os.path.realpath(target) == os.path.realpath(raster):
            raise OutputError(f"The output {target} is the raster that is segmented: give it another name.")
        for place in sorted(output_paths(target)):
            _check_name(target, place)
            _check_not_read(target, place, inputs)
            _check_not_among(target, place, read)
            _check_place(target, place)
    _check_other_layers(path)


def output_paths(target: Path) -> set[Path]:
    """Return where the files of an output lie, links followed: several for a Shapefile."""
    suffixes = (target.suffix, *SHAPEFILE_SUFFIXES) if target.suffix.lower() == ".shp" else (target.suffix,)
    return {place for suffix in suffixes for place in part_paths(target, suffix)}


def _check_suffixes(output: Output) -> None:
    path = Path(output.path)
    if path.suffix.lower() not in DRIVERS:
        raise OutputError(f"The output {path} has an unknown suffix: use one of {', '.join(DRIVERS)}.")
    for name in filter(None, (output.label_raster, output.score_raster, output.class_scores)):
        if Path(name).suffix.lower() not in (".tif", ".tiff"):
            raise OutputError(f"The output raster {name} is a GeoTIFF: give it the suffix .tif.")
    if output.map_picture and Path(output.map_picture).suffix.lower() != ".png":
        raise OutputError(f"The map picture {output.map_picture} is a PNG: give it the suffix .png.")
    if output.clicks and Path(output.clicks).suffix.lower() not in (".geojson", ".json"):
        raise OutputError(f"The clicks {output.clicks} are GeoJSON: give the file the suffix .geojson.")


def _check_not_read(target: Path, place: Path, inputs: Iterable[Path]) -> None:
    """Refuse a file that the raster consists of, however it is spelled: a source of a VRT, a sidecar, a hard link."""
    for file in inputs:
        if _is_same(place, file):
            raise OutputError(
                f"The output {target} would replace {file}, which the raster is read from: give it another name."
            )


def _check_not_among(target: Path, place: Path, read: Iterable[Path]) -> None:
    """Refuse a file that is read, or the configuration in a folder of models."""
    for name in read:
        is_configuration = place.suffix.lower() == ".json" and place.exists() and name.resolve() in place.parents
        if is_configuration or _is_same(place, name):
            raise OutputError(f"The output {target} would replace a file that is read ({name}): give it another name.")


def _is_same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except (OSError, ValueError):  # one of them is not there, or is no name
        return False


def _check_place(target: Path, place: Path) -> None:
    folder = place.parent
    if place.is_symlink():
        raise OutputError(f"The output {target} is a link that leads back to itself: name another file.")
    if place.is_dir():
        raise OutputError(f"The output {target} is a folder: name a file in it.")
    if not folder.is_dir():
        raise OutputError(f"The output folder {folder} does not exist: create it, or choose another one.")
    _check_folder(folder, place)
    if place.exists():
        _check_replaceable(target, place)


def _check_name(target: Path, place: Path) -> None:
    try:
        os.lstat(place)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OutputError(f"The output {target} has too long a name: choose a shorter one.") from error


def _check_folder(folder: Path, place: Path) -> None:
    """Write a file whose name is as long as the output's.

    Asking the system is not enough: network drives and containers answer wrongly, and some folders encrypt names.
    """
    length = max(len(os.fsencode(place.name)), len(_PROBE) + 32)
    probe = folder / f"{_PROBE}{uuid.uuid4().hex}".ljust(length, "x")
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OutputError(
                f"The output {place} has too long a name for its folder: choose a shorter one."
            ) from error
        raise OutputError(
            f"The output folder {folder} cannot be written ({error.strerror}): choose another one."
        ) from error


def _check_replaceable(target: Path, place: Path) -> None:
    """Find out whether the system would let another file take a file's name."""
    status, folder = place.stat(), place.parent.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(f"The output {target} is no ordinary file (a device, a pipe): name another one.")
    for reason in _reasons_to_keep(place, status, folder):
        raise OutputError(
            f"The output {target} exists and cannot be replaced ({reason}): close other programs that use it, make it "
            "writable, or choose another name."
        )


def _reasons_to_keep(place: Path, status: os.stat_result, folder: os.stat_result) -> Iterator[str]:
    if sys.platform == "win32":
        try:
            place.rename(place)  # refused while another program has it open
            place.open("r+b").close()
        except OSError as error:
            yield error.strerror or str(error)
        return
    if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, status.st_uid, folder.st_uid):
        yield "it belongs to another user"
    try:
        place.open("r+b").close()
    except OSError as error:
        if error.errno != errno.EACCES:  # a file without the right to write can be replaced all the same
            yield error.strerror or str(error)


def _check_other_layers(path: Path) -> None:
    if path.suffix.lower() != ".gpkg" or not path.exists():
        return
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
    except pyogrio.errors.DataSourceError:
        layers = ["unreadable content"]
    others = [name for name in layers if name != LAYER]
    if others:
        raise OutputError(
            f"The GeoPackage {path} exists and holds something else ({', '.join(others[:3])}), which would be lost: "
            "choose another name."
        )
