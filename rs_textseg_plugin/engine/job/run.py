"""What the stages of a run share; all of it is known before the first stage begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.job.plan import Plan
from rs_textseg_plugin.engine.loading.model_cache import ModelCache
from rs_textseg_plugin.engine.pipelines.observations import ObservationCache
from rs_textseg_plugin.engine.pipelines.registry import Load
from rs_textseg_plugin.engine.raster.reader import SceneReader
from rs_textseg_plugin.engine.raster.scene_tiles import SceneTiles

# Shares of the whole run that the progress bar gives to its first two stages; the rest is for writing.
MODELS_SHARE, JOINING_SHARE = 0.90, 0.05


@dataclass(frozen=True)
class WarmEngine:
    """What an engine keeps between runs.

    Attributes:
        models: loaded ones.
        observations: what methods saw of tiles.
        find_load: from a method's name to what loads it.
        api_key: for an endpoint; empty: none.
    """

    models: ModelCache
    observations: ObservationCache
    find_load: Callable[[str], Load]
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class ActiveRun:
    """A run on its way.

    Attributes:
        plan: what it does.
        scene_tiles: the open raster and how it is cut into tiles.
        control: what it may use, and the stop flag.
        warm: what the engine keeps.
        scratch: an empty folder for growing files.
        started: when.
    """

    plan: Plan
    scene_tiles: SceneTiles
    control: RunControl
    warm: WarmEngine
    scratch: Path
    started: datetime

    @property
    def reader(self) -> SceneReader:
        """The open raster."""
        return self.scene_tiles.reader
