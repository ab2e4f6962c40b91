"""From a request to written results, as a generator of events. Everything that runs a query comes through here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone

from rs_textseg_plugin.contract.events import Event, Finished
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.contract.server.api_key import key_from_environment
from rs_textseg_plugin.engine.compute.device import Budget, is_memory_error
from rs_textseg_plugin.engine.compute.native_memory import reserve_native_memory
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.disk.full_disk import full_disk, is_full
from rs_textseg_plugin.engine.job.answering import memory_exhausted
from rs_textseg_plugin.engine.job.job import run_job
from rs_textseg_plugin.engine.job.plan import Plan, make_plan
from rs_textseg_plugin.engine.job.run import ActiveRun, WarmEngine
from rs_textseg_plugin.engine.job.scratch import scratch_folder
from rs_textseg_plugin.engine.loading.model_cache import ModelCache
from rs_textseg_plugin.engine.pipelines.observations import ObservationCache
from rs_textseg_plugin.engine.pipelines.registry import Load, find_load
from rs_textseg_plugin.engine.raster.reader import gdal_settings
from rs_textseg_plugin.engine.raster.scene_tiles import open_scene_tiles


class Engine:
    """Runs requests one after the other, and keeps models and observations for the next one.

    Args:
        loads: functions that load methods, in place of those that the registry finds.

    Attributes:
        models: those in memory.
        observations: what methods saw of tiles.
        api_key: the key for an endpoint; from the environment, until the worker is given another one.
    """

    def __init__(self, loads: Mapping[str, Load] | None = None) -> None:
        self._loads = loads or {}
        self.models = ModelCache()
        self.observations = ObservationCache()
        self.api_key = key_from_environment()

    def run(self, request: Request, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Yield events; the last one is `Finished`.

        Args:
            request: what to do.
            should_stop: polled at least once a tile, from this thread.

        Raises:
            InputError: before anything was computed.
            Cancelled: `should_stop` said so; nothing was written.
            EngineError: memory or disk ran out.
        """
        started = time.monotonic()
        reserve_native_memory()
        plan = make_plan(request)
        control = RunControl(Budget(plan.device, plan.dtype), should_stop)
        control.check()  # it may have been cancelled while it waited for its turn
        try:
            for event in self._events(plan, control):
                if isinstance(event, Finished):
                    event = replace(event, seconds=round(time.monotonic() - started, 2))
                yield event
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            raise memory_exhausted(str(error)) from error
        except OSError as error:
            if not is_full(error):
                raise
            raise full_disk(error.filename or tempfile.gettempdir()) from error

    def _events(self, plan: Plan, control: RunControl) -> Iterator[Event]:
        settings, scene = plan.settings, plan.request.scene
        warm = WarmEngine(self.models, self.observations, self._find_load, self.api_key)
        with gdal_settings(), scratch_folder() as scratch:
            tiles = open_scene_tiles(scene, settings.scene_view, settings.view_px)
            with tiles.reader:
                run = ActiveRun(plan, tiles, control, warm, scratch, datetime.now(timezone.utc))
                with closing(run_job(run)) as events:
                    yield from events

    def _find_load(self, pipeline: str) -> Load:
        return self._loads.get(pipeline) or find_load(pipeline)


def run(request: Request, should_stop: Callable[[], bool]) -> Iterator[Event]:
    """Run one request with an engine of its own; see `Engine.run`."""
    return Engine().run(request, should_stop)
