from __future__ import annotations

import pytest
from openai_server import OpenAiServer


@pytest.fixture
def serve(monkeypatch):
    """Start a server with a script, which is closed with the test; no proxy of this machine stands before it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    servers = []

    def start(*script, **options) -> OpenAiServer:
        servers.append(OpenAiServer(*script, **options))
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__()
