"""``bright-spots``: the second of the two files of a seventh method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import find_objects, label

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, Segment
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs
from rs_textseg_plugin.engine.raster.reader import TileImage


@dataclass(frozen=True)
class Settings:
    """Parameters of the table, by their names."""

    least_brightness: int


@dataclass(frozen=True)
class Observation:
    """The brightness of a tile, ``(H, W)`` uint8."""

    brightness: np.ndarray

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self.brightness.nbytes


class BrightSpots:
    """The method for one query."""

    prob_threshold = 0.5
    duplicate_iou = 1.0

    def __init__(self, settings: Settings, classes: int) -> None:
        self._settings, self._classes = settings, classes

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Nothing moves."""

    def observe(self, image: TileImage, control: RunControl) -> Observation:
        """Keep the brightness."""
        return Observation(image.rgb.max(axis=2))

    def answer(self, observation: Observation, control: RunControl) -> Answer:
        """Return the spots."""
        control.check()
        spots, _ = label(observation.brightness >= self._settings.least_brightness)
        scores = np.zeros(self._classes, np.float32)
        scores[0] = 0.9
        segments = [
            Segment(
                Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start),
                PackedMask.of(spots[rows, columns] == number),
                0,
                scores,
            )
            for number, (rows, columns) in enumerate(find_objects(spots), start=1)
        ]
        return Answer(tuple(segments), None)


def load(inputs: PipelineInputs) -> BrightSpots:
    """Load the method for one query."""
    return BrightSpots(inputs.settings(Settings), inputs.legend.size)
