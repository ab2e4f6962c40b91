"""What may pass is waited for, the rest is not."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import numpy as np
import pytest
from endpoint_questions import ask, why_not
from openai_server import (
    closes,
    fails,
    says,
)

from rs_textseg_plugin.engine.vlm.endpoint.patience import retry_after_s


def test_a_rate_limit_is_waited_for_as_long_as_the_server_asks(serve):
    server = serve(fails(429, "slow down", Retry_After="1"), says("{}"))
    start_s = time.monotonic()
    assert ask(server).text == "{}"
    assert 1.0 <= time.monotonic() - start_s < 20
    assert len(server.received) == 2


def test_a_rate_limit_that_lasts_too_long_is_told_at_once(serve):
    server = serve(fails(429, "slow down", Retry_After="3600"), says("{}"))
    assert "is asked too often (429: slow down): try again in 3600 s" in why_not(server)
    assert len(server.received) == 1


def test_a_used_up_quota_is_not_waited_for(serve):
    server = serve(fails(429, "You exceeded your quota.", "insufficient_quota"), says("{}"))
    assert "has used up its quota (429: You exceeded your quota)" in why_not(server)
    assert len(server.received) == 1


@pytest.mark.parametrize("failure", [fails(500, "boom"), fails(503, "busy"), closes(), closes(20)])
def test_what_may_pass_is_tried_again(serve, failure):
    server = serve(failure, failure, says("{}"))
    assert ask(server).text == "{}"
    assert len(server.received) == 3


def test_what_does_not_pass_is_tried_as_often_as_told_and_then_explained(serve):
    server = serve(fails(500, "boom"))
    assert "failed (500: boom): try again later" in why_not(server, tries=2)
    assert len(server.received) == 2


def in_http(moment: datetime) -> str:
    return format_datetime(moment.astimezone(timezone.utc), usegmt=True)


@pytest.mark.parametrize(("said", "seconds"), [("0", 0.0), ("7", 7.0), ("0.5", 0.5), ("-3", 0.0)])
def test_a_wait_in_seconds_is_taken_as_it_is_said(said, seconds):
    assert retry_after_s({"retry-after": said}) == seconds


def test_a_wait_until_a_date_ends_then():
    later = datetime.now(timezone.utc) + timedelta(seconds=30)
    assert retry_after_s({"retry-after": in_http(later)}) == pytest.approx(30, abs=3)
    assert retry_after_s({"retry-after": in_http(later - timedelta(days=1))}) == 0.0


@pytest.mark.parametrize("said", ["", "soon", "nan", "inf", "1e999", "Fri, 99 Nov"])
def test_a_wait_that_makes_no_sense_is_none(said):
    assert retry_after_s({"retry-after": said}) is None


def test_without_a_word_of_the_server_each_wait_is_twice_as_long(serve):
    server = serve(fails(500, "boom"))
    moments = []
    server.script = [lambda _: (moments.append(time.monotonic()), fails(500, "boom"))[1]]
    why_not(server, tries=4)
    assert np.diff(moments) == pytest.approx([0.5, 1.0, 2.0], abs=0.4)
