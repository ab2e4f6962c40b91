"""SAM draws what a model's boxes and points mean, each object where SAM sees it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel
from rs_textseg_plugin.engine.sam.prompts import PointSet, draw_together
from rs_textseg_plugin.engine.sam.proposals import Proposal
from rs_textseg_plugin.engine.vlm.instance import Box, Instance
from rs_textseg_plugin.engine.vlm.sam_window import bounds_of, window_for


@dataclass(frozen=True)
class Policy:
    """What of an answer SAM is given.

    Attributes:
        boxes, points: whether they are used; what is left out is used all the same where an answer has nothing else.
        multimask: SAM draws three masks and the one that it rates best is taken; else it draws a single one.
    """

    boxes: bool
    points: bool
    multimask: bool

    def applied(self, instance: Instance) -> Instance:
        """Return an instance with what SAM is given of it."""
        box = instance.box if self.boxes or not instance.inside else None
        has_points = self.points or instance.box is None
        return replace(
            instance,
            box=box,
            inside=instance.inside if has_points else (),
            outside=instance.outside if has_points else (),
        )


def draw_instances(
    instances: Sequence[Instance],
    rgb: NDArray[np.uint8],
    sam: SamModel,
    policy: Policy,
    control: RunControl,
) -> list[Proposal | None]:
    """Return the mask of each instance, in the pixels of the picture; None: SAM draws nothing for it.

    Args:
        instances: in the pixels of the picture.
        rgb: ``(H, W, 3)`` uint8.
        sam: draws.
        policy: what it is given.
        control: is asked before each instance.

    Raises:
        Cancelled: the user has given up.
    """
    looks = _SamViews(sam, rgb)
    drawn: list[Proposal | None] = []
    for instance in instances:
        control.check()
        prompt = policy.applied(instance)
        bounds = bounds_of(prompt)
        drawn.append(_drawn(prompt, bounds, looks, policy.multimask) if bounds else None)
    return drawn


def _drawn(prompt: Instance, bounds: Box, looks: _SamViews, multimask: bool) -> Proposal | None:
    """Draw one object; where the mask runs out of what SAM was shown, show it twice as much."""
    while True:
        window = looks.window(bounds)
        mask = draw_together(*_prompt_in(prompt, window), looks.sam, looks.embedding(window), multimask)
        if mask is None:
            return None
        mask = replace(mask, window=mask.window.moved(window.col, window.row))
        if prompt.box is not None or not looks.is_cut(mask.window, window):
            return mask
        bounds = _twice(window)


def _prompt_in(prompt: Instance, window: Window) -> tuple[NDArray[np.float64] | None, PointSet]:
    """Return box and points relative to a window that holds them."""
    corner = np.array([window.col, window.row], np.float64)
    box = None if prompt.box is None else np.array(prompt.box, np.float64) - np.tile(corner, 2)
    points = np.array([*prompt.inside, *prompt.outside], np.float64).reshape(-1, 2) - corner
    in_window = ((points >= 0) & (points < [window.width, window.height])).all(axis=1)
    is_inside = np.arange(len(points)) < len(prompt.inside)
    return box, PointSet(points[in_window], is_inside[in_window])


def _twice(window: Window) -> Box:
    """Return bounds whose window has about twice the side."""
    middle_x, middle_y = window.col + window.width / 2, window.row + window.height / 2
    half = max(window.width, window.height) * 2 / 3
    return middle_x - half, middle_y - half, middle_x + half, middle_y + half


class _SamViews:
    """SAM's features of the windows of one picture, each computed once."""

    def __init__(self, sam: SamModel, rgb: NDArray[np.uint8]) -> None:
        self.sam = sam
        self._rgb = rgb
        self._seen: dict[Window, SamEmbedding] = {}

    def window(self, bounds: Box) -> Window:
        height, width = self._rgb.shape[:2]
        return window_for(bounds, width, height, self.sam.input_px)

    def embedding(self, window: Window) -> SamEmbedding:
        if window not in self._seen:
            self._seen[window] = self.sam.embed(np.ascontiguousarray(self._rgb[window.slices]))
        return self._seen[window]

    def is_cut(self, mask: Window, window: Window) -> bool:
        """Whether a mask reaches an edge of what SAM was shown that is not one of the picture."""
        height, width = self._rgb.shape[:2]
        sides = (
            (mask.col <= window.col, window.col > 0),
            (mask.row <= window.row, window.row > 0),
            (mask.col_stop >= window.col_stop, window.col_stop < width),
            (mask.row_stop >= window.row_stop, window.row_stop < height),
        )
        return any(reaches and goes_on for reaches, goes_on in sides)
