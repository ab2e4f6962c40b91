"""An endpoint and a real server on loopback: what is sent, and what comes back."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from controls import control
from endpoint_questions import ASKED, KEY, PICTURE, SCHEMA, ask, endpoint_of
from openai_server import (
    as_json,
    completion,
    cut_off,
    fails,
    refuses,
    says,
)

import rs_textseg_plugin
from rs_textseg_plugin.contract.errors import EngineError, InputError, RecipeError
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.model import Convention, Decider, Reply

HELPERS = str(Path(control.__code__.co_filename).parent)
STAGED = Path(rs_textseg_plugin.__file__).parent.parent


def test_a_question_goes_out_with_its_picture_and_the_answer_comes_back_with_its_tokens(serve):
    server = serve(says('{"instances": []}', tokens=(321, 45)))
    assert ask(server) == Reply('{"instances": []}', (60, 40), 321, 45)
    (received,) = server.received
    assert received.path == "/v1/chat/completions"
    assert received.json["model"] == "gpt-5"
    assert received.json["max_tokens"] == 4096
    assert received.system == "Look."
    assert received.question == "Where is the ship?"
    assert received.picture_url.startswith("data:image/png;base64,")
    np.testing.assert_array_equal(received.picture, PICTURE)


def test_the_form_of_the_answer_is_asked_for_as_a_strict_schema(serve):
    server = serve(says("{}"))
    ask(server)
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
    assert server.received[0].json["response_format"] == wanted


def test_the_key_stands_in_the_authorization_header_and_nowhere_else(serve):
    server = serve(says("{}"))
    ask(server)
    headers = dict(server.received[0].headers)
    assert headers.pop("authorization") == f"Bearer {KEY}"
    assert KEY not in json.dumps(headers)
    assert KEY.encode() not in server.received[0].raw
    assert KEY not in server.received[0].path


def test_without_a_key_no_such_header_is_sent_whatever_the_environment_has(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-program")
    server = serve(says("{}"))
    ask(server, key="")
    assert "authorization" not in server.received[0].headers


def test_what_the_environment_says_of_openais_own_server_goes_to_no_other(serve, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "not-for-you")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    server = serve(says("{}"))
    ask(server)
    assert "not-for-you" not in json.dumps(dict(server.received[0].headers))


def test_a_query_in_the_address_goes_with_every_question_and_is_shown_nowhere(serve):
    server = serve(says("{}"), fails(403, "no"))
    endpoint = Endpoint(f"{server.base_url}/?api-version=2&code=secret", "m", KEY)
    endpoint.ask(PICTURE, ASKED, control())
    assert server.received[0].path == "/v1/chat/completions?api-version=2&code=secret"
    assert endpoint.name == f"m at {server.base_url}"
    with pytest.raises(EngineError) as caught:
        endpoint.ask(PICTURE, ASKED, control())
    assert "secret" not in str(caught.value)


def test_a_reply_in_parts_is_put_together(serve):
    parts = [{"type": "text", "text": '{"a"'}, {"type": "text", "text": ": 1}"}]
    assert ask(serve(completion({"content": parts}))).text == '{"a": 1}'


@pytest.mark.parametrize("tokens", [None, (-1, "many")])
def test_a_server_that_does_not_count_tokens_is_no_problem(serve, tokens):
    answer = (
        says("x", tokens=None)
        if tokens is None
        else as_json(
            {
                "choices": [{"message": {"content": "x"}}],
                "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]},
            }
        )
    )
    assert ask(serve(answer)) == Reply("x", (60, 40))


def test_a_refusal_is_a_reply_with_the_models_words(serve):
    assert ask(serve(refuses("I cannot help with that."))) == Reply(
        "", (60, 40), 900, 60, refusal="I cannot help with that."
    )


@pytest.mark.parametrize(
    "answer",
    [
        completion({"content": "half an ans"}, "content_filter"),
        fails(400, "The response was filtered", "content_filter"),
    ],
    ids=["of the answer", "of the question"],
)
def test_a_content_filter_is_a_refusal(serve, answer):
    server = serve(answer)
    reply = ask(server)
    assert "content filter" in reply.refusal
    assert reply.text == ""
    assert len(server.received) == 1


def test_an_answer_that_reached_the_limit_of_tokens_is_truncated(serve):
    server = serve(cut_off('{"instances": ['))
    assert ask(server, max_tokens=77) == Reply('{"instances": [', (60, 40), 900, 60, is_truncated=True)
    assert [received.json["max_tokens"] for received in server.received] == [77]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no address of a web server"),
        ("localhost:8000/v1", "no address of a web server"),
        ("ftp://host/v1", "no address of a web server"),
        ("file:///etc/passwd", "no address of a web server"),
        ("https://me:pass-word@host/v1", "user name or a password"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_before_anything_is_sent(url, words):
    with pytest.raises(RecipeError, match=words) as caught:
        Endpoint(url, "m", KEY)
    assert "pass-word" not in str(caught.value)


def test_a_model_without_a_name_is_refused():
    with pytest.raises(RecipeError, match="model="):
        Endpoint("http://localhost/v1", " ", KEY)


def test_a_key_that_is_no_key_is_refused_without_showing_it():
    with pytest.raises(InputError) as caught:
        Endpoint("http://localhost/v1", "m", f"{KEY}\nX: y")
    assert KEY not in str(caught.value)


def test_what_the_numbers_mean_goes_by_the_models_name_unless_it_is_given():
    for model, given, convention, decider in (
        ("Qwen3-VL-8B", None, Convention.GRID_1000, Decider.FAMILY),
        ("gemini-2.5-pro", None, Convention.GRID_1000_YX, Decider.FAMILY),
        ("gpt-5", None, Convention.PIXELS, Decider.NOBODY),
        ("gpt-5", Convention.GRID_1000, Convention.GRID_1000, Decider.USER),
        ("Qwen3-VL-8B", Convention.PIXELS, Convention.PIXELS, Decider.USER),
    ):
        endpoint = Endpoint("http://localhost/v1", model, "", convention=given)
        assert (endpoint.convention, endpoint.decider) == (convention, decider)


def test_the_size_of_the_picture_is_the_one_that_the_models_pixels_refer_to(serve):
    endpoint = endpoint_of(serve(says("{}")), model="qwen2.5vl:7b")
    assert endpoint.ask(PICTURE, ASKED, control()).shown_px == endpoint.shown_size(60, 40) == (84, 56)


def test_nothing_of_a_question_is_logged_whatever_the_environment_wants(serve, caplog, monkeypatch):
    for name in ("openai", "httpx2", "httpcore2"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    server = serve(fails(500, "boom"), says("{}"))
    with caplog.at_level(logging.DEBUG):
        Endpoint(f"{server.base_url}?code=secret", "m", KEY).ask(PICTURE, ASKED, control())
    assert KEY not in caplog.text
    assert "secret" not in caplog.text
    assert "iVBOR" not in caplog.text


def test_the_engine_runs_without_the_client_and_says_how_to_install_it():
    code = f"""
import sys
sys.path[:0] = [{str(STAGED)!r}, {HELPERS!r}]
import numpy as np
from controls import control
from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.model import ModelQuestion

endpoint = Endpoint("http://localhost/v1", "m", "")
assert "openai" not in sys.modules
sys.modules["openai"] = None
try:
    endpoint.ask(np.zeros((8, 8, 3), np.uint8), ModelQuestion("", "?", {{}}), control())
except EngineError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100).stdout
    assert "lacks a package to speak with a server (openai)" in said
    assert f'"{sys.executable}" -m pip install "openai' in said
