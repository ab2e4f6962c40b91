"""From a request to written results, as a generator of events. Everything that runs a query comes through here."""

from __future__ import annotations

import errno
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from rs_textseg_plugin.contract.errors import Cancelled, EngineError, MemoryExhausted, SceneError
from rs_textseg_plugin.contract.events import ClassSummary, Event, Finished, Found, Progress, Warned
from rs_textseg_plugin.contract.grid import Tile
from rs_textseg_plugin.contract.recipe import find_pipeline
from rs_textseg_plugin.contract.request import Request, without_queries
from rs_textseg_plugin.contract.server.api_key import key_from_environment
from rs_textseg_plugin.contract.server.consent import require_consent
from rs_textseg_plugin.contract.tables.shared import COMPETITOR
from rs_textseg_plugin.contract.version import VERSION
from rs_textseg_plugin.engine.answers.answer import Answer
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.compute.device import Budget, choose_device, choose_dtype, describe, is_memory_error
from rs_textseg_plugin.engine.job.request_check import check_request
from rs_textseg_plugin.engine.loading.files import resolve_set
from rs_textseg_plugin.engine.loading.model_cache import ModelShelf, ObservationCache
from rs_textseg_plugin.engine.mosaic.scene import LabelledScene, Mosaic
from rs_textseg_plugin.engine.pipelines.loading import LOADERS, Loader, Order, Question
from rs_textseg_plugin.engine.pipelines.protocol import AsksModel, Pipeline
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m
from rs_textseg_plugin.engine.raster.reader import TileImage, gdal_settings, prefetched
from rs_textseg_plugin.engine.raster.scene_tiles import View, open_view
from rs_textseg_plugin.engine.results.absent_classes import leave_out_absent
from rs_textseg_plugin.engine.results.class_scores import ClassScores, check_room
from rs_textseg_plugin.engine.results.phrase_filter import apply_phrase
from rs_textseg_plugin.engine.results.placement import Placement
from rs_textseg_plugin.engine.results.polygons import Polygonizer, PolygonSettings, Tally
from rs_textseg_plugin.engine.results.result_files import ResultFiles
from rs_textseg_plugin.engine.results.vector_file import format_notes

_MOST_TILES = 1_000_000  # weeks on any machine; more is a slip of the pen in a resolution
# Shares of the whole run that the progress bar gives to its three stages.
_MODELS_SHARE, _JOINING_SHARE = 0.90, 0.05


class Engine:
    """Runs requests one after the other, and keeps models and observations for the next one.

    Attributes:
        api_key: the key for an endpoint; from the environment, until the worker is given another one.
    """

    def __init__(self, loaders: Mapping[str, Loader] = LOADERS) -> None:
        self.loaders = loaders
        self.shelf = ModelShelf()
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
        check_request(request)
        _stop_if(should_stop)  # it may have been cancelled while it waited for its turn
        try:
            with (
                gdal_settings(),
                tempfile.TemporaryDirectory(prefix="rs_textseg_") as scratch,
                _opened(request) as view,
                closing(_Job(self, request, view, Path(scratch), should_stop)) as job,
            ):
                for event in job.run():
                    if isinstance(event, Finished):
                        event = replace(event, seconds=round(time.monotonic() - started, 2))
                    yield event
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            raise _memory_exhausted(str(error)) from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise EngineError(
                f"The disk is full ({error.filename or tempfile.gettempdir()}): free some space there, "
                "or set the environment variable TMPDIR to a folder on a larger disk."
            ) from error


@contextmanager
def _opened(request: Request) -> Iterator[View]:
    """Open the scene: in tiles, or as one picture where the pipeline looks at one and the request wants that."""
    parameters = request.recipe.checked_parameters()
    wanted, view_px = parameters.get("view", "sweep"), parameters.get("view_px", 0)
    view = open_view(request.scene, str(wanted), int(view_px or 0))
    with view.reader:
        yield view


def _memory_exhausted(problem: str) -> MemoryExhausted:
    return MemoryExhausted(
        f"Memory ran out, and there was nothing left to make smaller ({problem or 'no details'}): "
        "close other programs, take smaller models, or set a smaller tile_px."
    )


