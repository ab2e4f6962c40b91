#!/usr/bin/env python3
"""Whether a change of the code leaves the results as they were: every method on the sample scene, before and after.

    scripts/same_results.py record FOLDER [--checkout CHECKOUT] [--cases NAME ...] [--side PIXELS]
    scripts/same_results.py compare BEFORE AFTER

`record` runs each case from the command line of a checkout, and keeps its files and its events. `compare` ends with 1
where two records differ: features in their order with their WKB and attributes, pixels of rasters, the answer of the
language model, notes, and the provenance but for times, paths and the stub's port. ``vlm-sam`` asks a stub on
loopback, which always answers the same.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio

ROOT = Path(__file__).resolve().parent.parent
SCENE = "resources/demo/scene.tif"
LEFT, TOP, PIXEL_M = 512000.0, 5403000.0, 0.25  # of the sample scene
FIRST_COLUMN, FIRST_ROW = 700, 300  # of the part that is looked at
VECTOR, RASTERS, CLICKS = "result.gpkg", ("labels.tif", "scores.tif", "classes.tif"), "clicks.geojson"
CHANGING = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r'"started": "[^"]*"'), '"started": ""'),
    (re.compile(r'"seconds(_left)?": [\d.]+'), '"seconds": 0'),
)
CLASSES = "building|roof, road, tree|forest, water, grass, -bare soil"
ANSWER = {
    "instances": [
        {"label": "house", "box": [40, 60, 140, 150], "positive_points": [[90, 100]], "confidence": 0.9},
        {"label": "barn", "box": [260, 220, 330, 300], "positive_points": [[300, 260], [290, 250]], "confidence": 0.6},
        {"label": "shed", "positive_points": [[200, 80]], "negative_points": [[230, 120]]},
    ]
}


@dataclass(frozen=True)
class Case:
    """One run.

    Attributes:
        pipeline: the method.
        question: options that say what to look for.
        parameters: of the method, ``name=value``.
        preset: a preset's name; empty: none.
    """

    pipeline: str
    question: tuple[str, ...] = ("--text", CLASSES)
    parameters: tuple[str, ...] = ()
    preset: str = ""


CASES = {
    "sam-clip": Case("sam-clip"),
    "sam-clip-crops": Case("sam-clip", parameters=("selector=crop", "points_per_side=12")),
    "sam-clip-regions": Case("sam-clip", parameters=("region_prompts=true", "points_per_side=12", "vote=majority")),
    "segearth-ov": Case("segearth-ov"),
    "segearth-ov-native": Case("segearth-ov", ("--text", "water"), preset="native"),
    "grounding-sam": Case("grounding-sam"),
    "grounding-sam-phrase": Case("grounding-sam", ("--phrase", "the 3 largest buildings near a road")),
    "surgery-sam": Case("surgery-sam"),
    "surgery-sam-published": Case("surgery-sam", preset="surgery-published"),
    "text2seg": Case("text2seg", parameters=("points_per_side=8",)),
    "text2seg-union": Case("text2seg", parameters=("combine=union", "branches=boxes, points")),
    "vlm-sam": Case("vlm-sam", ("--phrase", "the houses"), ("verify=true",)),
    "vlm-sam-sweep": Case("vlm-sam", ("--phrase", "the houses"), ("view=sweep",)),
}


class Stub(BaseHTTPRequestHandler):
    """An OpenAI-compatible server with a single answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": json.dumps(ANSWER)}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        body = json.dumps({**reply, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def stub_server() -> Iterator[str]:
    """Serve the stub; the value is its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def record(folder: Path, checkout: Path, names: list[str], side_px: int) -> None:
    """Run the cases with the code of a checkout; each gets a folder of its own."""
    with stub_server() as address:
        for name in names:
            target = folder / name
            target.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "rs_textseg_plugin.engine", *options_of(CASES[name], side_px, address)]
            outputs = {"--out": VECTOR, "--label-raster": RASTERS[0], "--score-raster": RASTERS[1]}
            outputs |= {"--class-scores": RASTERS[2]} if CASES[name].pipeline != "vlm-sam" else {"--clicks": CLICKS}
            command += [part for option, file in outputs.items() for part in (option, str(target / file))]
            environment = {**os.environ, "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
            result = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
            if result.returncode:
                sys.exit(f"{name}: {result.stderr}")
            (target / "events.jsonl").write_text(result.stdout, encoding="utf-8")
            print(f"{name}: recorded", flush=True)


def options_of(case: Case, side_px: int, address: str) -> list[str]:
    """Return the options of a run but for its outputs."""
    left, top = LEFT + FIRST_COLUMN * PIXEL_M, TOP - FIRST_ROW * PIXEL_M
    extent = f"--extent={left},{top - side_px * PIXEL_M},{left + side_px * PIXEL_M},{top}"
    parameters = [*case.parameters, "tile_px=384", "overlap_px=64"]
    if case.pipeline == "vlm-sam":
        parameters += [f"base_url={address}", "model=stub"]
    given = [part for parameter in parameters for part in ("--param", parameter)]
    chosen = ["--preset", case.preset] if case.preset else []
    consent = ["--consent-to-send"] if case.pipeline == "vlm-sam" else []
    return ["segment", SCENE, *case.question, "--pipeline", case.pipeline, extent, "--json", *given, *chosen, *consent]


def differences(before: Path, after: Path) -> list[str]:
    """Return how two records differ, one line each; empty: not at all."""
    names = sorted({path.name for folder in (before, after) for path in folder.iterdir()})
    found = []
    for name in names:
        first, second = contents(before / name), contents(after / name)
        found += [
            f"{name}: {part} differs" for part in sorted({*first, *second}) if first.get(part) != second.get(part)
        ]
    return found


def contents(folder: Path) -> dict[str, Any]:
    """Return what a record holds, without what may change, by the name of the part."""
    if not folder.is_dir():
        return {}
    meta, _, geometries, columns = pyogrio.raw.read(folder / VECTOR, layer="segments")
    parts: dict[str, Any] = {
        "geometries": [bytes(geometry) for geometry in geometries],
        "attributes": without_changing(json.dumps([meta["fields"].tolist(), *(list(map(str, c)) for c in columns)])),
        "events": without_changing("\n".join(lines_of(folder / "events.jsonl")), folder),
        "provenance": without_changing(json.dumps(pyogrio.read_info(folder / VECTOR)["layer_metadata"]), folder),
        "rasters": [pixels_of(folder / name) for name in RASTERS if (folder / name).exists()],
    }
    clicks = folder / CLICKS
    return {**parts, "clicks": without_changing(clicks.read_text(encoding="utf-8"))} if clicks.exists() else parts


def lines_of(path: Path) -> list[str]:
    """Return the events that are not about progress."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if '"progress"' not in line.lower()]


def without_changing(text: str, folder: Path | None = None) -> str:
    """Return a text without times, ports and the record's folder."""
    for pattern, word in CHANGING:
        text = pattern.sub(word, text)
    return text.replace(str(folder), "FOLDER") if folder else text


def pixels_of(path: Path) -> tuple[str, tuple[int, ...], bytes]:
    """Return type, shape and pixels of a raster."""
    with rasterio.open(path) as dataset:
        pixels: np.ndarray[Any, Any] = dataset.read()
    return str(pixels.dtype), pixels.shape, pixels.tobytes()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    actions = parser.add_subparsers(dest="action", required=True)
    recording = actions.add_parser("record")
    recording.add_argument("folder", type=Path)
    recording.add_argument("--checkout", type=Path, default=ROOT, help="whose code runs")
    recording.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    recording.add_argument("--side", type=int, default=560, help="side of the part that is looked at, in pixels")
    comparing = actions.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.action == "record":
        record(options.folder.resolve(), options.checkout.resolve(), options.cases, options.side)
        return 0
    found = differences(options.before.resolve(), options.after.resolve())
    print("\n".join(found) or f"The same results: {', '.join(sorted(path.name for path in options.after.iterdir()))}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
