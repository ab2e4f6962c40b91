"""Weights under the names of another program, by a table of patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

_Value = TypeVar("_Value")
Table = Sequence[tuple[str, str]]


def rename(weights: Mapping[str, _Value], table: Table) -> dict[str, _Value]:
    """Return the weights under new names.

    Args:
        weights: by their names.
        table: regular expression of a whole name, and the name to give, as `re.Match.expand` takes it. The first row
            that fits counts; names that no row fits stay.
    """
    rows = [(re.compile(pattern), new) for pattern, new in table]
    return {_renamed(name, rows): value for name, value in weights.items()}


def _renamed(name: str, rows: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for pattern, new in rows:
        match = pattern.fullmatch(name)
        if match:
            return match.expand(new)
    return name
