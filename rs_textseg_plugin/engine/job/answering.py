"""The first half of a run: models are loaded, and every tile goes through them into the mosaic."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch

from rs_textseg_plugin.contract.errors import MemoryExhausted, SceneError
from rs_textseg_plugin.contract.events import Event, Found, Progress, Warned
from rs_textseg_plugin.contract.grid import TileGrid
from rs_textseg_plugin.engine.answers.answer import Answer
from rs_textseg_plugin.engine.answers.placed import cut_answer, place_answer, window_of_data
from rs_textseg_plugin.engine.clip.words import without_near_words
from rs_textseg_plugin.engine.compute.device import is_memory_error
from rs_textseg_plugin.engine.job.run import MODELS_SHARE, ActiveRun
from rs_textseg_plugin.engine.mosaic.mosaic import Mosaic
from rs_textseg_plugin.engine.pipelines.inputs import PhraseContext, PipelineInputs
from rs_textseg_plugin.engine.pipelines.protocol import AsksModel, Pipeline
from rs_textseg_plugin.engine.raster.reader import TileImage, prefetched
from rs_textseg_plugin.engine.raster.scene_tiles import Look

_MOST_TILES = 1_000_000  # weeks on any machine; more is a slip of the pen in a resolution


def load_pipeline(run: ActiveRun) -> tuple[Pipeline[Any], ActiveRun]:
    """Return the method, loaded, and the run with the words that the models leave to compete.

    Where models do not fit, those of earlier queries go, and then the CPU is used.
    """
    while True:
        try:
            return _loaded(run)
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            problem = str(error)
        note = f"The models did not fit into the memory of {run.control.device}: the CPU was used."
        if not run.warm.models.release_unused() and not run.control.budget.fall_to_cpu(note):
            raise memory_exhausted(problem)
        _empty_gpu_cache()


def _loaded(run: ActiveRun) -> tuple[Pipeline[Any], ActiveRun]:
    plan, warm = run.plan, run.warm
    context = PhraseContext(plan.request.query.phrase, run.reader.grid, warm.api_key)
    inputs = PipelineInputs(plan.info, plan.values, plan.legend, plan.models, warm.models, run.control, context)
    if "clip" in plan.info.roles and plan.legend.has_vocabulary:
        legend = without_near_words(inputs.clip(), plan.legend, str(plan.values["templates"]))
        inputs, run = replace(inputs, legend=legend), replace(run, plan=replace(plan, legend=legend))
    return warm.find_load(plan.info.name)(inputs), run


def make_tile_grid(run: ActiveRun) -> TileGrid:
    """Return the tiles of a run.

    Raises:
        SceneError: there are too many.
    """
    settings, extent = run.plan.settings, run.reader.extent
    grid = run.scene_tiles.grid(settings.tile_px, settings.overlap_px)
    step_px = grid.tile_px - grid.overlap_px
    count = (extent.width // step_px + 1) * (extent.height // step_px + 1)
    if count > _MOST_TILES:
        raise SceneError(
            f"The extent of {extent.width} x {extent.height} working pixels would take about {count} tiles: "
            "choose a smaller extent, a coarser resolution, or a larger tile_px."
        )
    return grid


def answer_tiles(
    run: ActiveRun, pipeline: Pipeline[Any], grid: TileGrid, mosaic: Mosaic
) -> Generator[Event, None, list[str]]:
    """Send every tile through the models and into the mosaic; the generator's value is what to say of it."""
    looks = run.scene_tiles.looks(grid)
    budget, notes, counts = run.control.budget, list[str](), Counter[str]()
    images = prefetched(run.reader, (look.window for look in looks), lambda: budget.tiles_in_flight - 1)
    started = time.monotonic()
    yield Progress("Segmenting", 0, len(looks), 0.0)
    if isinstance(pipeline, AsksModel):
        notes += pipeline.announce([look.window for look in looks])
        yield from warnings(notes)
    with closing(images):
        for done, (look, image) in enumerate(zip(looks, images), start=1):
            run.control.check()
            noted = len(budget.notes)
            if (image.valid & run.reader.inside(image.window)).any():
                answer = _answer(run, pipeline, image)
                counts.update(_names_found(run, answer))
                _put(look, answer, image, mosaic)
            yield from warnings(budget.notes[noted:])
            left_s = (time.monotonic() - started) / done * (len(looks) - done)
            yield Progress("Segmenting", done, len(looks), MODELS_SHARE * done / len(looks), round(left_s, 1))
            yield Found(dict(counts))
    if isinstance(pipeline, AsksModel):
        conclusions = pipeline.conclude()
        notes += conclusions
        yield from warnings(conclusions)
    return notes


def _put(look: Look, answer: Answer, image: TileImage, mosaic: Mosaic) -> None:
    """Hand an answer to the mosaic: as it is for a tile, in parts for a picture."""
    for tile in look.tiles:
        if tile.window == look.window:
            mosaic.add(tile, answer, image.valid)
            continue
        part = tile.window.relative_to(look.window)
        valid = image.valid[part.slices]
        if valid.any():
            mosaic.add(tile, cut_answer(answer, part, (look.window.height, look.window.width)), valid)


def warnings(notes: Sequence[str]) -> Generator[Event, None, None]:
    """Yield notes as events."""
    yield from (Warned(note) for note in notes)


def _names_found(run: ActiveRun, answer: Answer) -> list[str]:
    positives = run.plan.request.query.positives
    return [positives[label].name for label in answer.found if 0 <= label < len(positives)]


def _answer(run: ActiveRun, pipeline: Pipeline[Any], image: TileImage) -> Answer:
    """Run the models over the part of a tile that holds data, with less at a time whenever memory runs out."""
    part, size = window_of_data(image.valid), (image.window.height, image.window.width)
    seen = image if (part.height, part.width) == size else image.cut(part)
    while True:
        try:
            return place_answer(pipeline.answer(_observation(run, pipeline, seen), run.control), part, size)
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        # Outside the handler, so that the tensors which the traceback holds are free before the next try.
        _give_something_up(run, pipeline, problem)


def _observation(run: ActiveRun, pipeline: Pipeline[Any], image: TileImage) -> Any:
    """Return the observation of a tile: remembered from an earlier question, or computed."""
    plan, control, file_state = run.plan, run.control, run.reader.file_state
    if file_state is None:  # nobody would notice that the raster has changed
        return pipeline.observe(image, control)
    # Neither the extent nor the mask: tiles are read whole.
    scene = replace(plan.request.scene, extent=None, mask_wkb_hex="")
    place = (run.reader.grid, image.window)
    method = (plan.info.name, plan.info.image_side(plan.values), plan.models.identity)
    key = (scene, file_state, place, method, str(control.device), control.dtype)
    return run.warm.observations.get_or_make(key, lambda: pipeline.observe(image, control))


def _give_something_up(run: ActiveRun, pipeline: Pipeline[Any], problem: str) -> None:
    """Make room: first the models of earlier queries go, then less is computed at once, or on the CPU."""
    budget, device = run.control.budget, run.control.device
    if not run.warm.models.release_unused() and not budget.shrink():
        raise memory_exhausted(problem)
    _empty_gpu_cache()
    if device != budget.device:
        pipeline.to(budget.device, budget.dtype)


def _empty_gpu_cache() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_exhausted(problem: str) -> MemoryExhausted:
    """Return the error for memory that ran out with nothing left to make smaller."""
    return MemoryExhausted(
        f"Memory ran out, and there was nothing left to make smaller ({problem or 'no details'}): "
        "close other programs, take smaller models, or set a smaller tile_px."
    )
