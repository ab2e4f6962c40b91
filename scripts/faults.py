#!/usr/bin/env python3
"""Runs real faults against the command line and prints a table: fault, outcome, what was lost, what leaked.

    scripts/faults.py [--checkout CHECKOUT] [--only NAME ...]

Everything is real: processes are killed, files and memory have limits of the system, servers listen on loopback. Ends
with 1 where something was lost or leaked, or where a program ended with a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window

ROOT = Path(__file__).resolve().parent.parent
KEY = "sk-" + "fault" * 6
AREA_PX = Window(1664, 224, 256, 256)  # of the sample scene
QUICK = ("upsampling=bilinear", "templates=1", "prob_threshold=0", "closed_list=true", "tile_px=128", "overlap_px=32")
FILE_SIZES = (4_000, 16_000, 64_000, 120_000, 250_000, 500_000)
HUGE_BYTES = 400_000_000
WAIT_S = 180.0

Process = subprocess.Popen[str]


def cut_out(path: Path) -> None:
    """Write a part of the sample scene."""
    with rasterio.open(ROOT / "resources" / "demo" / "scene.tif") as scene:
        profile = {"driver": "GTiff", "width": AREA_PX.width, "height": AREA_PX.height, "count": 3, "dtype": "uint8"}
        place = {"crs": scene.crs, "transform": scene.window_transform(AREA_PX)}
        with rasterio.open(path, "w", **profile, **place) as file:
            file.write(scene.read([1, 2, 3], window=AREA_PX))


@dataclass(frozen=True)
class Row:
    """What came of a fault.

    Attributes:
        fault: its name.
        outcome: what the program did, in words.
        lost: what was lost or damaged; empty: nothing.
        leaked: what reached where it should not; empty: nothing.
    """

    fault: str
    outcome: str
    lost: str = ""
    leaked: str = ""


class Bench:
    """A folder with a small raster, and the command line of a checkout."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.checkout, self.folder = checkout, folder
        self.raster = folder / "scene.tif"
        cut_out(self.raster)
        self.scratch = folder / "scratch"
        self.scratch.mkdir()

    def start(
        self,
        *options: str,
        raster: Path | None = None,
        limit: Callable[[], None] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a run over the raster."""
        command = [sys.executable, "-m", "rs_textseg_plugin.engine", "segment", str(raster or self.raster), *options]
        places = {"TMPDIR": str(self.scratch), "PYTHONPATH": str(self.checkout)}
        environment = {**os.environ, **places, "OMP_NUM_THREADS": "1", **(variables or {})}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, preexec_fn=limit, stdout=pipe, stderr=pipe, text=True
        )

    def quick(self, out: Path, *more: str) -> list[str]:
        """Options of a run of a few seconds."""
        return ["--text", "building, road", "--pipeline", "segearth-ov", "--param", *QUICK, "--out", str(out), *more]

    def wait_for_tiles(self, process: Process) -> None:
        """Wait until the run has put a tile into its scratch folder."""
        end_s = time.monotonic() + WAIT_S
        while time.monotonic() < end_s and process.poll() is None and not list(self.scratch.glob("*/tile_*.npz")):
            time.sleep(0.02)


def words(process: Process) -> str:
    """Return how a run ended: status and last line; a traceback is named as such."""
    out, err = process.communicate(timeout=300)
    if "Traceback" in out + err:
        return f"TRACEBACK {err.strip().splitlines()[-1][:100]}"
    lines = [line for line in err.strip().splitlines() if "%" not in line[:5]]
    return f"exit {process.returncode}" + (f": {lines[-1][:110]}" if process.returncode and lines else "")


def is_whole(path: Path) -> bool:
    """Whether every byte of a result can be read."""
    try:
        if path.suffix == ".gpkg":
            pyogrio.raw.read(path, layer="segments")
        else:
            with rasterio.open(path) as dataset:
                dataset.read()
    except (OSError, ValueError, RuntimeError, rasterio.errors.RasterioError, pyogrio.errors.DataSourceError):
        return False
    return True


def killed(bench: Bench) -> Row:
    out = bench.folder / "killed.gpkg"
    out.write_bytes(b"an earlier result")
    process = bench.start(*bench.quick(out))
    bench.wait_for_tiles(process)
    process.kill()
    process.communicate()
    kept = out.read_bytes() == b"an earlier result"
    out.unlink()
    outcome = words(bench.start(*bench.quick(out)))
    left = len(list(bench.scratch.glob("rs_textseg_*")))
    lost = "; ".join(
        filter(None, ["" if kept else "the earlier result", f"{left} scratch folder stays" if left else ""])
    )
    return Row("kill -9, then run again", outcome, "; ".join(lost))


def hung_up(bench: Bench) -> Row:
    out = bench.folder / "hung_up.gpkg"
    process = bench.start(*bench.quick(out))
    bench.wait_for_tiles(process)
    process.send_signal(signal.SIGHUP)
    outcome = words(process)
    left = len(list(bench.scratch.glob("rs_textseg_*")))
    return Row("the terminal closes (SIGHUP)", outcome, f"{left} scratch folder stays" if left else "")


def full_disk(bench: Bench) -> Row:
    outputs = [bench.folder / name for name in ("disk.gpkg", "disk_labels.tif", "disk_scores.tif")]
    more = ("--label-raster", str(outputs[1]), "--score-raster", str(outputs[2]))
    good = bench.start(*bench.quick(outputs[0], *more))
    words(good)
    before = {path: path.read_bytes() for path in outputs}
    damaged, tracebacks, sentences = 0, 0, set()
    for size in FILE_SIZES:

        def limit(size: int = size) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        process = bench.start(*bench.quick(outputs[0], *more), limit=limit)
        ended = words(process)
        tracebacks += ended.startswith("TRACEBACK")
        sentences.add(ended.split(":")[0])
        damaged += sum(path.read_bytes() != before[path] and not is_whole(path) for path in outputs)
        damaged += process.returncode == 0 and not all(map(is_whole, outputs))
    outcome = f"{'TRACEBACK, ' if tracebacks else ''}{len(FILE_SIZES)} sizes: {', '.join(sorted(sentences))}"
    return Row("files of 4 to 500 kB at most", outcome, f"{damaged} damaged results" if damaged else "")


def two_writers(bench: Bench) -> Row:
    out = bench.folder / "two.gpkg"
    processes = [bench.start(*bench.quick(out)) for _ in range(2)]
    outcome = " | ".join(words(process) for process in processes)
    return Row("two runs with one output", outcome, "" if is_whole(out) else "the result")


def changed_raster(bench: Bench) -> Row:
    raster, out = bench.folder / "changing.tif", bench.folder / "changing.gpkg"
    shutil.copyfile(bench.raster, raster)
    process = bench.start(*bench.quick(out), "--json", raster=raster)
    bench.wait_for_tiles(process)
    with rasterio.open(raster, "r+") as file:
        file.write(np.zeros((3, 64, 256), np.uint8), window=Window(0, 192, 256, 64))
    stdout, _ = process.communicate(timeout=300)
    is_told = "was changed" in stdout
    return Row("the raster changes during the run", f"exit {process.returncode}", "" if is_told else "a silent mixture")


def overwritten_input(bench: Bench) -> Row:
    source, vrt = bench.folder / "source.tif", bench.folder / "source.vrt"
    shutil.copyfile(bench.raster, source)
    copy_raster(source, vrt, driver="VRT")
    before = source.read_bytes()
    process = bench.start(*bench.quick(bench.folder / "s.gpkg", "--label-raster", str(source)), raster=vrt)
    outcome = words(process)
    return Row("an output is the source of a VRT", outcome, "" if source.read_bytes() == before else "the raster")


def closed_output(bench: Bench) -> Row:
    out = bench.folder / "closed.gpkg"
    process = bench.start(*bench.quick(out), "--json")
    stdout, stderr = process.stdout, process.stderr
    if stdout is None or stderr is None:
        raise RuntimeError("The run was started without pipes.")
    stdout.readline()
    stdout.close()
    err = stderr.read()
    process.wait()
    outcome = f"exit {process.returncode}" if "Traceback" not in err else "TRACEBACK"
    return Row("--json | head -1", outcome, "" if out.exists() and is_whole(out) else "the result")


def plain_pickle(bench: Bench) -> Row:
    models, witness = bench.folder / "pickled", bench.folder / "was_run"
    models.mkdir()
    command = f"touch {witness}".encode()
    (models / "model.pt").write_bytes(b"cos\nsystem\n(V" + command + b"\ntR.")
    process = bench.start("--text", "road", "--models", str(models), "--out", str(bench.folder / "p.gpkg"))
    outcome = words(process)
    return Row("a pickle with a command in it", outcome, leaked="the command was run" if witness.exists() else "")


def torchscript(bench: Bench) -> Row:
    models, witness = bench.folder / "scripted", bench.folder / "it_ran"
    models.mkdir()
    shutil.copyfile(ROOT / "tests" / "data" / "writes_a_file.pt", models / "clip.pt")
    outcome = words(bench.start("--text", "road", "--models", str(models), "--out", str(bench.folder / "t.gpkg")))
    return Row(
        "a TorchScript archive that writes a file", outcome, leaked="the code was run" if witness.exists() else ""
    )


def memory_limit(bench: Bench) -> Row:
    out = bench.folder / "memory.gpkg"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (5 * 2**30, 5 * 2**30))

    parameters = ("points_per_side=40", "points_per_batch=1600", "tile_px=256", "overlap_px=0")
    process = bench.start("--text", "road", "--param", *parameters, "--out", str(out), limit=limit)
    outcome = words(process)
    return Row("5 GB of address space", outcome, "" if process.returncode or is_whole(out) else "the result")


class Server(BaseHTTPRequestHandler):
    """Answers as the test wants it; what it receives is kept."""

    received: list[bytes]
    reply: Callable[[BaseHTTPRequestHandler], None]

    def do_POST(self) -> None:
        type(self).received.append(self.requestline.encode() + str(self.headers).encode())
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).reply(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def server(reply: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[bytes]]]:
    """Serve on loopback; the value is the address, and what was received."""
    received: list[bytes] = []
    handler = type("Handler", (Server,), {"received": received, "reply": staticmethod(reply)})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}", received
    finally:
        http.shutdown()
        http.server_close()


def says(text: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer a chat completion with a text."""
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    body = json.dumps(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [message]}
    ).encode()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Answer with far more than anybody can use, in chunks."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    chunk = b"x" * 1_000_000
    try:
        for _ in range(HUGE_BYTES // len(chunk)):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    except OSError:
        return  # the client has had enough


def ask(bench: Bench, address: str, name: str, variables: Mapping[str, str]) -> tuple[Process, list[Path]]:
    """Start a question to a server; return the run and its files."""
    files = [bench.folder / f"{name}.gpkg", bench.folder / f"{name}.geojson"]
    options = ["--phrase", "the house", "--pipeline", "vlm-sam", "--consent-to-send", "--json"]
    parameters = ["--param", f"base_url={address}/v1", "model=m", "tries=1", "min_area_m2=0"]
    outputs = ["--out", str(files[0]), "--clicks", str(files[1])]
    return bench.start(*options, *parameters, *outputs, variables={"RS_TEXTSEG_API_KEY": KEY, **variables}), files


def echoed_key(bench: Bench) -> Row:
    answer = {"instances": [{"label": f"house {KEY}", "box": [40, 40, 120, 120], "positive_points": [[80, 80]]}]}
    with server(says(json.dumps(answer))) as (address, _):
        process, files = ask(bench, address, "echo", {"NO_PROXY": "127.0.0.1"})
        out, err = process.communicate(timeout=300)
    places = [path.suffix for path in files if path.exists() and KEY.encode() in path.read_bytes()]
    places += [name for name, text in (("events", out), ("errors", err)) if KEY in text]
    return Row("a server says the key back", f"exit {process.returncode}", leaked=", ".join(places))


def proxied(bench: Bench) -> Row:
    answer = says(json.dumps({"instances": []}))
    with server(answer) as (address, _), server(answer) as (proxy, seen):
        variables = {"HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "", "no_proxy": ""}
        process, _ = ask(bench, address, "proxy", variables)
        process.communicate(timeout=300)
    leaked = "picture and key for this machine" if seen else ""
    return Row("HTTP_PROXY is set, the server is here", f"exit {process.returncode}", leaked=leaked)


def huge_answer(bench: Bench) -> Row:
    with server(endless) as (address, _):
        process, _ = ask(bench, address, "huge", {"NO_PROXY": "127.0.0.1"})
        start_s, most_kb = time.monotonic(), 0
        while process.poll() is None and time.monotonic() < start_s + WAIT_S:
            most_kb = max(most_kb, peak_kb(process.pid))
            time.sleep(0.05)
        process.kill()
        process.communicate()
    return Row("an answer of 400 MB", f"exit {process.returncode}, {most_kb / 1024:.0f} MB at most")


def peak_kb(pid: int) -> int:
    """Return the most memory that a process has had, in kB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


FAULTS: dict[str, Callable[[Bench], Row]] = {
    "killed": killed, "hung-up": hung_up, "full-disk": full_disk, "two-writers": two_writers,
    "changed-raster": changed_raster, "overwritten-input": overwritten_input, "closed-output": closed_output,
    "pickle": plain_pickle, "torchscript": torchscript, "memory": memory_limit, "echoed-key": echoed_key,
    "proxy": proxied, "huge-answer": huge_answer,
}  # fmt: skip


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--checkout", type=Path, default=ROOT, help="whose code runs")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME")
    options = parser.parse_args()
    rows = []
    print("| fault | outcome | lost | leaked |\n|---|---|---|---|", flush=True)
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            row = FAULTS[name](Bench(options.checkout.resolve(), Path(folder)))
        rows.append(row)
        print(f"| {row.fault} | {row.outcome} | {row.lost or 'nothing'} | {row.leaked or 'nothing'} |", flush=True)
    return int(any(row.lost or row.leaked or "TRACEBACK" in row.outcome for row in rows))


if __name__ == "__main__":
    sys.exit(main())
