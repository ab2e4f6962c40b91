"""What a model should have answered: boxes and clicks for the things of an example, in the form that it is asked for.

Every thing gets its bounding box, and clicks that are made with the very SAM that will draw (`clicks.synthesise`). They
do not depend on the model, so they are made once and kept in a file; a run that was stopped goes on there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.sam.prompts import PointSet, draw_together
from rs_textseg_plugin.engine.vlm.coordinates import Size, from_picture
from rs_textseg_plugin.engine.vlm.instance import Instance
from rs_textseg_plugin.engine.vlm.model import Convention
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy
from tuning.clicks import Draw, synthesise
from tuning.examples import Example, Mask, Shown, coarser

_DIGITS = 1  # of a place in pixels of the picture, as it is kept


@dataclass(frozen=True)
class Target:
    """The answer to an example.

    Attributes:
        key: of the example.
        instances: in pixels of the picture as it is shown, largest first; none: there is nothing.
        iou: 0..1, of what SAM draws from the clicks with what is there, all things together; 1 where there is nothing.
    """

    key: str
    instances: tuple[Instance, ...]
    iou: float


class TargetStore:
    """Targets in a file, one JSON object a line; what was cut off by an interruption is made again.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Target] = {}
        lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
        for line in lines[:-1]:
            target = _from_json(json.loads(line))
            self._kept[target.key] = target
        if lines and lines[-1]:
            path.write_text("".join(f"{line}\n" for line in lines[:-1]), encoding="utf-8")

    def __getitem__(self, key: str) -> Target:
        return self._kept[key]

    def make(self, examples: Sequence[Example], make: Callable[[Example], Target]) -> None:
        """Make and keep the targets of those examples that have none.

        Raises:
            SceneError: the picture or the mask of an example cannot be read.
        """
        missing = [example for example in examples if example.key not in self._kept]
        if not missing:
            return
        with self._path.open("a", encoding="utf-8") as file:
            for example in tqdm(missing, desc="clicks", unit=" pictures", mininterval=5):
                target = make(example)
                file.write(json.dumps(_to_json(target)) + "\n")
                file.flush()
                self._kept[example.key] = target


def make_target(example: Example, sam: SamModel, longest_px: int, clicks: int, most_instances: int) -> Target:
    """Return boxes and clicks for the things of an example.

    Args:
        example: is read.
        sam: draws.
        longest_px: long side of the picture as the model is shown it.
        clicks: for each thing, at most.
        most_instances: the largest ones are taken.

    Raises:
        SceneError: see `Example`.
    """
    shown = coarser(example.read(), longest_px)
    things = sorted(filter(np.any, shown.objects), key=lambda mask: -int(mask.sum()))[:most_instances]
    if not things:
        return Target(example.key, (), 1.0)
    draw = drawer(sam, sam.embed(shown.rgb), shown.rgb.shape[:2])
    made = [synthesise(thing, draw, clicks) for thing in things]
    instances = tuple(
        Instance(example.label, _box_of(thing), one.inside, one.outside) for thing, one in zip(things, made)
    )
    drawn = np.logical_or.reduce([one.drawn for one in made])
    return Target(example.key, instances, _iou(drawn, shown))


def drawer(sam: SamModel, embedding: SamEmbedding, size: tuple[int, ...]) -> Draw:
    """Return what draws with SAM as the product does: of three masks the one that it rates best."""

    def draw(points_px: NDArray[np.float64], is_inside: NDArray[np.bool_]) -> Mask:
        drawn = np.zeros(size, np.bool_)
        mask = draw_together(None, PointSet(points_px, is_inside), sam, embedding, multimask=True)
        if mask is not None:
            drawn[mask.window.slices] = mask.mask.unpack()
        return drawn

    return draw


def answer_text(
    instances: Iterable[Instance], convention: Convention, shown_px: Size, picture_px: Size, policy: ClickPolicy
) -> str:
    """Return the JSON that says of instances what `ask_for` asks for, in whole numbers.

    The confidence is null: nothing in the data says how sure one may be.

    Args:
        instances: in pixels of the picture.
        convention: of the model.
        shown_px: ``(width, height)`` of the picture as the model sees it.
        picture_px: ``(width, height)`` of the picture.
        policy: members that are not asked for are left out.
    """

    def place(point: tuple[float, float]) -> list[int]:
        return [round(value) for value in from_picture(point, convention, shown_px, picture_px)]

    def members(one: Instance) -> dict[str, Any]:
        box = one.box or (0.0, 0.0, 0.0, 0.0)
        told: dict[str, Any] = {"label": one.words, "box": [*place(box[:2]), *place(box[2:])]}
        if policy.inside:
            told["positive_points"] = [place(point) for point in one.inside[: policy.inside]]
        if policy.outside:
            told["negative_points"] = [place(point) for point in one.outside[: policy.outside]]
        return {**told, "confidence": None}

    return json.dumps({"instances": [members(one) for one in instances]}, ensure_ascii=False)


def _box_of(mask: Mask) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _iou(drawn: Mask, shown: Shown) -> float:
    target = shown.target
    return float(np.count_nonzero(drawn & target) / np.count_nonzero(drawn | target))


def _to_json(target: Target) -> dict[str, Any]:
    def rounded(values: Iterable[float]) -> list[float]:
        return [round(value, _DIGITS) for value in values]

    things = [
        {
            "words": one.words,
            "box": rounded(one.box or ()),
            "inside": [rounded(point) for point in one.inside],
            "outside": [rounded(point) for point in one.outside],
        }
        for one in target.instances
    ]
    return {"key": target.key, "iou": round(target.iou, 4), "instances": things}


def _from_json(told: dict[str, Any]) -> Target:
    def points(values: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
        return tuple((float(x), float(y)) for x, y in values)

    things = []
    for one in told["instances"]:
        left, top, right, bottom = one["box"]
        things.append(Instance(one["words"], (left, top, right, bottom), points(one["inside"]), points(one["outside"])))
    return Target(told["key"], tuple(things), told["iou"])
