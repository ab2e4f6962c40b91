"""Boxes and points in a file that people can see, move, delete and add to: GeoJSON in the raster's CRS.

One feature is a box (a polygon) or a point::

    {"kind": "box", "instance": 1, "words": "the white ship", "confidence": 0.8}
    {"kind": "inside" | "outside", "instance": 1}

A box is what bounds its polygon on the raster. Features of one ``instance`` describe one object together. A point
without a number belongs to the first box around it, or stands for an object of its own if it lies inside one.
Beside the features ``answered_by`` names the model and says how its numbers were read; nothing depends on it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError
from shapely.geometry import mapping, shape

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.grid import PixelGrid
from rs_textseg_plugin.engine.vlm.instance import Box, Instance, Point

_KINDS = ("box", "inside", "outside")


def write_clicks(
    path: Path, instances: Sequence[Instance], grid: PixelGrid, answered_by: Mapping[str, str] | None = None
) -> None:
    """Write instances, given in the pixels of a working grid.

    Args:
        path: of the file.
        instances: one each for a thing that was found.
        grid: the working grid.
        answered_by: who said where they are, and how its numbers were read: kept beside the features as it is.
    """
    features = [
        feature for number, instance in enumerate(instances, start=1) for feature in _features(number, instance, grid)
    ]
    collection = {
        "type": "FeatureCollection",
        **_crs_members(grid.crs_wkt),
        **({"answered_by": dict(answered_by)} if answered_by else {}),
        "features": [{"type": "Feature", **feature} for feature in features],
    }
    path.write_text(json.dumps(collection, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _features(number: int, instance: Instance, grid: PixelGrid) -> Iterator[dict[str, Any]]:
    if instance.box is not None:
        left, top, right, bottom = instance.box
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        ring = shapely.Polygon([grid.transform.to_map(*corner) for corner in corners])
        about = {"kind": "box", "instance": number, "words": instance.words, "confidence": instance.confidence}
        yield {"properties": about, "geometry": mapping(ring)}
    for kind, points in (("inside", instance.inside), ("outside", instance.outside)):
        for point in points:
            about = {"kind": kind, "instance": number, "words": instance.words, "confidence": instance.confidence}
            yield {"properties": about, "geometry": mapping(shapely.Point(grid.transform.to_map(*point)))}


def _crs_members(crs_wkt: str) -> dict[str, Any]:
    """Return the CRS as text, and by its number where it has one: GDAL reads the latter, GeoJSON knows neither."""
    if not crs_wkt:
        return {}
    authority = CRS.from_wkt(crs_wkt).to_authority()
    name = f"urn:ogc:def:crs:{authority[0]}::{authority[1]}" if authority else ""
    return {"crs_wkt": crs_wkt, **({"crs": {"type": "name", "properties": {"name": name}}} if name else {})}


@dataclass
class _Gathered:
    """What the features of one instance say."""

    words: str = ""
    box: Box | None = None
    confidence: float | None = None
    points: dict[str, list[Point]] = field(default_factory=lambda: {"inside": [], "outside": []})

    def instance(self) -> Instance:
        return Instance(
            self.words, self.box, tuple(self.points["inside"]), tuple(self.points["outside"]), self.confidence
        )


def read_clicks(path: Path, grid: PixelGrid) -> list[Instance]:
    """Read instances into the pixels of a working grid.

    Raises:
        QueryError: no such file, no GeoJSON, another CRS, or a feature that is none of the three kinds.
    """
    data = _load(path)
    _require_crs(path, data, grid.crs_wkt)
    numbered: dict[Any, _Gathered] = {}
    loose: list[tuple[str, Point]] = []
    for position, feature in enumerate(data["features"], start=1):
        _gather(path, position, feature, grid, numbered, loose)
    own = [_place_loose(kind, point, list(numbered.values())) for kind, point in loose]
    return [gathered.instance() for gathered in (*numbered.values(), *filter(None, own))]


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise QueryError(f"The clicks {str(path)!r} cannot be read ({error.strerror}): check the path.") from error
    except ValueError as error:
        raise QueryError(f"The clicks {str(path)!r} are no GeoJSON ({error}): give a file that a run wrote.") from error
    if not isinstance(data, dict) or not isinstance(data.get("features"), list):
        raise QueryError(f"The clicks {str(path)!r} are no GeoJSON feature collection: give a file that a run wrote.")
    return data


def _require_crs(path: Path, data: dict[str, Any], crs_wkt: str) -> None:
    written = data.get("crs_wkt", "")
    try:
        differs = bool(written and crs_wkt) and CRS.from_wkt(written) != CRS.from_wkt(crs_wkt)
    except (CRSError, TypeError) as error:
        raise QueryError(f"The CRS of the clicks {str(path)!r} cannot be read ({error}): write it as WKT.") from error
    if differs:
        raise QueryError(f"The clicks {str(path)!r} have another CRS than the raster: save them in the raster's CRS.")


def _gather(
    path: Path,
    position: int,
    feature: Any,
    grid: PixelGrid,
    numbered: dict[Any, _Gathered],
    loose: list[tuple[str, Point]],
) -> None:
    """Add a feature to the instance that it belongs to, or to the points that belong to none yet."""
    try:
        about, drawn = feature["properties"] or {}, shape(feature["geometry"])
        kind, number = about["kind"], about.get("instance")
        places = [grid.transform.to_pixel(x, y) for x, y in shapely.get_coordinates(drawn).tolist()]
        finite = all(math.isfinite(value) for place in places for value in place)
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise QueryError(f"Feature {position} of the clicks {str(path)!r} is not understood ({error!r}).") from error
    if kind not in _KINDS or not places or not finite:
        raise QueryError(
            f"Feature {position} of the clicks {str(path)!r} is not understood: its kind is {kind!r}, and it has "
            f"{len(places)} places; write a box, or a point inside or outside."
        )
    if kind != "box" and number is None:
        loose += [(kind, place) for place in places]
        return
    gathered = numbered.setdefault(("box", position) if number is None else number, _Gathered())
    gathered.words = gathered.words or str(about.get("words") or "")
    gathered.confidence = _confidence(about.get("confidence")) if gathered.confidence is None else gathered.confidence
    if kind == "box":
        gathered.box = _bounds(places)
    else:
        gathered.points[kind] += places


def _bounds(places: Iterable[Point]) -> Box:
    columns, rows = zip(*places)
    return min(columns), min(rows), max(columns), max(rows)


def _confidence(value: Any) -> float | None:
    is_share = isinstance(value, (int, float)) and 0 <= value <= 1
    return float(value) if is_share else None


def _place_loose(kind: str, point: Point, instances: Sequence[_Gathered]) -> _Gathered | None:
    """Give a point without a number to the box around it; return what is an object of its own."""
    for gathered in instances:
        if (
            gathered.box is not None
            and gathered.box[0] <= point[0] <= gathered.box[2]
            and gathered.box[1] <= point[1] <= gathered.box[3]
        ):
            gathered.points[kind].append(point)
            return None
    alone = _Gathered()
    alone.points[kind].append(point)
    return alone if kind == "inside" else None
