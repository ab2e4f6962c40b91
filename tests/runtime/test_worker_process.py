from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from rs_textseg_plugin.contract.errors import InputError
from rs_textseg_plugin.contract.events import Failed, Finished, Progress, Warned
from rs_textseg_plugin.runtime.client import BUSY
from rs_textseg_plugin.runtime.worker_process import WorkerProcessClient


@pytest.fixture
def client(fake_interpreter):
    client = WorkerProcessClient(fake_interpreter, grace_s=0.3)
    yield client
    client.close()


def seen_by_worker(client, make_request):
    (warned,) = [event for event in client.run(make_request("environment")) if isinstance(event, Warned)]
    return json.loads(warned.message)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def cancel_after_first(client, events):
    seen = []
    for event in events:
        seen.append(event)
        client.cancel()
    return seen


def test_a_run_yields_the_events_in_order_and_ends_with_finished(client, make_request):
    events = list(client.run(make_request("road, water")))
    assert [type(event).__name__ for event in events] == ["Progress", "Found", "Progress", "Finished"]
    assert [row.name for row in events[-1].classes] == ["road", "water"]


def test_the_worker_stays_warm_between_runs(client, make_request):
    assert not client.is_warm
    first, second = (seen_by_worker(client, make_request)["pid"] for _ in range(2))
    assert first == second
    assert client.is_warm


