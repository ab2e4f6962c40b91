"""One question for every endpoint under test, and what comes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from controls import control
from openai_server import OpenAiServer

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.model import ModelQuestion, Reply

KEY = "sk-" + "hIdDeN" * 5
PICTURE = np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ASKED = ModelQuestion("Look.", "Where is the ship?", SCHEMA)


def never() -> bool:
    """Let it run."""
    return False


def endpoint_of(server: OpenAiServer, model: str = "gpt-5", key: str = KEY, **options: Any) -> Endpoint:
    """Return an endpoint at a server."""
    return Endpoint(server.base_url, model, key, **options)


def ask(server: OpenAiServer, **options: Any) -> Reply:
    """Ask a server once."""
    return endpoint_of(server, **options).ask(PICTURE, ASKED, control())


def why_not(server: OpenAiServer, **options: Any) -> str:
    """Ask a server that has no answer; return the words of the error."""
    with pytest.raises(EngineError) as caught:
        ask(server, **options)
    return str(caught.value)
