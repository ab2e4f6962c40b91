from __future__ import annotations

import json

import pytest

from rs_textseg_plugin.contract.events import Finished, Warned
from rs_textseg_plugin.runtime.environment import INTERPRETER_VARIABLE
from rs_textseg_plugin.runtime.session import EngineSession


@pytest.fixture(autouse=True)
def chosen_interpreter(monkeypatch, fake_interpreter):
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(fake_interpreter))


def test_a_session_keeps_its_worker_until_it_is_closed(make_request):
    session = EngineSession()
    *_, last = session.run(make_request())
    assert isinstance(last, Finished)
    assert session.is_warm
    session.close()
    assert not session.is_warm


def test_a_session_for_one_job_ends_its_worker_with_the_run(make_request):
    session = EngineSession(keep_warm=False)
    *_, last = session.run(make_request())
    assert isinstance(last, Finished)
    assert not session.is_warm


def test_an_interpreter_that_is_installed_later_is_found_by_the_next_run(make_request, monkeypatch, fake_interpreter):
    session = EngineSession()
    monkeypatch.setenv(INTERPRETER_VARIABLE, "/no/python")
    (failed,) = session.run(make_request())
    assert failed.kind == "EngineUnavailable"
    assert "/no/python" in failed.message
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(fake_interpreter))
    *_, last = session.run(make_request())
    assert isinstance(last, Finished)
    session.close()


def test_a_session_cancels_the_run_of_its_worker(make_request):
    session = EngineSession()
    seen = []
    for event in session.run(make_request("slow")):
        seen.append(event)
        session.cancel()
    assert seen[-1].kind == "Cancelled"
    session.close()


def test_cancelling_and_closing_a_session_that_never_ran_does_nothing():
    session = EngineSession()
    session.cancel()
    session.close()
    assert not session.is_warm


def test_a_session_hands_the_key_to_its_worker(make_request):
    session = EngineSession(keep_warm=False, api_key=lambda: "sk-1")
    (seen,) = [event for event in session.run(make_request("environment")) if isinstance(event, Warned)]
    assert json.loads(seen.message)["keys"] == ["sk-1"]
