"""What a model replied, read into instances; and in words what of it could not be used.

Nothing that a model can write makes this fail. What is mended without a word: the order of a box's corners, places
that lie a little outside of the picture. What is mended and remarked on: fractions, x and y in the other order. What is
left out and said: everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from rs_textseg_plugin.contract.pipelines.vlm_sam import MOST_OBJECTS
from rs_textseg_plugin.engine.vlm.coordinates import Size, clipped, frame_size, to_picture, within
from rs_textseg_plugin.engine.vlm.instance import Box, Instance, Point
from rs_textseg_plugin.engine.vlm.model import Convention
from rs_textseg_plugin.engine.vlm.parsing.answer_fields import Fields, read_fields, shown
from rs_textseg_plugin.engine.vlm.parsing.answer_items import Items, find_items

_BEYOND = 0.05  # of the picture's side: so far outside of it a place still means its border
_ROUNDING = 1e-6
_MOST_SENTENCES = 50


@dataclass(frozen=True)
class ParsedAnswer:
    """What a reply says.

    Attributes:
        instances: in the model's order, inside the picture, each once.
        unusable: a sentence for each thing that could not be used, with its value.
        is_answer: whether the reply holds a list of instances at all, be it an empty one: False for a refusal in
            words, prose, and an answer that breaks off before its first instance.
        remarks: a sentence for each thing that was read otherwise than it is written.
    """

    instances: tuple[Instance, ...]
    unusable: tuple[str, ...]
    is_answer: bool
    remarks: tuple[str, ...] = ()


def read_answer(text: str, shown_px: Size, picture_px: Size, convention: Convention) -> ParsedAnswer:
    """Read a model's reply; never raises.

    Two things are read otherwise than written, for the whole answer or not at all. Fractions: every number is from
    0 to 1, and the picture is larger. x and y in the other order: at least half of the places lie outside of the
    picture as they are written, and all of them inside in the other order.

    Args:
        text: of the reply.
        shown_px: ``(width, height)`` of the picture as the model saw it.
        picture_px: ``(width, height)`` of the picture that it was asked about; what is returned refers to it.
        convention: what the model's numbers mean.
    """
    items = find_items(text)
    cut = [*_on_too_many(items)]
    items = replace(items, instances=items.instances[:MOST_OBJECTS])
    answers = [read_fields(members, convention.is_y_first) for members in items.instances]
    answers, remarks = _mended(answers, frame_size(convention, shown_px))
    answers = [_moved(fields, lambda place: to_picture(place, convention, shown_px, picture_px)) for fields in answers]
    instances, faults = _without_duplicates([_build(fields, picture_px) for fields in answers])
    unusable = [*faults, *_on_the_whole(text, items)]
    return ParsedAnswer(
        tuple(instances), tuple(_shortened(unusable)), items.is_answer, (*cut, *items.remarks, *remarks)
    )


def _on_too_many(items: Items) -> Iterator[str]:
    """Say that instances were left out; drawing each takes time and memory, whoever sent them."""
    if len(items.instances) > MOST_OBJECTS:
        yield (
            f"The answer has {len(items.instances)} instances, of which the first {MOST_OBJECTS} were read: more "
            "cannot be asked for (most_objects). Take smaller views where there are more."
        )


def _on_the_whole(text: str, items: Items) -> Iterator[str]:
    if items.is_cut:
        count = len(items.instances)
        yield f"The answer breaks off after {count} complete {'instance' if count == 1 else 'instances'}."
    elif not items.is_answer:
        yield f"The reply holds no JSON list of instances: {shown(text)!r}."


def _shortened(sentences: list[str]) -> Iterator[str]:
    yield from sentences[:_MOST_SENTENCES]
    if len(sentences) > _MOST_SENTENCES:
        yield f"{len(sentences) - _MOST_SENTENCES} more things could not be used."


def _mended(answers: list[Fields], frame: Size) -> tuple[list[Fields], list[str]]:
    """Return an answer with its places in the model's frame, x before y, and what was changed for that."""
    places = [place for fields in answers for place in fields.coordinates]
    if places and _are_fractions(answers, places, frame):
        answers = [_moved(fields, lambda place: (place[0] * frame[0], place[1] * frame[1])) for fields in answers]
        return answers, ["All places of the answer are from 0 to 1: they were read as fractions of the picture."]
    if _are_swapped(places, frame):
        size = f"{frame[0]} x {frame[1]}"
        answers = [_moved(fields, lambda place: (place[1], place[0])) for fields in answers]
        return answers, [f"The places lie outside of the {size} picture unless y stands before x: they were read so."]
    return answers, []


