"""Models that reason before they answer: hidden tokens, and answers that never begin."""

from __future__ import annotations

from typing import Any

import pytest
from controls import control
from endpoint_questions import ASKED, PICTURE, ask, endpoint_of, why_not
from openai_server import Answer, Received, as_json, completion, cut_off, fails, says

from rs_textseg_plugin.engine.vlm.model import Reply


def reasoned(content: str | None, finish: str, tokens_out: int, **usage: Any) -> Answer:
    """Answer as servers do whose models reason: with counts of what is hidden."""
    message = {"role": "assistant", "content": content}
    counts = {"prompt_tokens": 900, "completion_tokens": tokens_out, "total_tokens": 900 + tokens_out, **usage}
    return as_json({"choices": [{"index": 0, "finish_reason": finish, "message": message}], "usage": counts})


def needs(tokens: int, **usage: Any):
    """A model that needs so many tokens of reasoning before its answer."""

    def answer(received: Received) -> Answer:
        limit = received.json.get("max_tokens") or received.json["max_completion_tokens"]
        details = {"completion_tokens_details": {"reasoning_tokens": min(limit, tokens)}, **usage}
        if limit <= tokens:
            return reasoned("", "length", limit, **details)
        return reasoned("{}", "stop", tokens + 60, **details)

    return answer


def test_an_answer_that_did_not_begin_is_asked_for_once_more_with_more_tokens(serve):
    server = serve(needs(300))
    endpoint = endpoint_of(server, max_tokens=100)
    assert endpoint.ask(PICTURE, ASKED, control()) == Reply("{}", (60, 40), 1800, 460, hidden_tokens=300)
    (note,) = endpoint.notes
    assert "used all 100 tokens before its answer began, 100 of them for reasoning that it does not show" in note
    assert "asked again with 400: max_tokens=400 saves the first question" in note
    endpoint.ask(PICTURE, ASKED, control())
    assert [received.json["max_tokens"] for received in server.received] == [100, 400, 400]


def test_a_model_that_needs_still_more_is_given_up_with_words_that_say_what_to_set(serve):
    server = serve(needs(500))
    said = why_not(server, max_tokens=100)
    assert "used all 400 tokens before its answer began, 400 of them for reasoning" in said
    assert "set max_tokens higher than 400" in said
    assert len(server.received) == 2


def test_the_longest_limit_is_not_exceeded(serve):
    server = serve(needs(10**6))
    assert "used all 65536 tokens" in why_not(server, max_tokens=60_000)
    assert [received.json["max_tokens"] for received in server.received] == [60_000, 65_536]
    assert "used all 65536 tokens" in why_not(serve(needs(10**6)), max_tokens=65_536)


def test_a_server_that_takes_no_higher_limit_is_reported_with_what_came_before(serve):
    server = serve(cut_off(""), fails(400, "max_tokens is too large"))
    said = why_not(server, max_tokens=4096)
    assert "used all 4096 tokens" in said
    assert "It was asked again with 16384." in said
    assert "max_tokens is too large" in said


def test_the_other_name_of_the_limit_is_kept_for_the_second_question(serve):
    reasoning = needs(300)
    refusal = fails(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    server = serve(lambda received: refusal if "max_tokens" in received.json else reasoning(received))
    assert ask(server, max_tokens=100).text == "{}"
    assert [received.json.get("max_completion_tokens") for received in server.received] == [None, 100, 400]


def test_a_thought_that_does_not_end_is_no_answer(serve):
    server = serve(cut_off("<think>There might be a ship, or two"), says("{}"))
    assert ask(server).text == "{}"
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("usage", "hidden"),
    [
        ({"completion_tokens_details": {"reasoning_tokens": 40}}, 40),
        ({"completion_tokens_details": {"reasoning_tokens": 0}}, None),
        ({"completion_tokens_details": None}, None),
        ({"completion_tokens_details": {"reasoning_tokens": "many"}}, None),
        ({"total_tokens": 1200}, 240),  # Gemini counts its thoughts in the sum alone
        ({"total_tokens": 0}, None),
    ],
)
def test_hidden_tokens_are_counted_where_the_server_counts_them(serve, usage, hidden):
    assert ask(serve(reasoned("{}", "stop", 60, **usage))).hidden_tokens == hidden


def test_reasoning_without_an_answer_is_told_from_an_empty_answer(serve):
    server = serve(completion({"content": "", "reasoning_content": "There is a ship."}))
    assert "sent its reasoning and no answer" in why_not(server)
    assert "sent an empty answer" in why_not(serve(completion({"content": ""})))
