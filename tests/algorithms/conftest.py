from __future__ import annotations

import pytest
from processing_feedback import Feedback
from qgis.core import QgsApplication, QgsProcessingContext

from rs_textseg_plugin.algorithms.provider import RsTextSegProvider
from rs_textseg_plugin.host.server.endpoint_key import KeyHolder
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Where class lists of one's own would be."""
    monkeypatch.setattr("rs_textseg_plugin.contract.text.word_list.data_home", lambda: tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def keys():
    return KeyHolder()


@pytest.fixture
def client(fake_interpreter, keys):
    client = WorkerProcessClient(fake_interpreter, grace_s=0.3, api_key=keys)
    yield client
    client.close()


@pytest.fixture
def algorithm(qgis_app, client, keys):
    """The algorithm as the registry hands it out."""
    provider = RsTextSegProvider(client, keys)
    registry = QgsApplication.processingRegistry()
    assert registry.addProvider(provider)
    yield registry.createAlgorithmById("rstextseg:segmentbytext")
    registry.removeProvider(provider)


@pytest.fixture
def run(algorithm, raster_file, tmp_path):
    """Run the algorithm as Processing does, and return outputs and feedback."""

    def run(text="road, water", feedback=None, context=None, **more):
        feedback = feedback or Feedback()
        values = {"INPUT": str(raster_file), "TEXT": text, "OUTPUT": str(tmp_path / "result.gpkg"), **more}
        context = context or QgsProcessingContext()
        is_fine, why = algorithm.checkParameterValues(values, context)
        assert is_fine, why
        outputs, is_done = algorithm.run(values, context, feedback, {}, False)
        assert is_done
        return outputs, feedback

    return run


@pytest.fixture
def request_of(run, monkeypatch):
    """Run the algorithm, and return the request that reached the client."""

    def request_of(**values):
        requests = []
        original = WorkerProcessClient.run

        def keep(self, request):
            requests.append(request)
            return original(self, request)

        monkeypatch.setattr(WorkerProcessClient, "run", keep)
        run(**values)
        return requests[0]

    return request_of
