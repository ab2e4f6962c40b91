"""A stand-in for the engine's worker: it speaks the real wire and does what the class list tells it to.

Each class of the query is an order (see `ORDERS`); classes that are no order are "found" once. How it behaves at
its start is told by the environment variable FAKE_WORKER_START: silent, old, dies, no-torch, noisy; "cannot-load" says
FAKE_WORKER_WORDS after it is ready, and ends with FAKE_WORKER_CODE before its libraries are loaded.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))  # the real one is started with -m in the folder that holds the package

from rs_textseg_plugin.contract.events import ClassSummary, Failed, Finished, Found, Progress, Warned
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.contract.version import PROTOCOL, VERSION
from rs_textseg_plugin.contract.wire import Cancel, Key, Loaded, Ready, Run, RunEvent, Stop, decode, encode

INBOX: queue.Queue = queue.Queue()
KEYS: list[str] = []


def say(message):
    sys.stdout.write(encode(message))
    sys.stdout.flush()


def was_cancelled(run_id):
    """Look into the inbox without waiting; a stop counts, and stays there."""
    try:
        message = INBOX.get_nowait()
    except queue.Empty:
        return False
    if isinstance(message, Stop):
        INBOX.put(message)
    return isinstance(message, Stop) or (isinstance(message, Cancel) and message.id == run_id)


def order_slow(run):
    for tile in range(200):
        if was_cancelled(run.id):
            return Failed("Cancelled", "The run was cancelled.")
        say(RunEvent(run.id, Progress("working", tile, 200, tile / 200, (200 - tile) * 0.05)))
        time.sleep(0.05)
    return None


def order_hang(run):
    time.sleep(600)


def order_crash(run):
    sys.stderr.write("the last words\n")
    sys.stderr.flush()
    os._exit(7)


def order_kill(run):
    os.kill(os.getpid(), signal.SIGKILL)


def order_noise(run):
    print("Downloading: 100%", flush=True)
    print('{"type": "nonsense"}', flush=True)
    print(json.dumps({"type": "warned", "id": "another run", "message": "stale"}), flush=True)


def order_chatter(run):
    sys.stderr.write("x" * 79 + "\n" * 1)
    sys.stderr.write(("y" * 1023 + "\r") * 2000)
    sys.stderr.flush()


def order_refuse(run):
    return Failed("SceneError", "The raster has no pixels.", "Traceback: somewhere")


def order_warn(run):
    say(RunEvent(run.id, Warned("The CPU was used.")))


def order_huge(run):
    say(RunEvent(run.id, Warned("h" * 5_000_000)))


def order_environment(run):
    seen = {
        "keys": KEYS,
        "environ": dict(os.environ),
        "arguments": sys.argv[1:],
        "cwd": str(Path.cwd()),
        "pid": os.getpid(),
    }
    say(RunEvent(run.id, Warned(json.dumps(seen))))


ORDERS = {name[6:]: function for name, function in globals().items() if name.startswith("order_")}


def handle(run):
    specs = run.request.query.output_classes
    say(RunEvent(run.id, Progress("reading", 0, 2, 0.0)))
    for spec in specs:
        failure = ORDERS.get(spec.name, lambda run: None)(run)
        if failure is not None:
            say(RunEvent(run.id, failure))
            return
    found = [spec for spec in specs if spec.name not in ORDERS and spec.name != "nothing"]
    say(RunEvent(run.id, Found({spec.name: 1 for spec in found})))
    say(RunEvent(run.id, Progress("writing", 2, 2, 1.0, 0.0)))
    rows = tuple(
        ClassSummary(spec.name, spec.colour, int(spec in found), 400.0 * (spec in found), 0.75 * (spec in found))
        for spec in specs
    )
    write_result(run.request, found)
    more = {**write_rasters(run.request), **write_clicks(run.request)}
    say(RunEvent(run.id, Finished(run.request.output.path, rows, ("A note.",), device="CPU", is_demo=True, **more)))


def write_result(request: Request, found):
    """Write a GeoPackage with one square a class, where a path was asked for."""
    if not request.output.path:
        return
    from osgeo import ogr

    data = ogr.GetDriverByName("GPKG").CreateDataSource(request.output.path)
    layer = data.CreateLayer("segments", utm_33(), ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("class", ogr.OFTString))
    for i, spec in enumerate(found):
        feature = ogr.Feature(layer.GetLayerDefn())
        feature["class"] = spec.name
        x, y = 500000 + 5 * i, 5000000
        feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POLYGON(({x} {y},{x + 4} {y},{x + 4} {y - 4},{x} {y}))"))
        layer.CreateFeature(feature)


def write_rasters(request: Request):
    """Write those that were asked for, one pixel a class; return their paths by name."""
    paths = {name: getattr(request.output, name) for name in ("label_raster", "score_raster", "class_scores")}
    asked = {name: path for name, path in paths.items() if path}
    for path in asked.values():
        from osgeo import gdal

        data = gdal.GetDriverByName("GTiff").Create(path, len(request.query.output_classes), 1, 1)
        data.SetGeoTransform((500000, 0.5, 0, 5000000, 0, -0.5))
        data.WriteRaster(0, 0, data.RasterXSize, 1, bytes(range(1, data.RasterXSize + 1)))
    return asked


def write_clicks(request: Request):
    """Write the answer of a language model, where one was asked for: a box with a point inside and one outside."""
    path = request.output.clicks
    if not path:
        return {}
    about = {"instance": 1, "words": "a grey roof", "confidence": 0.8}
    ring = [[500002, 4999998], [500006, 4999998], [500006, 4999994], [500002, 4999994], [500002, 4999998]]
    shapes = [
        ("box", "Polygon", [ring]),
        ("inside", "Point", [500004, 4999996]),
        ("outside", "Point", [500001, 4999996]),
    ]
    features = [
        {"type": "Feature", "properties": {"kind": kind, **about}, "geometry": {"type": shape, "coordinates": where}}
        for kind, shape, where in shapes
    ]
    collection = {"type": "FeatureCollection", "crs_wkt": utm_33().ExportToWkt(), "features": features}
    Path(path).write_text(json.dumps(collection))
    return {"clicks": path}


def utm_33():
    from osgeo import osr

    srs = osr.SpatialReference()
    srs.ImportFromEPSG(32633)
    return srs


def start():
    how = os.environ.get("FAKE_WORKER_START", "")
    if how == "silent":
        time.sleep(600)
    if how == "dies":
        sys.stderr.write("no licence\n")
        sys.exit(3)
    if how == "no-torch":
        sys.stderr.write("ModuleNotFoundError: No module named 'torch'\n")
        sys.exit(1)
    if how == "noisy":
        print("Welcome to the library", flush=True)
    say(Ready(0 if how == "old" else PROTOCOL, VERSION, os.getpid()))
    if how == "cannot-load":
        sys.stderr.write(os.environ.get("FAKE_WORKER_WORDS", "") + "\n")
        sys.stderr.flush()
        code = int(os.environ.get("FAKE_WORKER_CODE", "1"))
        os.kill(os.getpid(), -code) if code < 0 else os._exit(code)
    say(Loaded())


def listen():
    for line in sys.stdin:
        INBOX.put(decode(line))
    os._exit(0)  # the parent has died


def main():
    start()
    threading.Thread(target=listen, daemon=True).start()
    while True:
        message = INBOX.get()
        if isinstance(message, Stop):
            return
        if isinstance(message, Key):
            KEYS.append(message.value)
        if isinstance(message, Run):
            handle(message)


main()
