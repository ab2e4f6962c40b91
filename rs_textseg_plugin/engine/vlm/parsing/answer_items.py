"""Which parts of a model's reply are its answer: the objects that stand for one instance each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from rs_textseg_plugin.engine.vlm.parsing.answer_fields import BOX_KEYS, has_place, is_labelled, numbers_in, plain
from rs_textseg_plugin.engine.vlm.parsing.lenient_json import Container, JsonValues, find_values

_LIST_KEYS = (
    "instances", "instance", "objects", "detections", "predictions", "annotations", "targets", "results", "result",
    "answers", "answer", "output", "response", "items", "data", "boxes", "bboxes", "boundingboxes",
)  # fmt: skip
_THOUGHT_TAG = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)

Members = dict[str, Any]


@dataclass(frozen=True)
class Items:
    """A model's answer before its numbers are read.

    Attributes:
        instances: one object each, with the model's own keys.
        is_answer: whether there is a list of instances at all, be it an empty one.
        is_cut: whether the reply breaks off within it.
        remarks: what was chosen where the reply has more than one answer.
    """

    instances: list[Members]
    is_answer: bool
    is_cut: bool = False
    remarks: tuple[str, ...] = ()


class _Rank(IntEnum):
    """How surely a value is the answer; the surest kind counts, and others beside it do not."""

    NONE = 0
    EMPTY = 1  # []
    BARE = 2  # [12, 34, 56, 78]
    SINGLE = 3  # {"box": ...}
    LIST = 4  # [{"box": ...}, ...] or {"instances": ...}


@dataclass(frozen=True)
class _Candidate:
    value: Container
    instances: list[Members]
    rank: _Rank


def find_items(text: str) -> Items:
    """Return the instances of a reply; never raises.

    What stands between ``<think>`` tags is not looked at, if they are closed. Of several lists the last one counts:
    a model that thinks aloud ends with its answer. Objects without a list around them count all.
    """
    parts = _parts(text)
    items = [_items_of(part) for part in parts]
    return next((item for item in items if item.is_answer), items[-1])


def _parts(text: str) -> list[str]:
    """Return where the answer may stand, the likeliest place first: between its tags, or beside all thoughts."""
    spoken = _without_thoughts(text)
    tags = [*_ANSWER_TAG.finditer(spoken)]
    start = max((tag.end() for tag in tags if not tag[1]), default=None)
    if start is None:
        return [spoken]
    end = min((tag.start() for tag in tags if tag[1] and tag.start() >= start), default=len(spoken))
    return [spoken[start:end], spoken]


def _without_thoughts(text: str) -> str:
    """Return a text without thoughts that ended. Some models give the closing tag only: all before it is thought."""
    kept: list[str] = []
    start, is_thinking = 0, False
    for tag in _THOUGHT_TAG.finditer(text):
        if tag[1] and not is_thinking:
            kept.clear()
        elif not is_thinking:
            kept.append(text[start : tag.start()])
        start = start if is_thinking and not tag[1] else tag.end()
        is_thinking = not tag[1]
    return "".join([*kept, text[start:]])


def _items_of(text: str) -> Items:
    found = find_values(text)
    candidates = [_candidate(value, found) for value in found.values]
    best = max((candidate.rank for candidate in candidates), default=_Rank.NONE)
    chosen = [candidate for candidate in candidates if candidate.rank == best]
    earlier = chosen[:-1] if best is _Rank.LIST else []
    chosen = chosen[len(earlier) :] if best > _Rank.NONE else []
    instances = [members for candidate in chosen for members in candidate.instances]
    return Items(instances, bool(chosen), _is_cut(found, chosen), tuple(_on_earlier(earlier)))


def _is_cut(found: JsonValues, chosen: list[_Candidate]) -> bool:
    """Whether the text ends within the answer, and not within a bracket that someone forgot to close in a sentence."""
    if not found.unfinished:
        return False
    is_chosen = any(candidate.value is found.unfinished[0] for candidate in chosen)
    return is_chosen or any(isinstance(value, dict) and value for value in found.unfinished)


def _on_earlier(earlier: list[_Candidate]) -> Iterator[str]:
    count = sum(len(item.instances) for item in earlier)
    if count:
        yield f"The reply has several lists of instances; the last one was read, and {count} instances before it not."


def _candidate(value: Container, found: JsonValues) -> _Candidate:
    def is_unfinished(part: Any) -> bool:
        return any(part is unfinished for unfinished in found.unfinished)

    instances = [*_instances(value, is_unfinished)]
    return _Candidate(value, instances, _rank(value, instances, is_unfinished))


def _rank(value: Container, instances: list[Members], is_unfinished: Callable[[Any], bool]) -> _Rank:
    if isinstance(value, dict):
        if _listed(value) is None and has_place(value):
            return _Rank.SINGLE if instances else _Rank.NONE
        return _Rank.LIST if instances or _says_none(value, is_unfinished) else _Rank.NONE
    if instances and _holds_objects(value):
        return _Rank.LIST
    if not value:
        return _Rank.NONE if is_unfinished(value) else _Rank.EMPTY
    return _Rank.NONE if all(map(is_labelled, instances)) else _Rank.BARE


def _says_none(members: Members, is_unfinished: Callable[[Any], bool]) -> bool:
    """Whether an object has the key of a list, and the list is complete (and empty) or null."""
    lists = [value for key, value in members.items() if plain(key) in _LIST_KEYS]
    return any(value is None or (isinstance(value, (dict, list)) and not is_unfinished(value)) for value in lists)


def _listed(members: Members) -> Container | None:
    """Return the list under the first key that is known to hold one."""
    named = {plain(key): value for key, value in members.items()}
    return next((named[key] for key in _LIST_KEYS if isinstance(named.get(key), (dict, list))), None)


def _instances(value: Any, is_unfinished: Callable[[Any], bool]) -> Iterator[Members]:
    """Return the instances of a value that are complete."""
    if isinstance(value, dict):
        yield from _instances_of_object(value, is_unfinished)
    elif isinstance(value, list) and _is_place(value):
        if not is_unfinished(value):
            yield _as_instance(value)
    elif isinstance(value, list):
        for part in value:
            yield from _instances(part, is_unfinished)
    elif isinstance(value, str):
        yield _as_instance(value)


def _instances_of_object(members: Members, is_unfinished: Callable[[Any], bool]) -> Iterator[Members]:
    listed = _listed(members)
    if listed is not None:
        yield from _instances(listed, is_unfinished)
    elif has_place(members):
        if not is_unfinished(members):
            yield from _one_a_box(members)
    else:
        inner = [value for value in members.values() if _holds_objects(value)]
        for value in inner:
            yield from _instances(value, is_unfinished)
        if not inner and is_labelled(members) and not is_unfinished(members):
            yield members


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_holds_objects, value)))


def _is_place(values: list[Any]) -> bool:
    """Whether a list is the numbers of a box or a point, and not a list of such."""
    is_flat = all(isinstance(part, str) and len(numbers_in(part)) == 1 for part in values)
    return is_flat and len(values) in (2, 4)


def _as_instance(value: str | list[Any]) -> Members:
    """Return an instance for what is not an object: a box, a point, or words without a place."""
    count = len(numbers_in(value))
    return {"box": value} if count == 4 else {"point": value} if count == 2 else {"label": value}


def _one_a_box(members: Members) -> Iterator[Members]:
    """Return an instance for each box where an object has a list of them."""
    key = next((key for key in members if plain(key) in BOX_KEYS), "")
    boxes = members.get(key)
    if isinstance(boxes, list) and len(boxes) > 1 and all(len(numbers_in(box)) == 4 for box in boxes):
        yield from ({**members, key: box} for box in boxes)
    else:
        yield members
