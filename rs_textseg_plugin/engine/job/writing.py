"""The second half of a run: the mosaic becomes a labelled scene, and the scene the files of the result."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing
from typing import Any

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.contract.events import ClassSummary, Event, Finished, Progress
from rs_textseg_plugin.engine.compute.device import describe
from rs_textseg_plugin.engine.job.answering import warnings
from rs_textseg_plugin.engine.job.provenance import picture_footer, provenance_json
from rs_textseg_plugin.engine.job.run import JOINING_SHARE, MODELS_SHARE, ActiveRun
from rs_textseg_plugin.engine.mosaic.mosaic import LabelledScene, Mosaic
from rs_textseg_plugin.engine.pipelines.protocol import AsksModel, Pipeline
from rs_textseg_plugin.engine.results.absent_classes import leave_out_absent
from rs_textseg_plugin.engine.results.class_scores import ClassScores
from rs_textseg_plugin.engine.results.phrase_filter import apply_phrase
from rs_textseg_plugin.engine.results.placement import Placement
from rs_textseg_plugin.engine.results.polygons import Polygonizer, Tally
from rs_textseg_plugin.engine.results.result_files import ResultFiles
from rs_textseg_plugin.engine.vlm.clicks_file import write_clicks

_SPENT = MODELS_SHARE + JOINING_SHARE


def join_tiles(run: ActiveRun, mosaic: Mosaic, open_files: ExitStack) -> Generator[Event, None, LabelledScene]:
    """Paint the scene; the generator's value is the labelled scene, which `open_files` closes."""
    total = max(mosaic.tile_count, 1)
    with closing(mosaic.finish()) as steps:
        for done, scene in enumerate(steps):
            if isinstance(scene, LabelledScene):
                open_files.callback(scene.close)
                return scene
            run.control.check()
            yield Progress("Joining tiles", done + 1, total, MODELS_SHARE + JOINING_SHARE * (done + 1) / total)
    raise EngineError("The mosaic ended without a scene.")


def choose_objects(run: ActiveRun, polygonizer: Polygonizer) -> Generator[Event, None, list[str]]:
    """Leave out what is taken as absent, and what a phrase does not refer to; the value is what to say of it."""
    settings, query, control = run.plan.settings, run.plan.request.query, run.control
    least_area_m2 = settings.polygons.min_area_m2
    notes = leave_out_absent(polygonizer, run.plan.legend, settings.least_presence, least_area_m2, control)
    yield from warnings(notes)
    if run.plan.info.answers_phrases:
        about_phrase = apply_phrase(query, polygonizer, run.reader.grid, control)
        yield from warnings(about_phrase)
        notes = [*notes, *about_phrase]
    return notes


def write_results(
    run: ActiveRun,
    scene: LabelledScene,
    pipeline: Pipeline[Any],
    class_scores: ClassScores,
    notes: tuple[list[str], list[str]],
    open_files: ExitStack,
) -> Generator[Event, None, None]:
    """Trace polygons block by block, write them, and put the finished files in place; the last event is `Finished`.

    Args:
        run: on its way.
        scene: the labelled scene.
        pipeline: the method, which may hold a model's answer.
        class_scores: written while tiles were joined.
        notes: what to say of the run's beginning, and of its tiles.
        open_files: closes what is opened here.
    """
    legend, (first, late) = run.plan.legend, notes
    polygonizer = Polygonizer(scene, legend, run.reader.grid, run.plan.settings.polygons)
    late = late + (yield from choose_objects(run, polygonizer))  # before the files, whose provenance holds them
    answered_by = pipeline.answered_by if isinstance(pipeline, AsksModel) else {}
    provenance = provenance_json(run.plan, run.control, run.started, [*first, *run.control.notes, *late], answered_by)
    files = ResultFiles(run.plan.request, run.reader, legend, run.scratch, provenance, class_scores)
    open_files.callback(files.close)
    tally = yield from _write_blocks(run, polygonizer, files)
    classes = tally.summary(legend.output)
    if run.plan.request.query.phrase:
        classes = classes[:1]  # the others say where that lies
    about_picture = files.draw(classes, picture_footer(run.plan))
    if isinstance(pipeline, AsksModel) and run.plan.request.output.clicks:
        write_clicks(files.clicks, pipeline.instances, run.reader.grid, answered_by)
    with Placement() as placement:
        files.finish(placement)
        placement.commit()
    late = [*late, *filter(None, [about_picture, *files.notes, *placement.notes])]
    yield _finished(run, classes, [*first, *run.control.notes, *late], files.picture, placement)


def _write_blocks(run: ActiveRun, polygonizer: Polygonizer, files: ResultFiles) -> Generator[Event, None, Tally]:
    """Write the polygons and rasters; the value is the tally of classes."""
    tally, blocks = Tally(len(run.plan.legend.output)), polygonizer.blocks()
    for done, window in enumerate(blocks, start=1):
        run.control.check()
        block = polygonizer.block(window)
        files.add(block)
        tally.add(block.features)
        yield Progress("Writing polygons", 0, 0, _SPENT + (1 - _SPENT) * done / len(blocks))
    return tally


def _finished(
    run: ActiveRun, classes: tuple[ClassSummary, ...], notes: list[str], picture: str, placement: Placement
) -> Finished:
    output, models, place_of = run.plan.request.output, run.plan.models, placement.place_of
    return Finished(
        path=place_of(output.path),
        classes=classes,
        notes=tuple(notes),
        label_raster=place_of(output.label_raster),
        score_raster=place_of(output.score_raster),
        map_picture=place_of(picture),
        class_scores=place_of(output.class_scores),
        clicks=place_of(output.clicks),
        device=describe(run.control.device, run.control.dtype),
        models=tuple(checkpoint.title for checkpoint in models.checkpoints.values()),
        is_demo=models.is_demo,
    )
