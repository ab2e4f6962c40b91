"""The members of one instance as models name and write them: box, points, words and confidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from rs_textseg_plugin.engine.vlm.instance import Point

# Keys are compared without case and without anything but letters and digits: "bbox_2d" is "bbox2d".
BOX_KEYS = ("box", "bbox", "bbox2d", "box2d", "boundingbox", "boundingbox2d", "bndbox", "rectangle", "rect", "xyxy")
INSIDE_KEYS = (
    "positivepoints", "positivepoint", "positiveclicks", "positive", "insidepoints", "inside", "points", "point",
    "points2d", "point2d", "clicks", "click", "centerpoint", "centrepoint", "center", "centre", "centroid",
)  # fmt: skip
OUTSIDE_KEYS = ("negativepoints", "negativepoint", "negativeclicks", "negative", "outsidepoints", "outside")
EITHER_KEYS = ("coordinates", "coordinate", "coords", "location", "position")
_LABEL_KEYS = ("label", "name", "class", "classname", "category", "object", "text", "description", "title")
_CONFIDENCE_KEYS = ("confidence", "score", "conf", "probability", "certainty")

_CORNERS = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom"),
            ("x0", "y0", "x1", "y1"))  # fmt: skip
_CORNER_PAIRS = (("topleft", "bottomright"), ("min", "max"))
_SIZES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
_AXES = (("x", "y"), ("x0", "y0"), ("x1", "y1"), ("x2", "y2"), ("xmin", "ymin"), ("xmax", "ymax"), ("left", "top"),
         ("right", "bottom"), ("width", "height"), ("w", "h"))  # fmt: skip
_OTHER_AXIS = {**dict(_AXES), **{second: first for first, second in _AXES}}
_NEGATIVE_SIGNS = ("0", "-1", "negative", "neg", "outside", "background", "false", "no")

# A number is not part of a name (the 2 of "bbox_2d", the 1 of "x1"), and a comma is never its decimal point.
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?(?=(?:px|pixels?|%)?(?!\w))", re.IGNORECASE)
_LONGEST_WORDS = 200
_LONGEST_SHOWN = 80


@dataclass
class Fields:
    """What one instance says, in the model's own numbers.

    Attributes:
        words: of it; may be empty.
        box: two opposite corners, in no order; None: none that could be read.
        inside, outside: points.
        confidence: 0..1, or None.
        faults: what could not be read, each in words that follow on the instance's name.
    """

    words: str
    box: tuple[Point, Point] | None = None
    inside: list[Point] = field(default_factory=list)
    outside: list[Point] = field(default_factory=list)
    confidence: float | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def coordinates(self) -> list[Point]:
        """All coordinates: the box's corners and the points."""
        return [*(self.box or ()), *self.inside, *self.outside]


def plain(key: str) -> str:
    """Return a key as it is compared."""
    return re.sub(r"[\W_]+", "", key).casefold()


def has_place(members: Mapping[str, Any]) -> bool:
    """Whether an object is an instance: it says, or should say, where something is."""
    keys = {plain(key) for key in members}
    named = {*BOX_KEYS, *INSIDE_KEYS, *OUTSIDE_KEYS, *EITHER_KEYS}
    return bool(keys & named) or {"x", "y"} <= keys or any(keys.issuperset(corners) for corners in _CORNERS)


def is_labelled(members: Mapping[str, Any]) -> bool:
    """Whether an object names something, with or without a place."""
    return any(plain(key) in _LABEL_KEYS for key in members)


def read_fields(members: Mapping[str, Any], is_y_first: bool = False) -> Fields:
    """Read one instance; never raises.

    Args:
        members: as the model names them.
        is_y_first: whether y stands before x in its lists, and so in the places that are returned. Where names say
            which number is which, they count.
    """
    ordered = _with_axes_renamed(members) if is_y_first else members
    named = {plain(key): value for key, value in ordered.items()}
    fields = Fields(clean_words(_first(named, _LABEL_KEYS)))
    _read_confidence(fields, _first(named, _CONFIDENCE_KEYS))
    either = _first(named, EITHER_KEYS)
    is_point = either is not None and len(numbers_in(either)) == 2
    _read_box(fields, _first(named, BOX_KEYS) or (None if is_point else either) or _own_place(named, 4))
    for key in INSIDE_KEYS:
        _read_points(fields, named.get(key), is_inside=True)
    for key in OUTSIDE_KEYS:
        _read_points(fields, named.get(key), is_inside=False)
    _read_points(fields, either if is_point else _own_place(named, 2), is_inside=True)
    return fields


def _with_axes_renamed(value: Any) -> Any:
    """Return a value with the names of the axes exchanged: what is then read as x and y is y and x, as in its lists."""
    if isinstance(value, list):
        return [_with_axes_renamed(part) for part in value]
    if isinstance(value, Mapping):
        return {_OTHER_AXIS.get(plain(key), key): _with_axes_renamed(member) for key, member in value.items()}
    return value