def test_the_worker_is_started_as_a_module_in_the_folder_of_the_package(client, make_request, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    seen = seen_by_worker(client, make_request)
    assert seen["arguments"] == ["-X", "utf8", "-E", "-s", "-u", "-m", "rs_textseg_plugin.engine", "worker"]
    assert (Path(seen["cwd"]) / "rs_textseg_plugin" / "engine").is_dir()


@pytest.mark.parametrize("name", ["PYTHONHOME", "PYTHONPATH", "PROJ_LIB", "GDAL_DATA", "LD_PRELOAD", "QT_API"])
def test_what_qgis_sets_for_itself_does_not_reach_the_worker(client, make_request, monkeypatch, name):
    monkeypatch.setenv(name, "/nowhere")
    assert name not in seen_by_worker(client, make_request)["environ"]


def test_the_worker_keeps_freed_memory_where_glibc_reads_the_settings(client, make_request):
    environ = seen_by_worker(client, make_request)["environ"]
    expected = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
    assert {name: environ.get(name) for name in expected} == (expected if sys.platform == "linux" else {})


def test_a_refused_request_is_a_failure_and_leaves_the_worker_warm(client, make_request):
    *_, last = client.run(make_request("refuse"))
    assert last == Failed("SceneError", "The raster has no pixels.", "Traceback: somewhere")
    assert client.is_warm


def test_noise_on_stdout_and_events_of_other_runs_are_ignored(client, make_request):
    events = list(client.run(make_request("noise, road")))
    assert isinstance(events[-1], Finished)
    assert not any(isinstance(event, Warned) for event in events)


def test_noise_before_the_worker_is_ready_is_ignored_and_kept_for_the_log(client, make_request, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_START", "noisy")
    *_, last = client.run(make_request("crash"))
    assert last.kind == "EngineCrashed"
    assert "Welcome to the library" in last.details


def test_a_very_long_message_arrives_whole(client, make_request):
    lengths = [len(event.message) for event in client.run(make_request("huge")) if isinstance(event, Warned)]
    assert lengths == [5_000_000]


def test_a_worker_that_fills_stderr_is_not_blocked(client, make_request):
    *_, last = client.run(make_request("chatter"))
    assert isinstance(last, Finished)


def test_a_crash_is_told_with_exit_code_and_last_words_and_the_next_run_starts_anew(client, make_request):
    *_, last = client.run(make_request("crash"))
    assert last.kind == "EngineCrashed"
    assert "exit code 7" in last.message
    assert last.details.endswith("the last words")
    *_, last = client.run(make_request())
    assert isinstance(last, Finished)


def cannot_load(monkeypatch, words, code=1):
    monkeypatch.setenv("FAKE_WORKER_START", "cannot-load")
    monkeypatch.setenv("FAKE_WORKER_WORDS", words)
    monkeypatch.setenv("FAKE_WORKER_CODE", str(code))


def test_a_package_that_is_missing_after_the_start_is_told_with_the_command_that_installs_it(
    client, make_request, monkeypatch
):
    cannot_load(monkeypatch, "Traceback\nModuleNotFoundError: No module named 'torch'")
    *_, last = client.run(make_request())
    assert last.kind == "EngineUnavailable"
    assert "lacks the package 'torch'" in last.message
    assert "-m pip install -r" in last.message


def test_what_ends_a_worker_before_its_libraries_are_loaded_is_no_matter_of_the_tiles(
    client, make_request, monkeypatch
):
    cannot_load(monkeypatch, "OSError: [WinError 1114] c10.dll")
    *_, last = client.run(make_request())
    assert last.kind == "EngineUnavailable"
    assert "Visual C++ Redistributable" in last.message
    assert "1114" in last.details
    cannot_load(monkeypatch, "", -signal.SIGILL)
    *_, last = client.run(make_request())
    assert "instructions that this processor does not have" in last.message


def test_a_place_for_temporary_files_that_cannot_be_had_is_told_at_once(client, make_request, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    start_s = time.monotonic()
    (failed,) = client.run(make_request())
    assert time.monotonic() - start_s < 5
    assert failed.kind == "EngineUnavailable"
    assert "nowhere" in failed.message


def test_an_event_loop_that_another_plugin_changed_is_told_at_once(client, make_request):
    watcher = asyncio.get_child_watcher()
    asyncio.set_child_watcher(asyncio.SafeChildWatcher())
    try:
        (failed,) = client.run(make_request())
    finally:
        asyncio.set_child_watcher(watcher)
    assert failed.kind == "EngineUnavailable"
    assert "child_watcher" in failed.message


def test_a_killed_worker_is_told_by_the_signals_name_with_the_likely_cause(client, make_request):
    *_, last = client.run(make_request("kill"))
    assert "SIGKILL: often the system was out of memory" in last.message


def test_a_worker_that_died_while_idle_is_replaced_without_a_word(client, make_request):
    pid = seen_by_worker(client, make_request)["pid"]
    os.kill(pid, 9)
    time.sleep(0.3)
    *_, last = client.run(make_request())
    assert isinstance(last, Finished)


def test_a_cancelled_run_ends_at_once_and_leaves_the_worker_warm(client, make_request):
    pid = seen_by_worker(client, make_request)["pid"]
    events = cancel_after_first(client, client.run(make_request("slow")))
    assert events[-1] == Failed("Cancelled", "The run was cancelled.")
    assert len(events) < 10
    assert seen_by_worker(client, make_request)["pid"] == pid


def test_a_run_that_does_not_stop_is_ended_with_its_process_after_the_grace(client, make_request):
    pid = seen_by_worker(client, make_request)["pid"]
    start_s = time.monotonic()
    *_, last = cancel_after_first(client, client.run(make_request("hang")))
    assert last.kind == "Cancelled"
    assert 0.3 <= time.monotonic() - start_s < 5
    assert not is_running(pid)
    *_, last = client.run(make_request())
    assert isinstance(last, Finished)


def test_a_run_can_be_cancelled_from_another_thread_while_the_worker_starts(client, make_request, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_START", "silent")
    threading.Timer(0.3, client.cancel).start()
    assert list(client.run(make_request())) == [Failed("Cancelled", "The run was cancelled.")]


def test_cancelling_without_a_run_does_nothing(client, make_request):
    client.cancel()
    *_, last = client.run(make_request())
    assert isinstance(last, Finished)
    client.cancel()
    *_, last = client.run(make_request())
    assert isinstance(last, Finished)


def test_a_second_run_at_the_same_time_is_refused(client, make_request):
    first = client.run(make_request("slow"))
    next(first)
    assert list(client.run(make_request())) == [BUSY]
    first.close()


def test_leaving_the_iterator_ends_the_run_and_frees_the_client(client, make_request):
    events = client.run(make_request("hang"))
    assert isinstance(next(events), Progress)
    events.close()
    *_, last = client.run(make_request())
    assert isinstance(last, Finished)


def test_a_worker_that_is_never_ready_is_given_up_in_words(fake_interpreter, make_request, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_START", "silent")
    client = WorkerProcessClient(fake_interpreter, start_timeout_s=0.3)
    (failed,) = client.run(make_request())
    assert failed.kind == "EngineUnavailable"
    assert "was not ready 0.3 s after its start" in failed.message
    assert not client.is_warm


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("old", "speaks version 0 of the protocol"),
        ("dies", "ended before it could work (exit code 3)"),
        ("no-torch", "lacks the package 'torch'"),
    ],
)
def test_a_worker_that_cannot_start_is_unavailable_in_words(client, make_request, monkeypatch, how, words):
    monkeypatch.setenv("FAKE_WORKER_START", how)
    (failed,) = client.run(make_request())
    assert failed.kind == "EngineUnavailable"
    assert words in failed.message
    assert not client.is_warm


def test_what_a_worker_said_before_it_died_at_its_start_is_in_the_details(client, make_request, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_START", "dies")
    (failed,) = client.run(make_request())
    assert failed.details == "no licence"


def test_an_interpreter_that_does_not_exist_is_named(tmp_path, make_request):
    client = WorkerProcessClient(tmp_path / "python")
    (failed,) = client.run(make_request())
    assert failed.kind == "EngineUnavailable"
    assert str(tmp_path / "python") in failed.message


def test_closing_ends_the_process_and_can_be_done_twice(client, make_request):
    pid = seen_by_worker(client, make_request)["pid"]
    client.close()
    assert not is_running(pid)
    client.close()
    (failed,) = client.run(make_request())
    assert failed.kind == "EngineUnavailable"


def test_closing_ends_a_run_that_hangs_in_another_thread(client, make_request):
    events = []
    thread = threading.Thread(target=lambda: events.extend(client.run(make_request("hang"))))
    thread.start()
    while not events:
        time.sleep(0.01)
    client.close()
    thread.join(5)
    assert not thread.is_alive()
    assert events[-1].kind == "Cancelled"


def test_no_thread_is_left_after_closing(client, make_request):
    list(client.run(make_request()))
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "rs-textseg-engine"]


def test_the_key_is_asked_for_and_sent_before_each_run(fake_interpreter, make_request):
    keys = iter(["first", "", "third"])
    client = WorkerProcessClient(fake_interpreter, api_key=lambda: next(keys))
    try:
        seen = [seen_by_worker(client, make_request)["keys"] for _ in range(3)]
    finally:
        client.close()
    assert seen == [["first"], ["first", ""], ["first", "", "third"]]


def test_without_a_key_an_empty_one_is_sent_which_ends_an_earlier_one(client, make_request):
    assert seen_by_worker(client, make_request)["keys"] == [""]


def test_the_key_is_in_no_variable_and_no_argument_of_the_worker(fake_interpreter, make_request):
    client = WorkerProcessClient(fake_interpreter, api_key=lambda: "sk-hidden")
    try:
        seen = seen_by_worker(client, make_request)
    finally:
        client.close()
    assert seen.pop("keys") == ["sk-hidden"]
    assert "sk-hidden" not in json.dumps(seen)


def test_a_key_that_cannot_be_had_is_a_failure_in_words_and_leaves_the_worker_warm(fake_interpreter, make_request):
    def fail() -> str:
        if client.is_warm:
            raise InputError("The authentication store is locked.")
        return ""

    client = WorkerProcessClient(fake_interpreter, api_key=fail)
    try:
        list(client.run(make_request()))
        assert list(client.run(make_request())) == [Failed("InputError", "The authentication store is locked.")]
        assert client.is_warm
    finally:
        client.close()
