#!/usr/bin/env python3
"""Runs a pipeline over scenes whose truth is known, and reports how good it is.

    scripts/evaluate.py SCENES --models FOLDER --out REPORT_FOLDER [--pipeline sam-clip] [--text "building, road"]
                        [--param key=value ...] [--tolerance-px 2] [--device auto] [--precision auto]

SCENES holds, at any depth, ``scene.tif`` with ``labels.tif`` and ``truth.gpkg`` beside it; ``NAME_scene.tif`` goes
with ``NAME_labels.tif`` and ``NAME_truth.gpkg``. Labels are uint8: 0 is unlabelled and counts for nothing, the tag
CLASS_1 names the class of value 1, and so on. The truth's polygons have their class in the field ``class``.

IoU, precision, recall, boundary F-score and false area follow the label raster; objects and calibration follow the
polygons and their scores. Writes report.json, report.png and the results of each scene, and prints tables.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.features
from numpy.typing import NDArray

from evaluation_report import Report, as_table, draw, summarize
from metrics import (
    OBJECT_IOU,
    Counts,
    Floats,
    Labels,
    Mask,
    Tally,
    boundary_counts,
    confusion,
    false_px,
    match_objects,
    reliability,
)
from stage import ROOT
from truth_scenes import (
    ClassNumbers,
    Polygons,
    TruthScene,
    all_classes,
    find_scenes,
    grid_of,
    read_objects,
    read_result_polygons,
    read_truth,
)

sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.contract.errors import EngineError, OutputError, RecipeError, SceneError, TextSegError
from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.grid import PixelGrid
from rs_textseg_plugin.contract.query import Query, parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.version import VERSION
from rs_textseg_plugin.engine.raster.ground_resolution import pixel_area_m2
from rs_textseg_plugin.engine.service import Engine

TOLERANCE_PX = 2.0


def compare(scene: TruthScene, result: Finished, classes: ClassNumbers, tolerance_px: float) -> Tally:
    """Hold a result against the truth of its scene.

    Raises:
        SceneError: the truth cannot be read or does not lie on the result's grid.
    """
    truth, grid = read_truth(scene, classes)
    predicted = read_result(result, scene, grid)
    found = read_result_polygons(Path(result.path), classes)
    owner = _burn(found.shapes, grid)
    counts, area_m2 = confusion(truth, predicted, len(classes.names)), pixel_m2(grid)
    return Tally(
        pixels=counts,
        false_area_m2=false_px(counts) * area_m2,
        outlines=boundary_counts(truth, predicted, len(classes.names), tolerance_px),
        objects=_count_objects(truth, read_objects(scene, classes, grid.crs_wkt), found, owner, len(classes.names)),
        scores=_score_sums(truth, found, owner, area_m2),
    )


def pixel_m2(grid: PixelGrid) -> float:
    """Return the area on the ground of the pixel in the middle; scenes with truth are small."""
    return float(pixel_area_m2(grid, [grid.width / 2], [grid.height / 2])[0])


def read_result(result: Finished, scene: TruthScene, grid: PixelGrid) -> Labels:
    with rasterio.open(result.label_raster) as file:
        values, found = file.read(1), grid_of(file)
    if not _on_same_pixels(grid, found):
        raise SceneError(
            f"The labels {scene.labels} ({grid.width} x {grid.height} px) do not lie on the pixels of the result "
            f"({found.width} x {found.height} px): draw them on the pixels of {scene.image.name}."
        )
    labels: Labels = values.astype(np.int16)
    return labels


def _on_same_pixels(one: PixelGrid, other: PixelGrid) -> bool:
    slack = 1e-6 * math.hypot(one.transform.a, one.transform.d)
    places = zip(astuple(one.transform), astuple(other.transform))
    same_place = all(math.isclose(a, b, rel_tol=0, abs_tol=slack) for a, b in places)
    return same_place and (one.width, one.height) == (other.width, other.height)


def _burn(shapes: NDArray[Any], grid: PixelGrid) -> Counts:
    """Return the row of the polygon that holds each pixel's centre, -1 where none does: ``(H, W)``."""
    size, t = (grid.height, grid.width), grid.transform
    if not len(shapes):
        return np.full(size, -1, np.int64)
    place = rasterio.Affine(t.a, t.b, t.c, t.d, t.e, t.f)
    rows = rasterio.features.rasterize(
        zip(shapes, range(len(shapes))), out_shape=size, transform=place, fill=-1, dtype="int32"
    )
    return rows.astype(np.int64)


