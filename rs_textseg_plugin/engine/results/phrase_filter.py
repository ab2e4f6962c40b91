"""Which of the objects that were found a phrase refers to: exact geometry, after the whole scene was segmented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import PixelGrid
from rs_textseg_plugin.contract.query import Query
from rs_textseg_plugin.contract.text.phrase import SUPERLATIVES, Described, ParsedPhrase, Relation, read_phrase
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.raster.ground_resolution import pixel_metres
from rs_textseg_plugin.engine.results.polygons import Polygonizer

_INSIDE_SHARE = 0.5  # more of an object's area than this has to lie within an outline
# Where a superlative looks in the local frame: x is east and y is north.
_DIRECTIONS = {"northernmost": (1, 1), "southernmost": (1, -1), "easternmost": (0, 1), "westernmost": (0, -1)}


@dataclass(frozen=True)
class SceneObjects:
    """Objects of a scene.

    Attributes:
        shapes: ``(n,)`` shapely polygons in a local frame in metres, x to the east and y to the north.
        names: ``(n,)`` casefolded names of their classes.
        areas_m2: ``(n,)`` on the ground.
    """

    shapes: NDArray[Any]
    names: NDArray[Any]
    areas_m2: NDArray[np.float64]

    def called(self, described: Described) -> NDArray[np.int64]:
        """Return the numbers ``(n,)`` int64 of all objects with that name, whatever the superlative."""
        return np.flatnonzero(self.names == described.name.casefold())


def apply_phrase(query: Query, polygonizer: Polygonizer, grid: PixelGrid, control: RunControl) -> list[str]:
    """Leave only those objects in the result that the query's phrase refers to; a class list leaves all.

    Traces the scene once more than it is written, and holds all its polygons at a time.

    Args:
        query: with a phrase that `parse_referring_expression` read, or with none.
        polygonizer: of the scene, before its blocks are written.
        grid: the working grid.
        control: is asked before each block.

    Returns:
        How the phrase was read, in words.
    """
    if not (query.phrase and query.classes):
        return []
    parsed = read_phrase(query.phrase)
    rows, objects = _collect(query, polygonizer, grid, control)
    chosen = choose(parsed, objects)
    polygonizer.keep_only(rows[chosen])
    return [*_notes(parsed, objects, len(chosen))]


def choose(parsed: ParsedPhrase, objects: SceneObjects) -> NDArray[np.int64]:
    """Return the numbers ``(n,)`` int64 of the objects that a phrase refers to."""
    left = objects.called(parsed.target)
    for relation in parsed.relations:
        others = superlative(objects, objects.called(relation.others), relation.others)
        left = left[_holds(relation, objects, left, others) != relation.negated]
    return superlative(objects, left, parsed.target)


def superlative(objects: SceneObjects, numbers: NDArray[np.int64], described: Described) -> NDArray[np.int64]:
    """Return those of some objects ``(n,)`` int64 that a superlative picks; all where there is none.

    Of equals the first counts.
    """
    if not described.superlative:
        return numbers
    if described.superlative in _DIRECTIONS:
        axis, sign = _DIRECTIONS[described.superlative]
        values = sign * shapely.get_coordinates(shapely.centroid(objects.shapes[numbers]))[:, axis]
    else:
        values = objects.areas_m2[numbers] * (1 if described.superlative == "largest" else -1)
    best_first = np.argsort(-values, kind="stable")
    return numbers[best_first[: described.count]]


def _holds(
    relation: Relation, objects: SceneObjects, numbers: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each object lies within the distance of another one, or inside one; never of or in itself."""
    tree = shapely.STRtree(_outlines(objects.shapes[others]) if relation.kind == "inside" else objects.shapes[others])
    shapes, holds = objects.shapes[numbers], np.zeros(len(numbers), bool)
    if relation.kind == "within":
        mine, theirs = tree.query(shapes, predicate="dwithin", distance=relation.distance_m)
        holds[mine[numbers[mine] != others[theirs]]] = True
        return holds
    mine, theirs = tree.query(shapes, predicate="intersects")
    for number in np.unique(mine):
        around = theirs[(mine == number) & (others[theirs] != numbers[number])]
        common = shapely.intersection(shapes[number], shapely.union_all(tree.geometries[around]))
        holds[number] = shapely.area(common) > _INSIDE_SHARE * shapely.area(shapes[number])
    return holds


def _outlines(shapes: NDArray[Any]) -> NDArray[Any]:
    """Return the outlines of shapes without their holes: a house in a park, a hole on a label map, is inside."""
    parts = ([shapely.Polygon(part.exterior) for part in shapely.get_parts(shape)] for shape in shapes)
    return np.array([shapely.union_all(some) for some in parts], dtype=object)


def _collect(
    query: Query, polygonizer: Polygonizer, grid: PixelGrid, control: RunControl
) -> tuple[NDArray[np.int64], SceneObjects]:
    """Return each object's row in the table of components, and the objects."""
    names = np.array(["", *(spec.name.casefold() for spec in query.positives)], dtype=object)
    rows, shapes, labels, areas = [], [], [], []
    for window in polygonizer.blocks():
        control.check()
        block = polygonizer.block(window)
        rows.append(block.rows)
        shapes.append(block.features.polygons)
        labels.append(block.features.labels)
        areas.append(block.features.areas_m2)
    placed = _in_metres(np.concatenate(shapes), grid)
    return np.concatenate(rows), SceneObjects(placed, names[np.concatenate(labels)], np.concatenate(areas))


def _in_metres(polygons: NDArray[Any], grid: PixelGrid) -> NDArray[Any]:
    """Return polygons in metres to the east and north; exact at the grid's centre."""
    east_north = pixel_metres(grid, [grid.width / 2], [grid.height / 2])[0]

    def place(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        columns_and_rows: Any = grid.transform.to_pixel(coordinates[:, 0], coordinates[:, 1])  # type: ignore[arg-type]
        metres: NDArray[np.float64] = (east_north @ np.stack(columns_and_rows)).T
        return metres

    return np.asarray(shapely.transform(polygons, place), dtype=object)


def _notes(parsed: ParsedPhrase, objects: SceneObjects, chosen: int) -> list[str]:
    described = [parsed.target, *(relation.others for relation in parsed.relations)]
    counts = {f"'{kind.words}'": len(objects.called(kind)) for kind in described}
    found = ", ".join(f"{count} x {words}" for words, count in counts.items())
    notes = [f"The phrase was read as: {parsed}. Found: {found}; {chosen} of them fit."]
    if parsed.not_read:
        notes.append(
            f"Not understood as geometry: {', '.join(map(repr, parsed.not_read))}. These words were looked for "
            f"together with those around them. Understood are: {', '.join(SUPERLATIVES)}, within ... m of, near, "
            "inside, outside, and not before one of these."
        )
    return notes
