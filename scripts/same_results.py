#!/usr/bin/env python3
"""Whether a change of the code leaves the results as they were: every method on the sample scene, before and after.

    scripts/same_results.py record FOLDER [--checkout CHECKOUT] [--cases NAME ...] [--side PIXELS]
    scripts/same_results.py compare BEFORE AFTER

`record` runs each case from the command line of a checkout, and keeps its files and its events. `compare` ends with 1
where two records differ, and names the case and the part: features in their order with their WKB and attributes,
layers, pixels of rasters and where they lie, the answer of the language model, events but for progress, and the
provenance. Times, the records' folders and the stub's port may differ. It ends with 2 where there is nothing to
compare. ``vlm-sam`` asks a stub on loopback, which always answers the same.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
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
EVENTS = "events.jsonl"
STUB_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
OWN_FOLDER = re.compile(rf'[^"]*/(?=(?:{"|".join(map(re.escape, (VECTOR, *RASTERS, CLICKS)))})")')
TIMES = ("started", "seconds")  # fields that hold one, in events and in the provenance
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
        tile_px: side of a tile; neighbours overlap by a sixth.
    """

    pipeline: str
    question: tuple[str, ...] = ("--text", CLASSES)
    parameters: tuple[str, ...] = ()
    preset: str = ""
    tile_px: int = 384


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
    "vlm-sam": Case("vlm-sam", ("--phrase", "the houses"), ("verify=true", "verify_threshold=0.02")),
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
            shutil.rmtree(target, ignore_errors=True)  # nothing of an earlier record stays
            target.mkdir(parents=True)
            command = [sys.executable, "-m", "rs_textseg_plugin.engine", *options_of(CASES[name], side_px, address)]
            outputs = {"--out": VECTOR, "--label-raster": RASTERS[0], "--score-raster": RASTERS[1]}
            outputs |= {"--class-scores": RASTERS[2]} if CASES[name].pipeline != "vlm-sam" else {"--clicks": CLICKS}
            command += [part for option, file in outputs.items() for part in (option, str(target / file))]
            environment = {**os.environ, "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
            result = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
            if result.returncode:
                sys.exit(f"{name}: {result.stderr}")
            (target / EVENTS).write_text(result.stdout, encoding="utf-8")
            print(f"{name}: recorded", flush=True)


def options_of(case: Case, side_px: int, address: str) -> list[str]:
    """Return the options of a run but for its outputs."""
    left, top = LEFT + FIRST_COLUMN * PIXEL_M, TOP - FIRST_ROW * PIXEL_M
    extent = f"--extent={left},{top - side_px * PIXEL_M},{left + side_px * PIXEL_M},{top}"
    parameters = [*case.parameters, f"tile_px={case.tile_px}", f"overlap_px={case.tile_px // 6}"]
    if case.pipeline == "vlm-sam":
        parameters += [f"base_url={address}", "model=stub"]
    given = [part for parameter in parameters for part in ("--param", parameter)]
    chosen = ["--preset", case.preset] if case.preset else []
    consent = ["--consent-to-send"] if case.pipeline == "vlm-sam" else []
    return ["segment", SCENE, *case.question, "--pipeline", case.pipeline, extent, "--json", *given, *chosen, *consent]


def differences(before: Path, after: Path) -> list[str]:
    """Return how two records differ, one line each; empty: not at all."""
    found = []
    for name in sorted({*cases_in(before), *cases_in(after)}):
        if missing := [folder for folder in (before, after) if name not in cases_in(folder)]:
            found.append(f"{name}: not in {missing[0]}")
            continue
        first, second = contents(before / name), contents(after / name)
        found += [f"{name}: {part} differs" for part in {**first, **second} if first.get(part) != second.get(part)]
    return found


def cases_in(record: Path) -> list[str]:
    """Return the names of the cases that a record holds from beginning to end."""
    return sorted(path.parent.name for path in record.glob(f"*/{EVENTS}"))


def contents(folder: Path) -> dict[str, str]:
    """Return what a case left, without what may change, by the name of the part."""
    parts = features_of(folder / VECTOR)
    for name in RASTERS:
        if (folder / name).exists():
            parts |= raster_of(folder / name)
    if (folder / CLICKS).exists():
        parts[CLICKS] = as_text(json.loads((folder / CLICKS).read_text(encoding="utf-8")))
    return {**parts, "events": as_text(events_of(folder / EVENTS))}


def features_of(path: Path) -> dict[str, str]:
    """Return the layers of a vector file, and the first one's features and metadata."""
    meta, _, geometries, columns = pyogrio.raw.read(path)
    return {
        "layers": str(pyogrio.list_layers(path).tolist()),
        "fields": str([meta["crs"], meta["geometry_type"], *zip(meta["fields"], meta["ogr_types"])]),
        "geometries": str([bytes(geometry) for geometry in geometries]),
        **{f"attribute {name}": repr(column.tolist()) for name, column in zip(meta["fields"], columns)},
        **metadata_of(path.name, pyogrio.read_info(path)["layer_metadata"] or {}),
    }


def raster_of(path: Path) -> dict[str, str]:
    """Return the pixels of a raster, where they lie, and its metadata."""
    with rasterio.open(path) as dataset:
        pixels: np.ndarray[Any, Any] = dataset.read()
        place = (dataset.crs, dataset.transform, dataset.nodata, dataset.descriptions)
        metadata = metadata_of(path.name, dataset.tags())
    shown = f"{pixels.dtype} {pixels.shape} {pixels.tobytes().hex()}"
    return {f"{path.name} pixels": shown, f"{path.name} place": str(place), **metadata}


def metadata_of(name: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a file's metadata, with a part for each member where they are JSON, as the provenance is."""
    parts: dict[str, str] = {}
    for key, text in metadata.items():
        try:
            data = json.loads(text)
        except ValueError:
            data = text
        members = without_times(data) if isinstance(data, dict) else {key: data}
        parts |= {f"{name} {member}": as_text(value) for member, value in members.items()}
    return parts


def events_of(path: Path) -> list[Any]:
    """Return the events that are not about progress."""
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [event for event in events if event["type"] != "progress"]


def as_text(value: Any) -> str:
    """Return what JSON can hold as text, without times, the stub's port and the folder of the record."""
    text = json.dumps(without_times(value), ensure_ascii=False)
    return OWN_FOLDER.sub("", STUB_ADDRESS.sub("127.0.0.1:PORT", text))


def without_times(value: Any) -> Any:
    """Return what JSON can hold, without the fields that hold times."""
    if isinstance(value, list):
        return [without_times(member) for member in value]
    if isinstance(value, dict):
        return {key: without_times(member) for key, member in value.items() if key not in TIMES}
    return value


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
    return compare(options.before.resolve(), options.after.resolve())


def compare(before: Path, after: Path) -> int:
    """Print how two records differ; return the exit status."""
    for folder in (before, after):
        if not cases_in(folder):
            print(f"There is no record in {folder}: make one with 'record'.", file=sys.stderr)
            return 2
    found = differences(before, after)
    print("\n".join(found) or f"The same results: {', '.join(cases_in(after))}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
