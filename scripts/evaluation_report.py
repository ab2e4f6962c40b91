"""What an evaluation found, as JSON, as a table and as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metrics import BINS, Tally, boundary_f, calibration_error, mean_of, object_f1, pixel_scores

Report = dict[str, Any]  # what json.dumps takes; a number that has no meaning is None
_COLUMNS = (
    ("iou", "IoU"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("boundary_f", "boundary F"),
    ("object_f1", "object F1"),
)


def summarize(tally: Tally, names: Sequence[str]) -> Report:
    """Turn counts into numbers; see `metrics` for the definition of each."""
    pixels, f1, outline_f = pixel_scores(tally.pixels), object_f1(tally.objects), boundary_f(tally.outlines)
    return {
        "mean_iou": _number(pixels.mean_iou),
        "mean_boundary_f": _number(mean_of(outline_f, pixels.present)),
        "mean_object_f1": _number(mean_of(f1, pixels.present)),
        "calibration_error": _number(calibration_error(tally.scores)),
        "false_area_m2": float(tally.false_area_m2.sum()),
        "labelled_px": int(tally.pixels.sum()),
        "classes": {
            name: {
                "iou": _number(pixels.iou[k]),
                "precision": _number(pixels.precision[k]),
                "recall": _number(pixels.recall[k]),
                "boundary_f": _number(outline_f[k]),
                "object_f1": _number(f1[k]),
                "objects": dict(zip(("matched", "false", "missed"), tally.objects[k].tolist())),
                "truth_px": int(tally.pixels[k + 1].sum()),
                "predicted_px": int(tally.pixels[:, k + 1].sum()),
                "false_area_m2": float(tally.false_area_m2[k]),
            }
            for k, name in enumerate(names)
        },
        "confusion": tally.pixels.tolist(),
        "reliability": [_bin(k, *row) for k, row in enumerate(tally.scores.tolist())],
    }


def _bin(k: int, area_m2: float, sure: float, right: float) -> Report:
    known = area_m2 > 0
    return {
        "from": k / BINS,
        "to": (k + 1) / BINS,
        "area_m2": area_m2,
        "mean_score": sure / area_m2 if known else None,
        "share_right": right / area_m2 if known else None,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def as_table(report: Report) -> str:
    """Return the report for a terminal."""
    overall = report["overall"]
    lines = [*_class_table(overall), "", *_reliability_table(overall), ""]
    lines += _scene_table([*report["scenes"], {"name": "all", **overall}])
    if report["demo_models"]:
        lines += ["", "Made with the demo models: for trying the product, not for maps."]
    return "\n".join(lines)


def _class_table(summary: Report) -> list[str]:
    """One line a class; a class that the truth does not hold shows its false area and no recall."""
    rows = [("class", *(title for _, title in _COLUMNS), "false area m2")]
    for name, values in summary["classes"].items():
        rows.append((name, *(short(values[key]) for key, _ in _COLUMNS), f"{values['false_area_m2']:.1f}"))
    means = (summary["mean_iou"], None, None, summary["mean_boundary_f"], summary["mean_object_f1"])
    rows.append(("mean", *(short(value) for value in means), f"{summary['false_area_m2']:.1f}"))
    return aligned(rows)


def _reliability_table(summary: Report) -> list[str]:
    rows = [("score", "area m2", "mean score", "share right")]
    rows += [
        (
            f"{row['from']:.1f}-{row['to']:.1f}",
            f"{row['area_m2']:.1f}",
            short(row["mean_score"]),
            short(row["share_right"]),
        )
        for row in summary["reliability"]
    ]
    return [*aligned(rows), f"expected calibration error {short(summary['calibration_error'])}"]


def _scene_table(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = ("mean_iou", "mean_boundary_f", "mean_object_f1", "calibration_error")
    rows = [("scene", "mIoU", "boundary F", "object F1", "calibration error", "false area m2", "seconds")]
    rows += [
        (
            summary["name"],
            *(short(summary[key]) for key in keys),
            f"{summary['false_area_m2']:.1f}",
            f"{summary['seconds']:.1f}",
        )
        for summary in summaries
    ]
    return aligned(rows)


def short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad the columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in rows
    ]


def draw(report: Report, path: Path) -> None:
    """Write a PNG: scores per class, how far the score can be trusted, and mIoU per scene."""
    figure = Figure(figsize=(15, 5), layout="constrained")
    classes, trust, scenes = figure.subplots(1, 3)
    _draw_classes(classes, report["overall"])
    _draw_reliability(trust, report["overall"])
    _draw_scenes(scenes, report["scenes"])
    demo = " (demo models: for trying the product, not for maps)" if report["demo_models"] else ""
    figure.suptitle(f"{report['pipeline']}, {report['models']}{demo}")
    figure.savefig(path, dpi=100)


def _draw_classes(axes: Axes, summary: Report) -> None:
    bars = (("iou", "IoU"), ("boundary_f", "boundary F"), ("object_f1", "object F1"))
    places = np.arange(len(summary["classes"]))
    for k, (key, title) in enumerate(bars):
        heights = [values[key] or 0.0 for values in summary["classes"].values()]
        axes.bar(places + 0.27 * (k - 1), heights, 0.25, label=title)
    axes.set_xticks(places, list(summary["classes"]), rotation=45, ha="right")
    axes.set_ylim(0, 1)
    axes.set_title(f"mIoU {short(summary['mean_iou'])}")
    axes.legend()


def _draw_reliability(axes: Axes, summary: Report) -> None:
    filled = [row for row in summary["reliability"] if row["area_m2"] > 0]
    area_m2 = sum(row["area_m2"] for row in filled) or 1.0
    axes.bar(
        [(row["from"] + row["to"]) / 2 for row in filled],
        [row["area_m2"] / area_m2 for row in filled],
        1 / BINS,
        color="#dddddd",
        label="share of the area",
    )
    axes.plot([0, 1], [0, 1], color="#999999", linestyle="--", label="as sure as right")
    axes.plot([row["mean_score"] for row in filled], [row["share_right"] for row in filled], "o-", label="share right")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="score")
    axes.set_title(f"expected calibration error {short(summary['calibration_error'])}")
    axes.legend()


def _draw_scenes(axes: Axes, summaries: Sequence[Mapping[str, Any]]) -> None:
    places = np.arange(len(summaries))
    axes.barh(places, [summary["mean_iou"] or 0.0 for summary in summaries])
    axes.set_yticks(places, [summary["name"] for summary in summaries])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_title("mIoU per scene")
