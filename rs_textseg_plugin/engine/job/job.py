"""One request on its way through the engine, stage by stage: each takes values and returns values."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack

from rs_textseg_plugin.contract.events import Event, Progress
from rs_textseg_plugin.engine.job.answering import answer_tiles, load_pipeline, make_tile_grid, warnings
from rs_textseg_plugin.engine.job.run import ActiveRun
from rs_textseg_plugin.engine.job.writing import join_tiles, write_results
from rs_textseg_plugin.engine.mosaic.mosaic import Mosaic
from rs_textseg_plugin.engine.raster.file_state import changed_since
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m
from rs_textseg_plugin.engine.results.class_scores import ClassScores, check_room
from rs_textseg_plugin.engine.results.output_lock import locked
from rs_textseg_plugin.engine.results.vector_file import format_notes


def run_job(run: ActiveRun) -> Generator[Event, None, None]:
    """Yield the events of a run, `Finished` at the end.

    Raises:
        InputError, EngineError, Cancelled: as the stages do.
    """
    with locked(run.plan.request.output):
        yield from _stages(run)


def _stages(run: ActiveRun) -> Generator[Event, None, None]:
    plan, reader, output = run.plan, run.reader, run.plan.request.output
    check_room(output.class_scores, run.scratch, reader.extent, plan.legend.positives)
    first_notes = _first_notes(run)
    yield from warnings(first_notes)
    yield Progress("Loading models", 0, 0, 0.0)
    run.control.check()
    run.warm.models.begin_run()
    pipeline, run = load_pipeline(run)
    plan = run.plan
    about_models = [*plan.models.notes_on_files(run.warm.models.in_use), *plan.legend.notes]
    first_notes += about_models
    yield from warnings([*run.control.notes, *about_models])
    with ExitStack() as open_files:  # Windows cannot remove the scratch folder while a file in it is open
        grid = make_tile_grid(run)
        class_scores = ClassScores(output.class_scores, run.scratch, reader.grid, reader.extent, plan.legend)
        open_files.callback(class_scores.close)
        mosaic = Mosaic(
            plan.legend,
            grid,
            reader.extent,
            reader.inside,
            pipeline.prob_threshold,
            plan.settings.makes_instances,
            run.scratch,
            pipeline.duplicate_iou,
            class_scores.write,
        )
        late_notes = yield from answer_tiles(run, pipeline, grid, mosaic)
        about_changes = _notes_on_changes(run)
        yield from warnings(about_changes)
        late_notes += about_changes
        scene = yield from join_tiles(run, mosaic, open_files)
        yield from write_results(run, scene, pipeline, class_scores, (first_notes, late_notes), open_files)


def _notes_on_changes(run: ActiveRun) -> list[str]:
    """Note on the first file that changed while the raster was read; an empty list if none did."""
    changed = changed_since(run.reader.file_state or ())
    if not changed:
        return []
    return [f"{changed[0]} was changed during the run, so the result may mix what it held before and after: run again."]


def _first_notes(run: ActiveRun) -> list[str]:
    """Return the notes on raster, format and models that stand first in a result."""
    plan, grid = run.plan, run.reader.grid
    about_format = format_notes(plan.request.output.path, grid.crs_wkt, plan.request.query.text)
    about_pixels = plan.models.notes(sum(ground_resolution_m(grid)) / 2)
    return [*run.reader.notes, *run.scene_tiles.notes, *about_format, *plan.notes, *about_pixels]
