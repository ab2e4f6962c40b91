from __future__ import annotations

import pytest
from qgis.core import QgsApplication, QgsTask
from qgis.PyQt.QtCore import QTimer

from rs_textseg_plugin.contract.events import Failed, Finished
from rs_textseg_plugin.host.task import SegmentTask
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture
def client(fake_interpreter):
    client = WorkerProcessClient(fake_interpreter, grace_s=0.3)
    yield client
    client.close()


class Heard:
    """Everything that a task said, in its order."""

    def __init__(self, task):
        self.words = []
        for name in ("progressed", "found", "warned", "completed", "failed"):
            getattr(task, name).connect(lambda value, name=name: self.words.append((name, value)))

    def names(self):
        return [name for name, _ in self.words]

    def is_over(self):
        return bool({"completed", "failed"} & set(self.names()))


def run(qtbot, task):
    heard = Heard(task)
    QgsApplication.taskManager().addTask(task)
    qtbot.waitUntil(heard.is_over, timeout=5000)
    return heard


def test_a_task_tells_the_events_of_its_run_and_completes(qtbot, client, make_request):
    heard = run(qtbot, SegmentTask(make_request("warn, road"), client))
    assert heard.names() == ["progressed", "warned", "found", "progressed", "completed"]
    assert dict(heard.words)["warned"] == "The CPU was used."
    assert isinstance(dict(heard.words)["completed"], Finished)


def test_a_failed_run_is_told_with_its_words(qtbot, client, make_request):
    heard = run(qtbot, SegmentTask(make_request("refuse"), client))
    assert heard.words[-1] == ("failed", Failed("SceneError", "The raster has no pixels.", "Traceback: somewhere"))


def test_a_cancelled_task_ends_as_a_cancelled_run(qtbot, client, make_request):
    task = SegmentTask(make_request("slow"), client)
    task.progressed.connect(lambda _: task.cancel())
    heard = run(qtbot, task)
    assert heard.words[-1][1].kind == "Cancelled"


def test_a_run_that_says_nothing_can_be_cancelled(qtbot, client, make_request):
    task = SegmentTask(make_request("hang"), client)
    task.progressed.connect(lambda _: QTimer.singleShot(100, task.cancel))
    heard = run(qtbot, task)
    assert heard.words[-1][1].kind == "Cancelled"


def test_a_task_that_is_cancelled_while_it_waits_for_its_turn_ends_too(qtbot, client, make_request):
    task = SegmentTask(make_request("road"), client)
    task.hold()
    heard = Heard(task)
    QgsApplication.taskManager().addTask(task)
    task.cancel()
    qtbot.waitUntil(heard.is_over, timeout=5000)
    assert heard.words[-1][1].kind == "Cancelled"


def test_the_progress_of_the_task_is_that_of_the_run(qtbot, client, make_request):
    task = SegmentTask(make_request("slow"), client)
    shown = []
    task.progressChanged.connect(shown.append)
    task.progressed.connect(lambda progress: progress.fraction > 0.04 and task.cancel())
    run(qtbot, task)
    assert 4.5 in shown


def test_an_error_in_the_plugin_itself_fails_the_task_with_its_traceback(make_request):
    class BrokenClient:
        def run(self, request):
            raise RuntimeError("the sky fell")

    task = SegmentTask(make_request(), BrokenClient())
    assert task.run() is False
    assert task.outcome.kind == "EngineError"
    assert "the sky fell" in task.outcome.message
    assert "RuntimeError" in task.outcome.details


def test_the_task_is_named_after_the_query_and_can_be_cancelled(client, make_request):
    task = SegmentTask(make_request("road,\nwater"), client)
    assert task.description() == "Segment by text: road, water"
    assert task.flags() & QgsTask.Flag.CanCancel
