"""Scenes whose truth is known, and results in the same numbers.

Class numbers are 1..K for what a query asks for, 0 for anything else; labels are `metrics.UNLABELLED` where the truth
is unknown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from metrics import UNLABELLED, Counts, Floats, Labels
from stage import ROOT

sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.grid import PixelGrid, Transform
from rs_textseg_plugin.contract.query import EVERYTHING_ELSE, Query
from rs_textseg_plugin.engine.results.vector_file import LAYER

_IMAGE, _LABELS, _POLYGONS = "scene.tif", "labels.tif", "truth.gpkg"


@dataclass(frozen=True)
class TruthScene:
    """A scene with its truth.

    Attributes:
        name: its place below the folder of all scenes.
        image, labels, polygons: the three files.
        classes: name of the class of each value in the labels.
    """

    name: str
    image: Path
    labels: Path
    polygons: Path
    classes: dict[int, str]


def find_scenes(folder: Path) -> list[TruthScene]:
    """Return the scenes below a folder, by name.

    Raises:
        SceneError: there is none, a file is missing, or the labels have no class names.
    """
    images = sorted(folder.rglob(f"*{_IMAGE}"))
    if not images:
        raise SceneError(f"There is no {_IMAGE} in {folder}: name a folder of scenes with truth.")
    return [_scene_at(image, folder) for image in images]


def _scene_at(image: Path, folder: Path) -> TruthScene:
    prefix = image.name.removesuffix(_IMAGE)
    labels, polygons = image.with_name(prefix + _LABELS), image.with_name(prefix + _POLYGONS)
    for path in (labels, polygons):
        if not path.is_file():
            raise SceneError(f"The scene {image} has no truth {path.name} beside it: add it, or move the scene away.")
    name = (image.parent.relative_to(folder) / prefix.rstrip("_-. ")).as_posix()
    return TruthScene(folder.resolve().name if name == "." else name, image, labels, polygons, _class_names(labels))


def _class_names(labels: Path) -> dict[int, str]:
    with rasterio.open(labels) as file:
        tags = file.tags()
    names = {int(key[6:]): name for key, name in tags.items() if key.startswith("CLASS_") and key[6:].isdigit()}
    if not names:
        raise SceneError(f"The labels {labels} name no class: add the tags CLASS_1, CLASS_2 and so on.")
    return dict(sorted(names.items()))


def all_classes(scenes: Sequence[TruthScene]) -> str:
    """Return every class that the truth of any scene names, as the text of a query."""
    return ", ".join(dict.fromkeys(name for scene in scenes for name in scene.classes.values()))


class ClassNumbers:
    """Which number each class of a truth has in the result; a class is recognised by any word of the query's."""

    def __init__(self, query: Query) -> None:
        self.names = tuple(spec.name for spec in query.output_classes)
        self._numbers: dict[str, int] = {}
        for number, spec in enumerate(query.output_classes, start=1):
            for word in spec.aliases:
                self._numbers.setdefault(word.casefold(), number)
        self._others = self._numbers[EVERYTHING_ELSE] if query.everything_else else 0

    def of(self, name: str) -> int:
        """Return 1..K, or for a class that was not asked for 0 (or the number of "everything else")."""
        return self._numbers.get(name.casefold(), self._others)

    def of_all(self, names: NDArray[Any]) -> Counts:
        """Return the number of each name, ``(n,)``."""
        return np.array([self.of(str(name)) for name in names], np.int64)


@dataclass(frozen=True)
class Polygons:
    """Polygons with their class numbers and, in a result, their scores: three arrays ``(n,)``."""

    shapes: NDArray[Any]
    numbers: Counts
    scores: Floats

    def of_class(self, number: int) -> NDArray[Any]:
        """Return the polygons of one class."""
        return self.shapes[self.numbers == number]


def read_truth(scene: TruthScene, classes: ClassNumbers) -> tuple[Labels, PixelGrid]:
    """Return the truth's labels ``(H, W)`` int16 and their grid.

    Raises:
        SceneError: a value has no name.
    """
    with rasterio.open(scene.labels) as file:
        values, grid = file.read(1), grid_of(file)
    unnamed = sorted(set(np.unique(values).tolist()) - {0, *scene.classes})
    if unnamed:
        raise SceneError(
            f"The labels {scene.labels} hold the value {unnamed[0]}, and no tag CLASS_{unnamed[0]} names it."
        )
    table = np.full(max(scene.classes) + 1, UNLABELLED, np.int16)
    for value, name in scene.classes.items():
        table[value] = classes.of(name)
    return table[values], grid


def grid_of(file: Any) -> PixelGrid:
    return PixelGrid(file.width, file.height, Transform(*file.transform[:6]), file.crs.to_wkt() if file.crs else "")


def read_objects(scene: TruthScene, classes: ClassNumbers, crs_wkt: str) -> Polygons:
    """Return the truth's polygons.

    Raises:
        SceneError: a polygon is not valid, or they are not in the CRS that the labels are in.
    """
    polygons, crs = _read_polygons(scene.polygons, classes)
    if crs and crs_wkt and CRS.from_user_input(crs) != CRS.from_wkt(crs_wkt):
        raise SceneError(f"The polygons {scene.polygons} ({crs}) are not in the CRS of {scene.labels}: reproject them.")
    invalid = np.flatnonzero(~shapely.is_valid(polygons.shapes))
    if len(invalid):
        reason = shapely.is_valid_reason(polygons.shapes[invalid[0]])
        raise SceneError(f"Polygon {invalid[0] + 1} of {scene.polygons} is not valid ({reason}): repair it.")
    return polygons


def read_result_polygons(path: Path, classes: ClassNumbers) -> Polygons:
    """Return the polygons of a result, with their scores."""
    return _read_polygons(path, classes, layer=LAYER)[0]


def _read_polygons(path: Path, classes: ClassNumbers, layer: str | None = None) -> tuple[Polygons, str]:
    """Return polygons and the name of their CRS; scores are NaN where there are none."""
    meta, _, wkb, values = pyogrio.raw.read(path, layer=layer, columns=["class", "score"])
    fields = dict(zip(meta["fields"], values))
    if "class" not in fields:
        raise SceneError(f"The polygons {path} have no field 'class': add it with the name of each polygon's class.")
    scores = fields.get("score", np.full(len(wkb), np.nan)).astype(np.float64)
    return Polygons(shapely.from_wkb(wkb), classes.of_all(fields["class"]), scores), str(meta["crs"] or "")
