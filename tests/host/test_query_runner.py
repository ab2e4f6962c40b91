from __future__ import annotations

import pytest
from qgis.core import QgsApplication

from rs_textseg_plugin.host.query_runner import QueryRunner
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture
def client(fake_interpreter):
    client = WorkerProcessClient(fake_interpreter, grace_s=0.3)
    yield client
    client.close()


@pytest.fixture
def runner(client):
    runner = QueryRunner(client, QgsApplication.taskManager())
    yield runner
    client.close()
    runner.shut_down()


def test_a_completed_run_comes_with_its_request_and_frees_the_runner(qtbot, runner, make_request):
    request = make_request("road")
    with qtbot.waitSignal(runner.completed, timeout=5000) as completed:
        runner.start(request)
        assert runner.is_running
    assert completed.args[1] is request
    assert completed.args[0].classes[0].name == "road"
    assert not runner.is_running


def test_events_are_passed_on(qtbot, runner, make_request):
    request = make_request("warn, road")
    passed = [runner.started, runner.progressed, runner.found, runner.warned]
    with qtbot.waitSignals(passed, timeout=5000) as told:
        runner.start(request)
    assert told.all_signals_and_args[0].args[0] is request
    qtbot.waitUntil(lambda: not runner.is_running)


def test_a_second_start_is_ignored_while_one_is_under_way(qtbot, runner, make_request):
    requests = []
    runner.started.connect(requests.append)
    with qtbot.waitSignal(runner.completed, timeout=5000):
        runner.start(make_request("road"))
        runner.start(make_request("water"))
    assert [request.query.text for request in requests] == ["road"]


def test_cancelling_fails_the_run_as_cancelled_and_another_can_start(qtbot, runner, make_request):
    runner.progressed.connect(lambda _: runner.cancel())
    with qtbot.waitSignal(runner.failed, timeout=5000) as failed:
        runner.start(make_request("slow"))
    assert failed.args[0].kind == "Cancelled"
    runner.progressed.disconnect()
    with qtbot.waitSignal(runner.completed, timeout=5000):
        runner.start(make_request("road"))


def test_shutting_down_during_a_run_leaves_no_task_behind(qtbot, runner, client, make_request):
    with qtbot.waitSignal(runner.progressed, timeout=5000):
        runner.start(make_request("hang"))
    client.close()
    runner.shut_down()
    qtbot.waitUntil(lambda: QgsApplication.taskManager().countActiveTasks() == 0)
    assert not runner.is_running
