"""Runs in a Python of its own for tests/test_seventh_method.py: a method that only the staged plugin has.

    seventh_method.py STAGED RASTER FOLDER

Runs it from Processing and as the dock's model asks for it; prints the polygons of each and what the dock offers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

STAGED, RASTER, FOLDER = sys.argv[1:]
sys.path.insert(0, STAGED)

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)

application = QgsApplication([], True)
application.initQgis()

from rs_textseg_plugin.algorithms.provider import RsTextSegProvider  # noqa: E402
from rs_textseg_plugin.contract.events import Finished  # noqa: E402
from rs_textseg_plugin.gui.state.query_model import QueryModel  # noqa: E402
from rs_textseg_plugin.host.server.endpoint_key import KeyHolder  # noqa: E402
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient  # noqa: E402


def count_of(events) -> int:
    finished = list(events)[-1]
    assert isinstance(finished, Finished), finished
    return sum(row.count for row in finished.classes)


def from_processing(client, keys) -> int:
    provider = RsTextSegProvider(client, keys)
    registry = QgsApplication.processingRegistry()
    registry.addProvider(provider)
    algorithm = registry.createAlgorithmById("rstextseg:segmentbytext")
    inputs = {"INPUT": RASTER, "TEXT": "lamp", "PIPELINE": "bright-spots", "PRESET": "dim", "DEVICE": "cpu"}
    outputs = {"OUTPUT": str(Path(FOLDER) / "processing.gpkg")}
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    results, is_done = algorithm.run({**inputs, **outputs}, context, feedback)
    assert is_done, feedback.textLog()
    registry.removeProvider(provider)
    return int(results["COUNT"])


def from_the_dock(client) -> int:
    project = QgsProject.instance()
    layer = QgsRasterLayer(RASTER, "scene")
    project.addMapLayer(layer)
    model = QueryModel(project, lambda: (QgsRectangle(), QgsCoordinateReferenceSystem()))
    asked = []
    model.submitted.connect(asked.append)
    model.update(layer_id=layer.id(), text="lamp", pipeline="bright-spots", device="cpu")
    model.submit()
    assert len(asked) == 1, model.problems
    return count_of(client.run(asked[0]))


keys = KeyHolder()
client = WorkerProcessClient(Path(sys.executable), api_key=keys)
try:
    found = {"processing": from_processing(client, keys), "dock": from_the_dock(client)}
finally:
    client.close()
print(json.dumps(found))