def _count_objects(truth: Labels, objects: Polygons, found: Polygons, owner: Counts, classes: int) -> Counts:
    """Return objects matched, predicted only and in the truth only, per class.

    A predicted object that matches none and lies with more than half of its pixels on unlabelled ground counts for
    nothing. So does a class that the truth knows as area only: with labels, and without a polygon.
    """
    on_unknown = _mostly_unlabelled(truth, owner, len(found.shapes))
    counts = np.zeros((classes, 3), np.int64)
    for number in range(1, classes + 1):
        real, rows = objects.of_class(number), np.flatnonzero(found.numbers == number)
        if len(real) or not (truth == number).any():
            pairs = match_objects(real, found.shapes[rows], OBJECT_IOU)
            alone = np.delete(rows, pairs[:, 1])
            counts[number - 1] = len(pairs), (~on_unknown[alone]).sum(), len(real) - len(pairs)
    return counts


def _mostly_unlabelled(truth: Labels, owner: Counts, count: int) -> Mask:
    pixels = np.bincount(owner[owner >= 0], minlength=count)
    unlabelled = np.bincount(owner[(owner >= 0) & (truth < 0)], minlength=count)
    mostly: Mask = unlabelled > pixels / 2
    return mostly


def _score_sums(truth: Labels, found: Polygons, owner: Counts, pixel_m2: float) -> Floats:
    """Sum up scores over the labelled pixels of all polygons."""
    judged = (owner >= 0) & (truth >= 0)
    rows = owner[judged]
    return reliability(found.scores[rows], found.numbers[rows] == truth[judged], pixel_m2)


def evaluate(
    scenes: Sequence[TruthScene], query: Query, recipe: Recipe, folder: Path, tolerance_px: float, engine: Engine
) -> Report:
    """Run all scenes, one after the other with the same engine, and return the report.

    Raises:
        TextSegError: a run failed, or a truth does not fit; there is no report of some of the scenes.
    """
    classes = ClassNumbers(query)
    tallies, summaries = [], []
    for done, scene in enumerate(scenes, start=1):
        print(f"Scene {done} of {len(scenes)}: {scene.name}", file=sys.stderr, flush=True)
        result = run_scene(scene, query, recipe, folder / "scenes" / scene.name, engine)
        tallies.append(compare(scene, result, classes, tolerance_px))
        notes = list(result.notes)
        summaries.append(
            {"name": scene.name, "seconds": result.seconds, "notes": notes, **summarize(tallies[-1], classes.names)}
        )
    overall = summarize(sum(tallies[1:], tallies[0]), classes.names)
    overall["seconds"] = round(sum(summary["seconds"] for summary in summaries), 2)
    return {**_settings(query, recipe, tolerance_px, result), "overall": overall, "scenes": summaries}


def run_scene(scene: TruthScene, query: Query, recipe: Recipe, folder: Path, engine: Engine) -> Finished:
    """Run the engine over one scene; its polygons and labels stay in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    output = Output(str(folder / "result.gpkg"), str(folder / "result_labels.tif"))
    events = list(engine.run(Request(Scene(str(scene.image)), query, recipe, output), lambda: False))
    finished = events[-1]
    if not isinstance(finished, Finished):
        raise EngineError(f"The run over {scene.image} ended without a result, after {finished}.")
    return finished


def _settings(query: Query, recipe: Recipe, tolerance_px: float, result: Finished) -> Report:
    return {
        "version": VERSION,
        "text": query.text,
        "pipeline": recipe.pipeline,
        "models": recipe.models,
        "parameters": dict(recipe.parameters),
        "checkpoints": list(result.models),
        "demo_models": result.is_demo,
        "device": result.device,
        "boundary_tolerance_px": tolerance_px,
        "object_iou": OBJECT_IOU,
    }


def main(arguments: Sequence[str] | None = None, engine: Engine | None = None) -> int:
    """Evaluate; return 0, or the exit status of what went wrong (2 for bad input)."""
    options = _parser().parse_args(arguments)
    try:
        scenes = find_scenes(options.scenes)
        query = parse_class_list(options.text if options.text is not None else all_classes(scenes))
        recipe = Recipe(options.pipeline, options.models, _parameters(options.param), options.device, options.precision)
        _make_folder(options.out)
        report = evaluate(scenes, query, recipe, options.out, options.tolerance_px, engine or Engine())
    except TextSegError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    (options.out / "report.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    draw(report, options.out / "report.png")
    print(as_table(report))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, metavar="SCENES", help="a folder of scenes with truth")
    parser.add_argument("--pipeline", default=Recipe().pipeline)
    parser.add_argument("--models", required=True, help="a model set or a folder with checkpoints")
    parser.add_argument("--text", help="class list; without it, all classes of the truth")
    parser.add_argument("--param", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="a parameter")
    parser.add_argument("--tolerance-px", type=float, default=TOLERANCE_PX, help="how far an outline may be off")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16")
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT_FOLDER")
    return parser


def _parameters(pairs: Sequence[str]) -> dict[str, Any]:
    split = {pair: pair.partition("=") for pair in pairs}
    for pair, (name, equals, _) in split.items():
        if not name or not equals:
            raise RecipeError(f"The parameter {pair!r} is not understood: write it as name=value.")
    return {name: value for name, _, value in split.values()}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The report folder {folder} cannot be made ({error.strerror}): choose another one."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
