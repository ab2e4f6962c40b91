"""Where SAM looks when it draws one object of a larger picture."""

from __future__ import annotations

from collections.abc import Sequence

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.vlm.instance import Box, Instance

_ROOM = 1.5  # an object that SAM cannot see in one piece is seen with half of its size around it
_STEPS = 4  # windows lie on a lattice of so many steps a side, so that neighbours share SAM's features


def window_for(bounds: Box, width_px: int, height_px: int, input_px: int) -> Window:
    """Return the part of a picture that SAM is shown: at its own resolution where the object fits, else all of it.

    Args:
        bounds: left, top, right, bottom of what is known of the object, inside the picture.
        width_px: of the picture.
        height_px: of the picture.
        input_px: side of SAM's input.
    """
    left, top, right, bottom = bounds
    largest = max(right - left, bottom - top)
    side = input_px if largest * _ROOM <= input_px else round(largest * _ROOM)
    col, width = _along((left + right) / 2, side, width_px)
    row, height = _along((top + bottom) / 2, side, height_px)
    return Window(col, row, width, height)


def _along(centre_px: float, side_px: int, length_px: int) -> tuple[int, int]:
    """Return first pixel and length along one axis: the middle near the centre, inside the picture."""
    if side_px >= length_px:
        return 0, length_px
    step = max(1, side_px // _STEPS)
    first = round((centre_px - side_px / 2) / step) * step
    return min(max(first, 0), length_px - side_px), side_px


def bounds_of(instance: Instance) -> Box | None:
    """Return the box around an instance's box and points; None where it has neither."""
    xs, ys = [x for x, _ in instance.inside], [y for _, y in instance.inside]
    if instance.box is not None:
        xs, ys = [*xs, instance.box[0], instance.box[2]], [*ys, instance.box[1], instance.box[3]]
    return (min(xs), min(ys), max(xs), max(ys)) if xs else None


def inside_picture(instances: Sequence[Instance], picture: Window) -> list[Instance]:
    """Return the parts of instances on a working grid that lie in a picture of it, in the picture's own pixels."""
    parts = (_part(instance, picture) for instance in instances)
    return [part for part in parts if part is not None]


def _part(instance: Instance, picture: Window) -> Instance | None:
    inside, outside = (
        tuple(
            (x - picture.col, y - picture.row)
            for x, y in points
            if picture.col <= x < picture.col_stop and picture.row <= y < picture.row_stop
        )
        for points in (instance.inside, instance.outside)
    )
    box = None
    if instance.box is not None:
        left, right = (min(max(x - picture.col, 0.0), picture.width) for x in (instance.box[0], instance.box[2]))
        top, bottom = (min(max(y - picture.row, 0.0), picture.height) for y in (instance.box[1], instance.box[3]))
        box = (left, top, right, bottom) if right > left and bottom > top else None
    return Instance(instance.words, box, inside, outside, instance.confidence) if box or inside else None
