"""Which way pictures and key go, and that it is the way that the note tells: real servers and proxies on loopback."""

from __future__ import annotations

import pytest
from controls import control
from endpoint_questions import ASKED, KEY, PICTURE, ask, endpoint_of
from openai_server import says

from rs_textseg_plugin.contract.errors import EngineError, RecipeError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.vlm.conversation import Conversation
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy

ELSEWHERE = "http://vlm.invalid/v1"
PROXY_PASSWORD = "open" + "sesame"


@pytest.fixture
def proxy(serve, monkeypatch):
    """A proxy that answers itself, and stands in the environment with a password."""
    server = serve(says("from the proxy"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://user:{PROXY_PASSWORD}@127.0.0.1:{server.port}")
    return server


def note_before(endpoint: Endpoint) -> str:
    """What the result says before the first picture goes."""
    (note,) = Conversation(endpoint, "ship", ClickPolicy(), False).announce([Window(0, 0, 60, 40)])
    return note


def test_what_is_for_this_machine_meets_no_proxy_and_the_note_says_so(serve, proxy):
    server = serve(says("{}"))
    endpoint = endpoint_of(server)
    assert note_before(endpoint).endswith("which stay on this machine.")
    assert endpoint.ask(PICTURE, ASKED, control()).text == "{}"
    assert proxy.connections == 0
    assert len(server.received) == 1


def test_localhost_by_any_name_is_this_machine(serve, proxy, subtests):
    server = serve(says("{}"))
    for name in ("localhost", "127.0.0.2", "LOCALHOST"):
        with subtests.test(name):
            url = server.base_url.replace("127.0.0.1", name)
            if name == "127.0.0.2":  # nothing listens there: the connection is refused, and not by the proxy
                with pytest.raises(EngineError, match=r"refused\. Start the server"):
                    Endpoint(url, "m", KEY).ask(PICTURE, ASKED, control())
            else:
                assert Endpoint(url, "m", KEY).ask(PICTURE, ASKED, control()).text == "{}"
            assert proxy.connections == 0


def test_a_broken_proxy_setting_keeps_nobody_from_this_machine(serve, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "gopher://proxy:1")
    assert ask(serve(says("{}"))).text == "{}"


def test_what_is_for_another_machine_takes_the_proxy_and_the_note_names_it_without_its_password(proxy):
    endpoint = Endpoint(ELSEWHERE, "m", "")
    note = note_before(endpoint)
    assert note.endswith(f"which leave this machine through the proxy 127.0.0.1:{proxy.port}.")
    assert PROXY_PASSWORD not in note
    assert PROXY_PASSWORD not in repr(vars(endpoint))
    assert endpoint.ask(PICTURE, ASKED, control()).text == "from the proxy"
    assert proxy.received[0].path == f"{ELSEWHERE}/chat/completions"
    assert "proxy-authorization" in proxy.received[0].headers


def test_a_host_that_no_proxy_names_is_reached_directly(proxy, monkeypatch, subtests):
    for exceptions, base_url in (
        ("vlm.invalid", ELSEWHERE),
        ("other.example, .invalid", ELSEWHERE),
        ("*", ELSEWHERE),
        ("192.0.2.0/24", "http://192.0.2.7:9/v1"),
        ("192.0.2.7", "http://192.0.2.7:9/v1"),
    ):
        with subtests.test(exceptions):
            monkeypatch.setenv("NO_PROXY", exceptions)
            endpoint = Endpoint(base_url, "m", "", tries=1, timeout_s=0.3)
            assert note_before(endpoint).endswith("which leave this machine directly.")
            with pytest.raises(EngineError):
                endpoint.ask(PICTURE, ASKED, control())
            assert proxy.connections == 0


def test_a_host_that_no_proxy_does_not_name_is_not_reached_directly(proxy, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "lm.invalid, 192.0.3.0/24, vlm.invalid.example")
    assert Endpoint(ELSEWHERE, "m", "").ask(PICTURE, ASKED, control()).text == "from the proxy"


def test_a_proxy_that_is_not_there_is_named_as_what_does_not_answer(proxy):
    proxy.__exit__()
    with pytest.raises(EngineError, match=rf"^The proxy 127\.0\.0\.1:{proxy.port}, through which the server") as caught:
        Endpoint(ELSEWHERE, "m", "").ask(PICTURE, ASKED, control())
    assert PROXY_PASSWORD not in str(caught.value)


def test_a_key_goes_to_another_machine_over_plain_http_only_where_exactly_that_is_allowed(proxy):
    with pytest.raises(RecipeError, match=r"Nothing was sent.*allow_plain_http=true") as caught:
        Endpoint(ELSEWHERE, "m", KEY)
    assert KEY not in str(caught.value)
    assert proxy.connections == 0
    Endpoint(ELSEWHERE, "m", KEY, allow_plain_http=True).ask(PICTURE, ASKED, control())
    assert proxy.received[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_key_may_go_over_http_to_this_machine_and_over_https_to_others(serve):
    server = serve(says("{}"))
    ask(server)
    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"
    Endpoint("https://vlm.invalid/v1", "m", KEY)