def _are_fractions(answers: Iterable[Fields], places: list[Point], frame: Size) -> bool:
    """Whether all numbers are from 0 to 1, and are not one pixel's: some are broken, or there is a box."""
    numbers = [number for place in places for number in place]
    is_broken = any(0 < number < 1 for number in numbers) or any(fields.box for fields in answers)
    return min(frame) > 1 and is_broken and all(-_BEYOND <= number <= 1 + _ROUNDING for number in numbers)


def _are_swapped(places: list[Point], frame: Size) -> bool:
    outside = sum(not _is_near(place, frame, _BEYOND) for place in places)
    return 2 * outside >= len(places) > 0 and all(_is_near((y, x), frame, 0.0) for x, y in places)


def _is_near(place: Point, size: Size, beyond: float) -> bool:
    """Whether a place is on a picture, or outside of it by no more than a share of its side."""
    return all(-beyond * length <= value <= (1 + beyond) * length for value, length in zip(place, size))


def _moved(fields: Fields, move: Callable[[Point], Point]) -> Fields:
    """Return an answer with every place of it moved."""
    return replace(
        fields,
        box=None if fields.box is None else (move(fields.box[0]), move(fields.box[1])),
        inside=[move(point) for point in fields.inside],
        outside=[move(point) for point in fields.outside],
    )


@dataclass
class _Built:
    """An instance, None if nothing of it is left, and what of it could not be used."""

    words: str
    instance: Instance | None = None
    faults: list[str] = field(default_factory=list)

    def sentences(self, number: int) -> list[str]:
        """Return its faults as sentences: one for each, or one for the whole instance if it was left out."""
        name = f"Instance {number} ({self.words!r})" if self.words else f"Instance {number}"
        if self.instance is None:
            return [f"{name} was left out: {'; '.join(self.faults) or 'it gives neither a box nor a point on it'}."]
        return [f"{name}: {fault}." for fault in self.faults]


def _build(fields: Fields, picture_px: Size) -> _Built:
    """Return an instance of places that are in the picture's own pixels, with what fits on the picture."""
    built = _Built(fields.words, faults=[*fields.faults])
    box = _usable_box(fields, picture_px, built.faults)
    inside = [point for point in _on_picture(fields.inside, picture_px, built.faults) if _is_in(point, box, built)]
    outside = _on_picture(fields.outside, picture_px, built.faults)
    if box is not None or inside:
        built.instance = Instance(fields.words, box, _each_once(inside), _each_once(outside), fields.confidence)
    return built


def _each_once(points: Iterable[Point]) -> tuple[Point, ...]:
    return tuple(dict.fromkeys(points))


def _usable_box(fields: Fields, picture_px: Size, faults: list[str]) -> Box | None:
    """Return the box with its corners in order, cut at the picture's border."""
    if fields.box is None:
        return None
    (x1, y1), (x2, y2) = fields.box
    whole = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    if whole[0] == whole[2] or whole[1] == whole[3]:
        faults.append(f"the box {_in_words(whole)} is empty")
        return None
    box = clipped(whole, picture_px)
    if box[0] >= box[2] or box[1] >= box[3]:
        faults.append(f"the box {_in_words(whole)} lies outside of the {_size(picture_px)} picture")
        return None
    if not all(_is_near(corner, picture_px, _BEYOND) for corner in (whole[:2], whole[2:])):
        faults.append(f"the box {_in_words(whole)} was cut at the border of the {_size(picture_px)} picture")
    return box


def _on_picture(points: Iterable[Point], picture_px: Size, faults: list[str]) -> Iterator[Point]:
    for point in points:
        if _is_near(point, picture_px, _BEYOND):
            yield within(point, picture_px)
        else:
            faults.append(f"the point {_in_words(point)} lies outside of the {_size(picture_px)} picture")


def _is_in(point: Point, box: Box | None, built: _Built) -> bool:
    """Whether a point is in the box of its instance, its edges included; says if not."""
    is_in = box is None or (box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])
    if box is not None and not is_in:
        built.faults.append(f"the point {_in_words(point)} lies outside of its box {_in_words(box)}")
    return is_in


def _without_duplicates(all_built: list[_Built]) -> tuple[list[Instance], list[str]]:
    """Return the instances, each place once, and the sentences on what could not be used."""
    seen: dict[tuple[object, ...], int] = {}
    instances: list[Instance] = []
    sentences: list[str] = []
    for number, built in enumerate(all_built, start=1):
        instance = built.instance
        first = (
            seen.setdefault((instance.box, instance.box is None and instance.inside), number) if instance else number
        )
        if instance and first == number:
            instances.append(instance)
        elif instance:
            built = replace(built, instance=None, faults=[f"it repeats instance {first}"])
        sentences += built.sentences(number)
    return instances, sentences


def _in_words(numbers: Iterable[float]) -> str:
    return f"({', '.join(f'{number:.5g}' for number in numbers)})"


def _size(size_px: Size) -> str:
    return f"{size_px[0]} x {size_px[1]} px"
