"""Whatever a server does and however a connection fails, it is told in words."""

from __future__ import annotations

import socket
import time
import traceback
from pathlib import Path

import pytest
from certificates import make_certificate
from controls import control
from endpoint_questions import ASKED, KEY, PICTURE, ask, why_not
from openai_server import (
    Answer,
    Dripping,
    as_json,
    closes,
    completion,
    fails,
    garbage,
    hangs,
    redirects,
    says,
)

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.contract.server.api_key import VARIABLE
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint


def test_an_answer_that_is_none_is_explained_in_words_that_name_server_and_model(subtests, serve):
    for answer, words in (
        (fails(400, "image too large"), "refused the request (400: image too large)"),
        (fails(401, "wrong"), "does not accept the key (401)"),
        (fails(402, "pay"), "wants to be paid first (402: pay)"),
        (fails(403, "not your country"), "does not let the key in (403: not your country)"),
        (fails(404, "no model gpt-5"), "does not know the model or the address (404: no model gpt-5)"),
        (fails(413, ""), "takes no picture of this size (413)"),
        (as_json({"detail": [{"msg": "Field required", "input": "x"}]}, 422), "(422: Field required)"),
        (as_json({"error": "model 'm' not found"}, 404), "(404: model 'm' not found)"),
        (Answer(404, b"<html><h1>Not here</h1></html>"), "(404: Not here)"),
        (Answer(418), "(418)"),
        (garbage(b"<html>Welcome!</html>", "text/html"), "is no JSON object: 'Welcome!'"),
        (garbage(b'{"choices": ['), "is no JSON object"),
        (garbage(b"[1]"), "is no JSON object"),
        (garbage(b""), "is no JSON object: 'nothing at all'"),
        (garbage(b"\xff\xfe\x00"), "is no JSON object"),
        (garbage(b"[" * 100_000), "is no JSON object"),
        (as_json({}), "the reply has no choices"),
        (as_json({"choices": []}), "the reply has no choices"),
        (as_json({"choices": None}), "the reply has no choices"),
        (as_json({"choices": ["a"]}), "the reply has no choices"),
        (as_json({"error": {"message": "upstream is down"}}), "sent no answer: upstream is down"),
        (as_json({"choices": [{}]}), "sent an empty answer"),
        (as_json({"choices": [{"message": None, "finish_reason": None}]}), "sent an empty answer"),
        (completion({"content": None}), "sent an empty answer"),
        (completion({"content": " \n"}), "sent an empty answer"),
        (completion({"content": 5}), "sent an empty answer"),
    ):
        with subtests.test(words):
            server = serve(answer)
            said = why_not(server, tries=1)
            assert words in said
            assert said.startswith(f"The server {server.base_url} (model gpt-5) ")
            assert said.count(". ") <= 1


def test_a_server_that_wants_a_key_and_got_none_is_explained_with_where_keys_belong(serve):
    said = why_not(serve(fails(401, "missing bearer")), key="")
    assert "none was" in said
    assert VARIABLE in said


ECHO = f"You sent {KEY} with data:image/png;base64,{'QUJD' * 500}!"


def test_no_error_shows_the_key_or_the_picture_even_where_the_server_sends_them_back(subtests, serve):
    for answer in (
        *(fails(status, ECHO) for status in (400, 401, 403, 404, 422, 429, 500)),
        as_json({"error": {"message": ECHO}}),
        garbage(ECHO.encode(), "text/plain"),
        redirects(f"https://127.0.0.1/?token={KEY}"),
        closes(),
    ):
        with subtests.test(answer=answer):
            with pytest.raises(EngineError) as caught:
                ask(serve(answer), tries=1)
            shown = "".join(traceback.format_exception(caught.value))
            assert KEY not in shown
            assert "QUJDQUJD" not in shown
            assert len(str(caught.value)) < 700


def test_a_server_that_talks_a_lot_is_cut_short(serve):
    said = why_not(serve(fails(500, "word " * 5000)), tries=1)
    assert "(500: word word" in said
    assert len(said) < 500


def test_a_server_that_does_not_answer_in_time_is_left(serve):
    server = serve(hangs())
    start_s = time.monotonic()
    assert "did not answer within 0.5 s" in why_not(server, timeout_s=0.5)
    assert time.monotonic() - start_s < 10
    assert server.left.wait(5)
    assert len(server.received) == 1


def test_a_server_that_sends_a_byte_now_and_then_is_left_in_time_too():
    with Dripping(0.2) as port:
        start_s = time.monotonic()
        with pytest.raises(EngineError, match="did not answer within 1 s"):
            Endpoint(f"http://127.0.0.1:{port}", "m", "", timeout_s=1).ask(PICTURE, ASKED, control())
        assert time.monotonic() - start_s < 10


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_refused_connection_is_explained_and_not_tried_again():
    start_s = time.monotonic()
    url = f"http://127.0.0.1:{closed_port()}/v1"
    with pytest.raises(EngineError, match=f"{url}.* the connection was refused. Start the server"):
        Endpoint(url, "m", KEY, tries=10).ask(PICTURE, ASKED, control())
    assert time.monotonic() - start_s < 10


def test_an_unknown_host_is_explained():
    with pytest.raises(EngineError, match=r"no address is known for vlm\.invalid"):
        Endpoint("http://vlm.invalid/v1", "m", "").ask(PICTURE, ASKED, control())


def test_plain_http_behind_an_https_address_is_explained(serve):
    url = serve(says("{}")).base_url.replace("http:", "https:")
    with pytest.raises(EngineError, match=r"has no safe connection .*: if the server speaks plain HTTP"):
        Endpoint(url, "m", KEY).ask(PICTURE, ASKED, control())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_a_certificate_that_nobody_trusts_is_explained_and_nothing_is_sent(serve, certificate):
    server = serve(says("{}"), certificate=certificate)
    said = why_not(server)
    assert "has no safe connection (self" in said
    assert "SSL_CERT_FILE" in said
    assert server.received == []


def test_a_certificate_that_the_environment_trusts_is_trusted(serve, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    server = serve(says("{}"), certificate=certificate)
    assert ask(server).text == "{}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_its_target_is_named(serve, status):
    other = serve(says("{}"))
    server = serve(redirects(f"{other.base_url}/chat/completions?token=secret", status))
    said = why_not(server)
    assert f"sends on to {other.base_url} ({status}), which was not followed" in said
    assert "secret" not in said
    assert other.connections == 0


def test_a_proxy_that_makes_no_sense_is_explained_without_its_password(serve, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "gopher://user:pass" + "word@proxy:1")
    serve(says("{}"))
    with pytest.raises(EngineError, match="The proxy in the environment") as caught:
        Endpoint("http://vlm.invalid/v1", "m", "").ask(PICTURE, ASKED, control())
    assert "password" not in str(caught.value)


def test_a_proxy_that_lets_nobody_through_is_explained(serve, monkeypatch):
    proxy = serve(says("{}"))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(EngineError, match=r"The connection to the server https://vlm\.invalid.* broke \(ProxyError\)"):
        Endpoint("https://vlm.invalid/v1", "m", KEY, tries=1).ask(PICTURE, ASKED, control())
    assert proxy.received == []
