"""What a vision-language model is asked: its task, the question, and the form of the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rs_textseg_plugin.engine.vlm.model import Convention, ModelQuestion

_SYSTEM = (
    "You locate things in pictures of the Earth's surface, taken by a satellite, an aeroplane or a drone that looks "
    "straight down: there is no horizon, things are seen from above, and up may be taken as north. Another program "
    "draws the outline of every thing from the places that you give, so the places have to be right. "
    "You reply with JSON and with nothing else."
)
_PLACES = {
    Convention.PIXELS: (
        "The picture is {width} pixels wide and {height} pixels high. Every place is given in pixels of it: x counts "
        "from 0 at the left border to {width} at the right border, y from 0 at the upper border to {height} at the "
        "lower border."
    ),
    Convention.GRID_1000: (
        "Every place is given in thousandths of the picture, whatever its shape: x counts from 0 at the left border "
        "to 1000 at the right border, y from 0 at the upper border to 1000 at the lower border."
    ),
    Convention.GRID_1000_YX: (
        "Every place is given in thousandths of the picture, whatever its shape, and y always stands before x: y "
        "counts from 0 at the upper border to 1000 at the lower border, x from 0 at the left border to 1000 at the "
        "right border."
    ),
}
_NUMBERS: dict[str, Any] = {"type": "array", "items": {"type": "number"}}
_POINTS: dict[str, Any] = {"type": "array", "items": _NUMBERS}
_FORMS = {  # of a box and of points, by whether y stands before x
    False: ("[left, top, right, bottom]", "[[x, y], ...]"),
    True: ("[top, left, bottom, right]", "[[y, x], ...]"),
}


@dataclass(frozen=True)
class ClickPolicy:
    """What a model is asked to give of each thing that it finds, beside a label, a box and a confidence.

    Attributes:
        inside: points on the thing; 0: none.
        outside: most points beside the thing, on what could be taken for it; 0: none.
        most_instances: most things in an answer.
    """

    inside: int = 3
    outside: int = 0
    most_instances: int = 50


@dataclass(frozen=True)
class _Member:
    """One member of an instance: its name, its form as it is shown to the model, what it means, its JSON schema."""

    name: str
    form: str
    meaning: str
    schema: dict[str, Any]


def ask_for(phrase: str, size_px: tuple[int, int], convention: Convention, policy: ClickPolicy) -> ModelQuestion:
    """Return the question that asks where something is in a picture.

    The words are our own: the published methods either do not print their prompt or give it without a licence. The
    schema keeps to what strict structured output accepts: every property required, no others allowed.

    Args:
        phrase: what to look for, or a question whose answer is things in the picture; as the user wrote it.
        size_px: ``(width, height)`` of the picture as the model sees it.
        convention: how the model is to give places.
        policy: what to give of each thing.
    """
    members = [*_members(policy, convention.is_y_first)]
    width, height = size_px
    paragraphs = [
        f"Find in this picture: {json.dumps(phrase, ensure_ascii=False)}",
        "If this is a question or a wish, find the things in the picture that answer it.",
        _PLACES[convention].format(width=width, height=height),
        "Give for each thing:\n" + "\n".join(f'- "{member.name}": {member.meaning}' for member in members),
        f"Give every thing once, each with its own entry, the surest first, and not more than "
        f"{policy.most_instances}. If nothing in the picture fits, the list is empty: that is a good answer, and "
        "better than a guess.",
        f"Reply with one JSON object of this form and no other text:\n{_form(members)}",
    ]
    return ModelQuestion(_SYSTEM, "\n\n".join(paragraphs), _schema(members))


def _members(policy: ClickPolicy, is_y_first: bool) -> Iterator[_Member]:
    box, points = _FORMS[is_y_first]
    yield _Member("label", '"..."', "what it is, in a few words.", {"type": "string"})
    yield _Member("box", box, "the smallest upright box around all of it.", _NUMBERS)
    if policy.inside:
        count = "one point" if policy.inside == 1 else f"{policy.inside} points"
        meaning = f"{count} on the thing itself, well away from its edges and from each other."
        yield _Member("positive_points", points, meaning, _POINTS)
    if policy.outside:
        meaning = f"up to {policy.outside} points close to it that are not part of it but look alike; may be empty."
        yield _Member("negative_points", points, meaning, _POINTS)
    meaning = "from 0 to 1, how sure you are that it fits; null if you cannot tell."
    yield _Member("confidence", "0.0", meaning, {"type": ["number", "null"]})


def _form(members: list[_Member]) -> str:
    inner = ", ".join(f'"{member.name}": {member.form}' for member in members)
    return f'{{"instances": [{{{inner}}}]}}'


def _schema(members: list[_Member]) -> dict[str, Any]:
    instance = _object({member.name: member.schema | {"description": member.meaning} for member in members})
    return _object({"instances": {"type": "array", "items": instance}})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
