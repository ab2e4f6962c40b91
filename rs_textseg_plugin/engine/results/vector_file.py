"""Vector files with attributes and provenance.

Everything is written beside its target under a temporary name and moved there at the end, so a failed or cancelled
run leaves an earlier result as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

from rs_textseg_plugin.contract.query import ClassSpec
from rs_textseg_plugin.engine.disk.checked_geotiff import without_a_place_is_fine
from rs_textseg_plugin.engine.disk.full_disk import not_whole, written_whole
from rs_textseg_plugin.engine.results.placement import Placement
from rs_textseg_plugin.engine.results.polygons import Features

LAYER = "segments"
PROVENANCE_KEY = "RS_TEXTSEG_PROVENANCE"
DRIVERS = {
    ".gpkg": "GPKG",
    ".shp": "ESRI Shapefile",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".fgb": "FlatGeobuf",
}
FIELDS = ("class", "score", "runner_up", "runner_up_score", "margin", "area_m2", "pipeline", "query")
# Shapefiles know field names of at most 10 characters; all others stay as they are.
SHAPEFILE_NAMES = {"runner_up_score": "run_score"}
_SHAPEFILE_PARTS = (".shx", ".dbf", ".prj", ".cpg")  # beside the .shp itself
_SHAPEFILE_INDEXES = (".qix", ".sbn", ".sbx")  # that other programs made of an earlier result
SHAPEFILE_SUFFIXES = (*_SHAPEFILE_PARTS, *_SHAPEFILE_INDEXES)
_SQLITE_JOURNALS = ("-wal", "-shm", "-journal")  # beside a GeoPackage, behind its name
_TEXT_LIMIT_BYTES = 254  # of a text in a Shapefile


def format_notes(path: str, crs_wkt: str, query: str) -> list[str]:
    """Return notes for the user on a format, a CRS (empty: none) and the query's text."""
    driver = DRIVERS[Path(path).suffix.lower()]
    if driver == "GeoJSON" and not crs_wkt:
        return [
            "GeoJSON means longitude and latitude, and the raster has no coordinate reference system: its coordinates "
            f"are written as they are, and other programs will show {Path(path).name} in the wrong place. "
            "Write .gpkg or .shp, or give the raster its CRS."
        ]
    if driver == "ESRI Shapefile" and len(query.encode()) > _TEXT_LIMIT_BYTES:
        return [
            f"A Shapefile holds {_TEXT_LIMIT_BYTES} bytes of the query's {len(query.encode())}: the rest is cut off."
        ]
    return []