def _first(named: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """Return the first of some members that is there and not empty."""
    return next((named[key] for key in keys if named.get(key) not in (None, "", [], {})), None)


def _own_place(named: Mapping[str, Any], count: int) -> list[float] | None:
    """Return the corners (4 numbers) or the point (2) that an object has without a key of its own for it."""
    numbers = _numbers_of_object(named)
    return numbers if len(numbers) == count else None


def numbers_in(value: Any) -> list[float]:
    """Return all numbers of a value in their order: of a string, a list, or an object with x and y or corners.

    Each stands for itself: ``12,34`` are two numbers.
    """
    if isinstance(value, str):
        return [float(number) for number in _NUMBER.findall(value)]
    if isinstance(value, float):
        return [value]
    if isinstance(value, list):
        return list(chain.from_iterable(map(numbers_in, value)))
    return _numbers_of_object({plain(key): member for key, member in value.items()}) if isinstance(value, dict) else []


def _numbers_of_object(named: Mapping[str, Any]) -> list[float]:
    for keys in (*_CORNERS, *_CORNER_PAIRS):
        if all(key in named for key in keys):
            return numbers_in([named[key] for key in keys])
    for keys in _SIZES:
        if all(key in named for key in keys):
            return _with_size(numbers_in([named[key] for key in keys]))
    return numbers_in([named[key] for key in ("x", "y")]) if "x" in named and "y" in named else []


def _with_size(numbers: list[float]) -> list[float]:
    """Return two corners for a corner, a width and a height."""
    if len(numbers) != 4:
        return numbers
    x, y, width, height = numbers
    return [x, y, x + width, y + height]


def _read_box(fields: Fields, value: Any) -> None:
    if value is None:
        return
    numbers = numbers_in(value)
    if len(numbers) == 8 and isinstance(value, list) and len(value) == 4:  # the four corners of an outline
        numbers = [min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])]
    if len(numbers) == 4 and _are_usable(numbers):
        fields.box = (numbers[0], numbers[1]), (numbers[2], numbers[3])
    else:
        fields.faults.append(f"the box {shown(value)} has {_count(numbers)}, not 4")


def _read_points(fields: Fields, value: Any, is_inside: bool) -> None:
    for point in _single_points(value):
        numbers = numbers_in(point)
        if len(numbers) == 3 and isinstance(point, list) and numbers[2] in (-1, 0, 1):  # x, y and a sign
            numbers, is_positive = numbers[:2], numbers[2] == 1
        else:
            is_positive = not (isinstance(point, dict) and _is_negative(point))
        if len(numbers) == 2 and _are_usable(numbers):
            (fields.inside if is_inside and is_positive else fields.outside).append((numbers[0], numbers[1]))
        else:
            fields.faults.append(f"the point {shown(point)} has {_count(numbers)}, not 2")


def _single_points(value: Any) -> Iterator[Any]:
    """Return the parts that stand for one point each: of a list of points, numbers in pairs, or a string of pairs."""
    if isinstance(value, list) and any(isinstance(part, (list, dict)) or len(numbers_in(part)) > 1 for part in value):
        yield from chain.from_iterable(map(_single_points, value))
        return
    numbers = [] if isinstance(value, dict) else numbers_in(value)
    if numbers and len(numbers) % 2 == 0:
        yield from (numbers[start : start + 2] for start in range(0, len(numbers), 2))
    elif value not in (None, "", []):
        yield value


def _is_negative(members: Mapping[str, Any]) -> bool:
    named = {plain(key): value for key, value in members.items()}
    sign = _first(named, ("sign", "positive", "ispositive", "label", "type", "kind"))
    return sign is False or str(sign).casefold() in _NEGATIVE_SIGNS


def _are_usable(numbers: Iterable[float]) -> bool:
    return all(abs(number) < 1e9 for number in numbers)


def _count(numbers: list[float]) -> str:
    count = "1 number" if len(numbers) == 1 else f"{len(numbers)} numbers"
    return f"{count} that can be read" if _are_usable(numbers) else f"{count}, some beyond all measure"


def _read_confidence(fields: Fields, value: Any) -> None:
    """Read 0..1, a percentage with its sign, or one without it above 1."""
    if value is None:
        return
    numbers = numbers_in(value)
    number = numbers[0] if len(numbers) == 1 else -1.0
    share = number / 100 if number > 1 or "%" in str(value) else number
    if 0 <= share <= 1:
        fields.confidence = share
    else:
        fields.faults.append(f"the confidence {shown(value)} is neither from 0 to 1 nor a percentage")


def clean_words(value: Any) -> str:
    """Return a model's words for something, in one line that can be written to any file."""
    text = value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else ""
    whole = text[: 4 * _LONGEST_WORDS].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in whole).split())[:_LONGEST_WORDS]


def shown(value: Any) -> str:
    """Return a value for a sentence: in one short line."""
    text = clean_words(_written(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value[:_LONGEST_SHOWN]))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(member)}' for key, member in [*value.items()][:_LONGEST_SHOWN])}}}"
    if isinstance(value, float):
        return f"{value:g}"
    return "null" if value is None else str(value)
