"""What a run says while it works. A run is a generator of these; each yield is a place to cancel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Union

from rs_textseg_plugin.contract.errors import TextSegError, error_from_name


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: what is being done, in words.
        tiles_done, tiles_total: tiles through the models.
        fraction: of the whole run, 0..1.
        seconds_left: an estimate; None while there is nothing to estimate from.
    """

    stage: str
    tiles_done: int
    tiles_total: int
    fraction: float
    seconds_left: Optional[float] = None


@dataclass(frozen=True)
class Found:
    """Segments found so far, per class; counts before those of neighbouring tiles are joined."""

    counts: dict[str, int]


@dataclass(frozen=True)
class Warned:
    """Something the user should know about the result; also part of `Finished.notes`."""

    message: str


@dataclass(frozen=True)
class ClassSummary:
    """One row of the table at the end of a run; `area_m2` on the ground, `mean_score` 0..1 weighted by area."""

    name: str
    colour: str
    count: int
    area_m2: float
    mean_score: float


@dataclass(frozen=True)
class Finished:
    """The results are written.

    Attributes:
        path, label_raster, score_raster, map_picture, clicks, class_scores: as in `Output`.
        classes: one row per class that may be output, zeros for those not found; of a phrase only what it asks for.
        notes: everything that was not as asked: fallbacks, assumptions, skipped parts.
        device: what the models ran on, in words.
        models: names of the checkpoints.
        is_demo: whether a demo model set was used.
        seconds: duration of the run.
    """

    path: str
    classes: tuple[ClassSummary, ...]
    notes: tuple[str, ...] = ()
    label_raster: str = ""
    score_raster: str = ""
    map_picture: str = ""
    device: str = ""
    models: tuple[str, ...] = ()
    is_demo: bool = False
    seconds: float = 0.0
    clicks: str = ""
    class_scores: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Finished:
        """Rebuild from what JSON makes of a `Finished`."""
        lists = {name: tuple(data[name]) for name in ("notes", "models")}
        return cls(**{**data, **lists, "classes": tuple(ClassSummary(**row) for row in data["classes"])})


@dataclass(frozen=True)
class Failed:
    """The run ended without a result.

    Attributes:
        kind: class name in `contract.errors`.
        message: fit to be shown.
        details: traceback or the worker's last words, for the log.
    """

    kind: str
    message: str
    details: str = field(default="", repr=False)

    def to_error(self) -> TextSegError:
        """Return the error that this event stands for."""
        return error_from_name(self.kind, self.message)


Event = Union[Progress, Found, Warned, Finished, Failed]