class VectorFile:
    """A vector file that grows block by block.

    Args:
        path: the target; its suffix decides the format.
        scratch: an existing folder for the growing GeoPackage.
        crs_wkt: CRS of the features; empty: none.
        classes: names by label-raster value minus one.
        constants: values of the fields ``pipeline`` and ``query``.
        provenance: JSON text stored as layer metadata in GeoPackages.
        remark_field: name of one more field, at most 10 characters, for the features' remarks; empty: there is none.

    Attributes:
        spool: the growing GeoPackage.
    """

    def __init__(
        self,
        path: Path,
        scratch: Path,
        crs_wkt: str,
        classes: tuple[ClassSpec, ...],
        constants: Mapping[str, str],
        provenance: str,
        remark_field: str = "",
    ) -> None:
        self._path = path
        self.spool = scratch / "segments.gpkg"
        self._crs = crs_wkt or None
        self._classes = np.array([spec.name for spec in classes], dtype=object)
        self._constants = constants
        self._provenance = provenance
        self._remark_field = remark_field
        self._fields = (*FIELDS, remark_field) if remark_field else FIELDS
        self._text_limit = _TEXT_LIMIT_BYTES if DRIVERS[path.suffix.lower()] == "ESRI Shapefile" else None
        self._cut_remarks = 0
        self._count = 0
        self._append(_no_features())

    def add(self, features: Features) -> None:
        """Append features."""
        if len(features.labels):
            self._append(features)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the features that were added, in words."""
        if not self._cut_remarks:
            return []
        return [
            f"A Shapefile holds {_TEXT_LIMIT_BYTES} bytes of a text: the rest of the field {self._remark_field} "
            f"is cut off (number of polygons with a longer text: {self._cut_remarks})."
        ]

    def _append(self, features: Features) -> None:
        exists = self.spool.exists()
        # Version 1.2: what GDAL writes today is newer than what the QGIS of two years ago can read without a warning.
        creation = {"layer_metadata": {PROVENANCE_KEY: self._provenance}, "VERSION": "1.2"}
        polygons = [shapely.MultiPolygon([p]) if p.geom_type == "Polygon" else p for p in features.polygons]
        with written_whole(self.spool), without_a_place_is_fine():
            pyogrio.raw.write(
                self.spool,
                geometry=shapely.to_wkb(np.array(polygons, dtype=object)),
                field_data=self._columns(features),
                fields=np.array(self._fields, dtype=object),
                layer=LAYER,
                driver="GPKG",
                geometry_type="MultiPolygon",
                crs=self._crs,
                append=exists,
                **({} if exists else creation),
            )
        self._count += len(polygons)

    def _columns(self, features: Features) -> list[NDArray[Any]]:
        count = len(features.labels)
        scores = features.scores.astype(np.float64)
        seconds = features.runner_up_scores.astype(np.float64)
        return [
            self._classes[features.labels.astype(np.int64) - 1] if count else np.empty(0, object),
            scores.round(4),
            features.runners_up,
            seconds.round(4),
            (scores - seconds).round(4),
            features.areas_m2.round(3),
            np.full(count, self._constants["pipeline"], dtype=object),
            np.full(count, self._constants["query"], dtype=object),
            *([self._remarks(features)] if self._remark_field else []),
        ]

    def _remarks(self, features: Features) -> NDArray[np.object_]:
        remarks = np.full(len(features.labels), "", object) if features.remarks is None else features.remarks
        if self._text_limit is None:
            return remarks
        kept = [_cut(text, self._text_limit) for text in remarks]
        self._cut_remarks += sum(short != text for short, text in zip(kept, remarks))
        return np.array(kept, dtype=object)

    def check(self) -> None:
        """Read the growing GeoPackage again.

        Raises:
            EngineError: it is not whole.
        """
        _check_layer(self.spool, self._count)
        info = pyogrio.read_info(self.spool, layer=LAYER)
        if PROVENANCE_KEY not in (info["layer_metadata"] or {}) or not info["capabilities"]["fast_spatial_filter"]:
            raise not_whole(self.spool, "its provenance or its spatial index is missing")

    def finish(self, placement: Placement) -> None:
        """Convert where needed, read what was written again, and hand over for the target.

        Raises:
            EngineError: it is not whole.
            OutputError: the target's folder has no room.
        """
        self.check()
        driver = DRIVERS[self._path.suffix.lower()]
        if driver == "GPKG":
            # Another program may hold the earlier file with changes that are not yet in it.
            journals = [self._path.suffix + ending for ending in _SQLITE_JOURNALS]
            placement.put(self.spool, self._path, stale=journals)
        elif driver == "ESRI Shapefile":
            self._hand_over_shapefile(
                placement, self._converted(self.spool.with_suffix(".shp"), driver, {"encoding": "UTF-8"})
            )
        else:
            # RFC 7946: GeoJSON is in longitude and latitude; the driver does the transformation.
            options = {"RFC7946": "YES"} if driver == "GeoJSON" and self._crs else {}
            placement.put(self._converted(self.spool.with_suffix(self._path.suffix), driver, options), self._path)

    def _hand_over_shapefile(self, placement: Placement, made: Path) -> None:
        """Hand over all parts, and drop those of an earlier result that would now be wrong: a CRS, an index."""
        parts = {suffix: made.with_suffix(suffix) for suffix in _SHAPEFILE_PARTS if made.with_suffix(suffix).exists()}
        stale = [suffix for suffix in SHAPEFILE_SUFFIXES if suffix not in parts]
        placement.put(made, self._path, parts, stale)

    def _converted(self, target: Path, driver: str, options: dict[str, str]) -> Path:
        """Stream the GeoPackage into another format; memory stays that of one batch."""
        names = SHAPEFILE_NAMES if driver == "ESRI Shapefile" else {}
        columns = ", ".join(f'"{name}" AS "{names.get(name, name)}"' for name in self._fields)
        if driver == "ESRI Shapefile":
            shown = _cut(self._constants["query"], _TEXT_LIMIT_BYTES)
            columns = columns.replace('"query" AS', f'substr("query", 1, {len(shown)}) AS')
        # The table's name is a constant of this module, the columns too.
        query = " ".join(["SELECT geom,", columns, "FROM", LAYER])
        opened = pyogrio.open_arrow(self.spool, sql=query, sql_dialect="SQLITE", use_pyarrow=False)
        with written_whole(target), without_a_place_is_fine(), opened as (meta, stream):
            pyogrio.write_arrow(
                stream,
                target,
                layer=target.stem,
                driver=driver,
                geometry_name=meta["geometry_name"] or "geom",
                geometry_type="MultiPolygon",
                crs=self._crs,
                **options,
            )
        _check_layer(target, self._count)
        return target


def _check_layer(path: Path, count: int) -> None:
    """Read the one layer of a closed file again, and see whether it has so many features."""
    with written_whole(path), without_a_place_is_fine():
        if pyogrio.read_info(path, force_feature_count=True)["features"] != count:
            raise not_whole(path, f"it does not hold {count} polygons")
        if count == 0:
            return
        fids, bounds = pyogrio.read_bounds(path)
        fields = pyogrio.raw.read(path, columns=["area_m2"], read_geometry=False)[3]
    areas = fields[0] if fields else np.empty(0)  # a Shapefile's table may end before its fields
    if len(fids) != count or np.isnan(bounds).any() or len(areas) != count or np.isnan(areas).any():
        raise not_whole(path, f"not all of {count} polygons can be read")


def _cut(text: str, limit_bytes: int) -> str:
    """Return as much of a text as fits, cut between two letters."""
    return text.encode()[:limit_bytes].decode(errors="ignore")


def _no_features() -> Features:
    empty, scores = np.empty(0), np.empty(0, np.float32)
    return Features(np.empty(0, object), empty.astype(np.uint8), scores, np.empty(0, object), scores, empty)
