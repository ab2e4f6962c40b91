"""SAM's grid proposals against segment_anything's SamAutomaticMaskGenerator: time, memory, and the same masks.

Both run on the same SAM without networks, which returns planted masks and ratings at no cost, so that only what each
does around the networks is measured. They run in turns in one process; the ratio of the shortest times is the result.
Peak memory is measured in a process of its own for each side, beside the planted answers.

    python scripts/bench/proposals.py [--repeats 5] [--points 32] [--threads 2] [--cases small mixed] [--json FILE]

Ends with 1 where a mask differs or a ratio is below the gate.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402
from controls import control  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from planted_sam import embedding_for, plant, planted_sam, wrapped  # noqa: E402
from segment_anything import SamAutomaticMaskGenerator  # noqa: E402
from segment_anything.utils.amg import rle_to_mask  # noqa: E402

from rs_textseg_plugin.engine.sam.proposals import Proposal, ProposalSettings, propose  # noqa: E402

GATE = 25.0
MODEL_PX, COARSE_PX, TILE = 1024, 256, (1024, 1024)
PASS_RATE = 0.41  # masks that are rated above the threshold
CASES: dict[str, dict[str, Any]] = {
    # Half axes as shares of the tile's side; boxes then cover about 0.4 % and 6 % of the tile on average.
    "small": {"radii": (0.02, 0.05), "objects": 620},
    "mixed": {"radii": (0.016, 0.4), "objects": 900},
}
SIDES = ("reference", "ours")
Side = Callable[[], Any]


def main() -> int:
    options = read_options()
    if options.side:
        print(json.dumps(measure_memory(options)))
        return 0
    if options.one:
        print(json.dumps(measure_time(options)))
        return 0
    rows = [measure_case(name, options) for name in options.cases]
    print_table(rows, options)
    if options.json:
        options.json.write_text(json.dumps({"gate": GATE, "threads": options.threads, "cases": rows}, indent=2) + "\n")
    good = all(row["ratio"] >= GATE and row["same"] == row["masks"] == row["reference_masks"] for row in rows)
    return 0 if good else 1


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--points", type=int, default=32, help="points along each side of the tile")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_case(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure time in one child and memory in one child a side."""
    row = {"case": name, **run_child(name, options)}
    for side in SIDES:
        row[f"{side}_mb"] = run_child(name, options, side)["peak_mb"]
    return row


def run_child(name: str, options: argparse.Namespace, side: str = "") -> dict[str, Any]:
    numbers = [f"--{key}={getattr(options, key)}" for key in ("repeats", "points", "threads")]
    command = [sys.executable, __file__, "--one", name, *numbers, *(["--side", side] if side else [])]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return values


def prepare(options: argparse.Namespace) -> dict[str, Side]:
    """Return what each side does, everything planted and loaded."""
    torch.set_num_threads(options.threads)
    planted = plant(options.points, COARSE_PX, PASS_RATE, 0, **CASES[options.one])
    sam = planted_sam(planted, MODEL_PX, TILE)
    generator = SamAutomaticMaskGenerator(sam, options.points, output_mode="uncompressed_rle")
    model = wrapped(sam)
    vars(model)["draws_all"] = True
    embedding = embedding_for(model, TILE)
    settings = ProposalSettings(options.points)
    blank = np.zeros((*TILE, 3), np.uint8)
    return {
        "reference": lambda: generator.generate(blank),
        "ours": lambda: propose(model, embedding, settings, None, control()),
    }


def measure_time(options: argparse.Namespace) -> dict[str, Any]:
    sides = prepare(options)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    results: dict[str, Any] = {}
    for _ in range(options.repeats):
        for name, run in sides.items():
            started = time.perf_counter()
            results[name] = run()
            seconds[name].append(time.perf_counter() - started)
    row: dict[str, Any] = compare(results["ours"], results["reference"])
    for name, values in seconds.items():
        row[f"{name}_min_s"], row[f"{name}_median_s"] = min(values), statistics.median(values)
    row["ratio"] = row["reference_min_s"] / row["ours_min_s"]
    row["ratio_of_medians"] = row["reference_median_s"] / row["ours_median_s"]
    return row


def measure_memory(options: argparse.Namespace) -> dict[str, float]:
    run = prepare(options)[options.side]
    gc.collect()
    before = psutil.Process().memory_info().rss
    result = run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"peak_mb": max(0, peak - before) / 1e6, "masks": len(result)}


def compare(ours: list[Proposal], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """Match masks one to one; the same are those with IoU >= 0.999, and rating and stability within 1e-4."""
    left, same, box_share = list(ours), 0, 0.0
    for mask in theirs:
        found = next((one for one in left if is_same(one, mask)), None)
        box_share += mask["bbox"][2] * mask["bbox"][3] / (TILE[0] * TILE[1])
        if found is not None:
            left.remove(found)
            same += 1
    mean_box = box_share / max(1, len(theirs))
    return {"masks": len(ours), "reference_masks": len(theirs), "same": same, "mean_box_share": mean_box}


def is_same(proposal: Proposal, mask: dict[str, Any]) -> bool:
    near = abs(proposal.predicted_iou - mask["predicted_iou"]) <= 1e-4
    if not near or abs(proposal.stability - mask["stability_score"]) > 1e-4:
        return False
    ours = np.zeros(TILE, np.bool_)
    ours[proposal.window.slices] = proposal.mask.unpack()
    theirs: NDArray[np.bool_] = rle_to_mask(mask["segmentation"])
    return bool(np.count_nonzero(ours & theirs) >= 0.999 * np.count_nonzero(ours | theirs))


def print_table(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    print(f"{options.points} x {options.points} points, tile {TILE[0]} px, {options.threads} threads, gate {GATE:g}x")
    print(
        "case   same masks  mean box    reference min / median     ours min / median    ratio (medians)   peak memory"
    )
    for row in rows:
        print(
            f"{row['case']:6} {row['same']:4d}/{row['reference_masks']:<4d}  {row['mean_box_share']:8.2%}"
            f"  {row['reference_min_s']:10.2f} / {row['reference_median_s']:.2f} s"
            f"  {row['ours_min_s']:12.3f} / {row['ours_median_s']:.3f} s"
            f"  {row['ratio']:6.1f}x ({row['ratio_of_medians']:.1f}x)"
            f"  {row['reference_mb']:.0f} -> {row['ours_mb']:.0f} MB"
        )


if __name__ == "__main__":
    sys.exit(main())
