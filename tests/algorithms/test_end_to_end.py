"""The Processing algorithm with the real engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingFeedback, QgsRasterLayer, QgsVectorLayer

from rs_textseg_plugin.algorithms.provider import RsTextSegProvider
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient


@pytest.fixture
def algorithm(qgis_app):
    client = WorkerProcessClient(Path(sys.executable))
    provider = RsTextSegProvider(client)
    registry = QgsApplication.processingRegistry()
    registry.addProvider(provider)
    yield registry.createAlgorithmById("rstextseg:segmentbytext")
    registry.removeProvider(provider)
    client.close()


def test_polygons_and_rasters_are_written_where_processing_wants_them(algorithm, raster_file, tiny_models, tmp_path):
    values = {
        "INPUT": QgsRasterLayer(str(raster_file)),
        "TEXT": "road, water, *",
        "MODELS": str(tiny_models),
        "PARAMETERS": "points_per_side=2; min_area_m2=0",
        "BANDS": "3,2,1",
        "DEVICE": "cpu",
        "OUTPUT": str(tmp_path / "segments.shp"),
        "LABEL_RASTER": str(tmp_path / "labels.tif"),
        "SCORE_RASTER": str(tmp_path / "scores.tif"),
    }
    context = QgsProcessingContext()
    assert algorithm.checkParameterValues(values, context) == (True, "")
    outputs, is_done = algorithm.run(values, context, QgsProcessingFeedback(False), {}, False)
    assert is_done
    segments, labels = QgsVectorLayer(outputs["OUTPUT"]), QgsRasterLayer(outputs["LABEL_RASTER"])
    assert segments.isValid()
    assert segments.featureCount() == outputs["COUNT"]
    assert (labels.width(), labels.height()) == (64, 48)
    assert QgsRasterLayer(outputs["SCORE_RASTER"]).crs().authid() == "EPSG:32633"