def run(request: Request, should_stop: Callable[[], bool]) -> Iterator[Event]:
    """Run one request with an engine of its own; see `Engine.run`."""
    return Engine().run(request, should_stop)


class _Job:
    """One request on its way through the engine."""

    def __init__(
        self, engine: Engine, request: Request, view: View, scratch: Path, should_stop: Callable[[], bool]
    ) -> None:
        self._engine, self._request, self._view, self._reader = engine, request, view, view.reader
        self._scratch, self._should_stop = scratch, should_stop
        self._files = ExitStack()  # Windows cannot remove the scratch folder while a file in it is open
        recipe, info = request.recipe, find_pipeline(request.recipe.pipeline)
        self._models = resolve_set(recipe.models, info.roles, info.optional_roles)
        self._parameters = recipe.checked_parameters(self._models.parameters)
        require_consent(info.pictures_go_to(self._parameters), request.consent_to_send)
        competitor, closed = self._parameters.get("competitor", COMPETITOR.default), self._parameters.get("closed_list")
        self._legend = Legend.of(request.query, str(competitor), bool(closed))
        check_room(request.output.class_scores, scratch, self._reader.extent, self._legend.positives)
        self._budget = Budget(choose_device(recipe.device))
        self._dtype = choose_dtype(recipe.precision, self._budget.device)
        self._started = datetime.now(timezone.utc)
        about_format = format_notes(request.output.path, self._reader.grid.crs_wkt, request.query.text)
        missing = [note for role, note in info.optional_roles.items() if note and role not in self._models.checkpoints]
        about_size = self._models.notes(sum(ground_resolution_m(self._reader.grid)) / 2)
        self._first_notes = [*self._reader.notes, *view.notes, *about_format, *missing, *about_size]
        self._late_notes: list[str] = []
        self._segments: Counter[str] = Counter()
        raster = Path(request.scene.path)
        self._file_state = (raster.stat().st_mtime_ns, raster.stat().st_size) if raster.is_file() else None

    def run(self) -> Iterator[Event]:
        """Yield the events of the run, `Finished` at the end."""
        for note in self._first_notes:
            yield Warned(note)
        yield Progress("Loading models", 0, 0, 0.0)
        self._stop_if_asked()
        self._pipeline = self._load_pipeline()
        yield from (Warned(note) for note in self._budget.notes)
        mosaic = self._new_mosaic()
        yield from self._answer_tiles(mosaic)
        scene = yield from self._join_tiles(mosaic)
        yield from self._write(scene)

    def close(self) -> None:
        """Close the scratch files."""
        self._files.close()

    def _load_pipeline(self) -> Pipeline[Any]:
        """Load the models; where they do not fit on the device, on the CPU."""
        try:
            return self._loaded()
        except RuntimeError as error:
            note = f"The models did not fit into the memory of {self._budget.device}: the CPU was used."
            if not is_memory_error(error) or not self._budget.fall_to_cpu(note):
                raise
        self._dtype = choose_dtype("fp32", self._budget.device)
        return self._loaded()

    def _loaded(self) -> Pipeline[Any]:
        order = Order(
            self._engine.shelf,
            self._models,
            self._parameters,
            self._legend,
            self._budget.device,
            self._dtype,
            Question(self._request.query.phrase, self._reader.grid, self._engine.api_key),
        )
        return self._engine.loaders[self._request.recipe.pipeline](order)

    def _new_mosaic(self) -> Mosaic:
        p = self._parameters
        self._tiles = self._view.tiles(int(p["tile_px"] or 0), int(p["overlap_px"] or 0))
        self._refuse_too_many_tiles()
        output, reader = self._request.output, self._reader
        self._class_scores = ClassScores(output.class_scores, self._scratch, reader.grid, reader.extent, self._legend)
        self._files.callback(self._class_scores.close)
        return Mosaic(
            self._legend,
            self._tiles,
            self._reader.extent,
            self._reader.inside,
            self._pipeline.prob_threshold,
            find_pipeline(self._request.recipe.pipeline).makes_instances(p),
            self._scratch,
            self._pipeline.duplicate_iou,
            self._class_scores.write,
        )

    def _refuse_too_many_tiles(self) -> None:
        extent, step_px = self._reader.extent, self._tiles.tile_px - self._tiles.overlap_px
        count = (extent.width // step_px + 1) * (extent.height // step_px + 1)
        if count > _MOST_TILES:
            raise SceneError(
                f"The extent of {extent.width} x {extent.height} working pixels would take about {count} tiles: "
                "choose a smaller extent, a coarser resolution, or a larger tile_px."
            )

    def _answer_tiles(self, mosaic: Mosaic) -> Iterator[Event]:
        """Send every tile through the models."""
        tiles = list(self._tiles.tiles(self._reader.extent))
        images = prefetched(self._reader, (tile.window for tile in tiles), lambda: self._budget.tiles_in_flight - 1)
        started = time.monotonic()
        yield Progress("Segmenting", 0, len(tiles), 0.0)
        if isinstance(self._pipeline, AsksModel):
            yield from self._said(self._pipeline.before([tile.window for tile in tiles]))
        with closing(images):
            for done, (tile, image) in enumerate(zip(tiles, images), start=1):
                self._stop_if_asked()
                said = len(self._budget.notes)
                self._add_tile(mosaic, tile, image)
                yield from (Warned(note) for note in self._budget.notes[said:])
                left_s = (time.monotonic() - started) / done * (len(tiles) - done)
                yield Progress("Segmenting", done, len(tiles), _MODELS_SHARE * done / len(tiles), round(left_s, 1))
                yield Found(dict(self._segments))
        if isinstance(self._pipeline, AsksModel):
            yield from self._said(self._pipeline.after())

    def _said(self, notes: list[str]) -> Iterator[Event]:
        """Keep notes for the files' provenance, and yield them."""
        self._late_notes += notes
        yield from (Warned(note) for note in notes)

    def _add_tile(self, mosaic: Mosaic, tile: Tile, image: TileImage) -> None:
        if not (image.valid & self._reader.inside(image.window)).any():
            return
        answer = self._answered(image)
        self._count(answer)
        mosaic.add(tile, answer, image.valid)

    def _observed(self, image: TileImage) -> Any:
        """Return what the models see of a tile: remembered from an earlier question, or computed."""
        # Neither the extent nor the mask: tiles are read whole.
        scene = replace(self._request.scene, extent=None, mask_wkb_hex="")
        parameters = self._pipeline.observation_key(self._parameters)
        place = (self._reader.grid, image.window)
        key = (scene, self._file_state, place, self._models.identity, self._dtype, parameters)
        observe = self._pipeline.observe
        return self._engine.observations.get_or_make(key, lambda: observe(image, self._budget, self._should_stop))

    def _answered(self, image: TileImage) -> Answer:
        """Run the models, with less at a time whenever memory runs out."""
        while True:
            try:
                return self._pipeline.answer(self._observed(image), self._budget, self._should_stop)
            except (RuntimeError, MemoryError) as error:
                if not is_memory_error(error):
                    raise
                problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            # Outside the handler, so that the tensors which the traceback holds are free before the next try.
            self._give_something_up(problem)

    def _give_something_up(self, problem: str) -> None:
        device = self._budget.device
        if not self._budget.shrink():
            raise _memory_exhausted(problem)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if device != self._budget.device:
            self._dtype = choose_dtype("fp32", self._budget.device)
            self._pipeline.to(self._budget.device, self._dtype)

    def _count(self, answer: Answer) -> None:
        positives = self._request.query.positives
        self._segments.update(positives[label].name for label in answer.found if 0 <= label < len(positives))

    def _join_tiles(self, mosaic: Mosaic) -> Generator[Event, None, LabelledScene]:
        """Paint the scene; the generator's return value is the labelled scene."""
        total = max(mosaic.tile_count, 1)
        with closing(mosaic.finish()) as steps:
            for done, scene in enumerate(steps):
                if isinstance(scene, LabelledScene):
                    self._files.callback(scene.close)
                    return scene
                self._stop_if_asked()
                fraction = _MODELS_SHARE + _JOINING_SHARE * (done + 1) / total
                yield Progress("Joining tiles", done + 1, total, fraction)
        raise EngineError("The mosaic ended without a scene.")

    def _write(self, scene: LabelledScene) -> Iterator[Event]:
        """Trace polygons block by block, write them, and put the finished files in place."""
        polygonizer = Polygonizer(scene, self._legend, self._reader.grid, self._polygon_settings())
        absent = leave_out_absent(polygonizer, self._legend, self._parameters, self._stop_if_asked)
        yield from self._said(absent)
        about_phrase = self._apply_phrase(polygonizer)
        yield from self._said(about_phrase)  # before the files, whose provenance holds them
        files = self._result_files()
        tally = Tally(len(self._legend.output))
        blocks = polygonizer.blocks()
        for done, window in enumerate(blocks, start=1):
            self._stop_if_asked()
            block = polygonizer.block(window)
            files.add(block)
            tally.add(block.features)
            spent = _MODELS_SHARE + _JOINING_SHARE
            yield Progress("Writing polygons", 0, 0, spent + (1 - spent) * done / len(blocks))
        classes = tally.summary(self._legend.output)
        if self._request.query.phrase:
            classes = classes[:1]  # the others say where that lies
        about_picture = files.draw(classes, self._footer())
        self._late_notes += filter(None, [about_picture, *files.notes])
        if isinstance(self._pipeline, AsksModel):
            files.write_clicks(self._pipeline.answered)
        with Placement() as placement:
            files.finish(placement)
            placement.commit()
        yield self._finished(classes, files.picture)

    def _result_files(self) -> ResultFiles:
        provenance = json.dumps(self._provenance(), sort_keys=True)
        files = ResultFiles(self._request, self._reader, self._legend, self._scratch, provenance, self._class_scores)
        self._files.callback(files.close)
        return files

    def _apply_phrase(self, polygonizer: Polygonizer) -> list[str]:
        """Where geometry answers a phrase, leave only what it refers to; return how it was read."""
        if not find_pipeline(self._request.recipe.pipeline).answers_phrases:
            return []
        return apply_phrase(self._request.query, polygonizer, self._reader.grid, self._stop_if_asked)

    def _polygon_settings(self) -> PolygonSettings:
        p = self._parameters
        simplify_m = None if p["simplify_m"] is None else float(p["simplify_m"])
        return PolygonSettings(float(p["min_area_m2"] or 0), float(p["fill_holes_m2"] or 0), simplify_m)

    def _provenance(self) -> dict[str, object]:
        """Return all that is needed to repeat the result."""
        return {
            "product": "RS TextSeg",
            "version": VERSION,
            "torch": torch.__version__,
            "started": self._started.isoformat(timespec="seconds"),
            "device": describe(self._budget.device, self._dtype),
            "request": self._request.to_be_kept(),
            "parameters": without_queries(self._parameters),
            "models": {
                role: {"file": checkpoint.title, "sha256": checkpoint.sha256}
                for role, checkpoint in self._models.checkpoints.items()
            },
            "demo_models": self._models.is_demo,
            "notes": self._notes(),
        }

    def _notes(self) -> list[str]:
        return [*self._first_notes, *self._budget.notes, *self._late_notes]

    def _footer(self) -> str:
        """Return what stands at the foot of the map picture."""
        models = ", ".join(checkpoint.title for checkpoint in self._models.checkpoints.values())
        demo = "Demo models: for trying the product, not for maps. " if self._models.is_demo else ""
        return f"{demo}{self._request.recipe.pipeline} with {models}. RS TextSeg {VERSION}."

    def _finished(self, classes: tuple[ClassSummary, ...], picture: str) -> Finished:
        output = self._request.output
        return Finished(
            path=output.path,
            classes=classes,
            notes=tuple(self._notes()),
            label_raster=output.label_raster,
            score_raster=output.score_raster,
            map_picture=picture,
            class_scores=output.class_scores,
            clicks=output.clicks,
            device=describe(self._budget.device, self._dtype),
            models=tuple(checkpoint.title for checkpoint in self._models.checkpoints.values()),
            is_demo=self._models.is_demo,
        )

    def _stop_if_asked(self) -> None:
        _stop_if(self._should_stop)


def _stop_if(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Cancelled("The run was cancelled; nothing was written.")
