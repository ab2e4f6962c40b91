"""Servers that understand less than there is to say."""

from __future__ import annotations

import pytest
from controls import control
from endpoint_questions import ASKED, PICTURE, ask, endpoint_of, why_not
from openai_server import (
    fails,
    knows_no_schemas,
    says,
)

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint


@pytest.mark.parametrize("status", [400, 404, 422, 501])
def test_a_server_that_knows_no_schemas_is_asked_without_and_remembered(serve, status):
    server = serve(knows_no_schemas(says("{}"), status))
    endpoint = endpoint_of(server)
    assert endpoint.notes == ()
    for _ in range(2):
        assert endpoint.ask(PICTURE, ASKED, control()).text == "{}"
    assert ["response_format" in received.json for received in server.received] == [True, False, False]
    (note,) = endpoint.notes
    assert "with a JSON schema (response_format is not supported) and answered it without: the form" in note


def test_a_server_that_refuses_for_another_reason_is_asked_with_a_schema_next_time(serve):
    server = serve(fails(400, "bad"), fails(400, "bad"), says("{}"))
    endpoint = endpoint_of(server)
    with pytest.raises(EngineError, match="refused the request \\(400: bad\\)"):
        endpoint.ask(PICTURE, ASKED, control())
    endpoint.ask(PICTURE, ASKED, control())
    assert ["response_format" in received.json for received in server.received] == [True, False, True]
    assert endpoint.notes == ()


def test_of_a_refusal_that_has_nothing_to_do_with_the_schema_the_first_words_are_reported_and_no_note_is_given(serve):
    server = serve(fails(400, "the image is broken"), fails(400, "second thoughts"))
    endpoint = endpoint_of(server)
    with pytest.raises(EngineError, match="the image is broken"):
        endpoint.ask(PICTURE, ASKED, control())
    assert endpoint.notes == ()


def test_where_a_server_names_the_schema_what_it_says_next_is_the_reason(serve):
    server = serve(fails(400, "Structured outputs are off."), fails(400, "no image, please"))
    endpoint = endpoint_of(server)
    with pytest.raises(EngineError, match="no image, please"):
        endpoint.ask(PICTURE, ASKED, control())
    assert endpoint.notes == ()


def test_a_server_that_does_not_say_why_is_taken_at_its_deeds(serve):
    server = serve(lambda received: fails(400, "bad request") if "response_format" in received.json else says("{}"))
    endpoint = endpoint_of(server)
    for _ in range(2):
        endpoint.ask(PICTURE, ASKED, control())
    assert ["response_format" in received.json for received in server.received] == [True, False, False]
    assert "with a JSON schema (bad request) and answered it without" in endpoint.notes[0]


@pytest.mark.parametrize(
    "words", ["'max_tokens' or 'max_completion_tokens' is too large: 4096.", "maximum context length is 8 tokens"]
)
def test_a_request_that_is_too_long_is_not_asked_again_in_other_words(serve, words):
    server = serve(fails(400, words))
    assert words.rstrip(".") in why_not(server)
    assert len(server.received) == 1


def test_a_model_that_reasons_gets_the_limit_by_its_other_name_and_no_temperature(serve):
    def picky(received):
        if "max_tokens" in received.json:
            return fails(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in received.json:
            return fails(400, "Unsupported value: 'temperature' does not support 0 with this model.")
        return says("{}")

    server = serve(picky)
    endpoint = endpoint_of(server)
    assert endpoint.ask(PICTURE, ASKED, control()).text == "{}"
    assert server.received[-1].json["max_completion_tokens"] == 4096
    assert "response_format" in server.received[-1].json
    assert "no temperature" in endpoint.notes[0]
    endpoint.ask(PICTURE, ASKED, control())
    assert len(server.received) == 4


def test_the_same_question_is_asked_to_get_the_same_answer(serve):
    server = serve(says("{}"))
    ask(server)
    assert server.received[0].json["temperature"] == 0


@pytest.mark.parametrize("status", [401, 403, 413, 500])
def test_what_has_nothing_to_do_with_the_wording_is_not_asked_again_in_other_words(serve, status):
    server = serve(fails(status, "no, whatever the temperature"))
    why_not(server, tries=1)
    assert len(server.received) == 1


@pytest.mark.parametrize(("base_url", "said"), [("http://host.example/v1", True), ("https://host.example/v1", False)])
def test_that_others_could_listen_is_said_with_the_result(base_url, said):
    notes = Endpoint(base_url, "model", "").notes
    assert [note for note in notes if "without encryption" in note] == list(notes)
    assert bool(notes) is said
