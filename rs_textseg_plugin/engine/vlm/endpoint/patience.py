"""Whether to ask a server again that did not answer, and when."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from rs_textseg_plugin.engine.vlm.endpoint.errors import NOT_SOON, causes
from rs_textseg_plugin.engine.vlm.endpoint.limits import TooLarge, UnknownCoding

if TYPE_CHECKING:
    import openai

LONGEST_WAIT_S = 60.0
_FIRST_WAIT_S, _FIRST_WAIT_AFTER_RATE_LIMIT_S = 0.5, 2.0
_IN_VAIN = (ssl.SSLError, socket.gaierror, ConnectionRefusedError, TooLarge, UnknownCoding)


def wait_after_status_s(error: openai.APIStatusError, attempt: int) -> float | None:
    """Return how long to wait after an HTTP status before the next attempt, in seconds; None: there is no point in one.

    Args:
        error: the status.
        attempt: which one it was; 1: the first.
    """
    is_limit = error.status_code == 429 and error.code not in NOT_SOON
    is_passing = error.status_code == 408 or (error.status_code >= 500 and error.status_code != 501)
    if not (is_limit or is_passing):
        return None
    wanted_s = retry_after_s(error.response.headers)
    if wanted_s is not None:
        return wanted_s if wanted_s <= LONGEST_WAIT_S else None
    return _doubled(_FIRST_WAIT_AFTER_RATE_LIMIT_S if is_limit else _FIRST_WAIT_S, attempt)


def wait_after_break_s(error: Exception, attempt: int) -> float | None:
    """Return how long to wait after a connection that broke; None: the next one would not come about either."""
    in_vain = any(isinstance(cause, _IN_VAIN) for cause in causes(error))
    return None if in_vain else _doubled(_FIRST_WAIT_S, attempt)


def _doubled(first_s: float, attempt: int) -> float:
    return min(LONGEST_WAIT_S, first_s * 2.0 ** (attempt - 1))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the wait that a server asks for, in seconds, by Retry-After (seconds or a date); None: it does not."""
    retry_after = headers.get("retry-after", "")
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = _seconds_until(retry_after)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    try:
        then = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return math.nan
    then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
    return (then - datetime.now(timezone.utc)).total_seconds()
