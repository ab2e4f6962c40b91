"""Events as lines, for people and for programs."""

from __future__ import annotations

import io
import json

import pytest

from rs_textseg_plugin.contract.events import ClassSummary, Failed, Finished, Found, Progress, Warned
from rs_textseg_plugin.engine.cli.reports import JsonReport, TextReport, progress_line, summary

ROWS = (ClassSummary("low vegetation", "#0a0", 12, 345.64, 0.71), ClassSummary("car", "#a00", 0, 0.0, 0.0))
DONE = Finished("a.gpkg", ROWS, label_raster="l.tif", clicks="c.geojson", device="CPU", seconds=9.54)


def test_progress_is_a_share_a_stage_and_what_is_known_of_tiles_and_time(subtests):
    for event, line in (
        (Progress("Loading", 0, 0, 0.0), "  0% Loading"),
        (Progress("Segmenting", 3, 10, 0.25), " 25% Segmenting, tile 3 of 10"),
        (Progress("Segmenting", 4, 10, 0.35, 89.4), " 35% Segmenting, tile 4 of 10, about 89 s left"),
        (Progress("Segmenting", 4, 10, 0.35, 90.0), " 35% Segmenting, tile 4 of 10, about 2 min left"),
        (Progress("Writing", 0, 0, 1.0, 0.0), "100% Writing"),
    ):
        with subtests.test(line):
            assert progress_line(event) == line


def test_the_table_has_a_row_a_class_with_plain_numbers_at_its_end():
    heading, *rows = summary(DONE).splitlines()[:3]
    assert heading.split() == ["class", "polygons", "area", "m2", "mean", "score"]
    assert [row.rsplit(maxsplit=3) for row in rows] == [
        ["low vegetation", "12", "345.6", "0.710"],
        ["car", "0", "0.0", "0.000"],
    ]


def test_after_the_table_stand_time_and_the_files_that_were_written_and_no_other():
    assert summary(DONE).splitlines()[3:] == ["9.5 s on CPU", "Written: a.gpkg, l.tif, c.geojson"]


def test_a_result_of_the_demo_models_says_so():
    demo = Finished("a.gpkg", ROWS, is_demo=True)
    assert "demo models: for trying the product" in summary(demo)
    assert "demo" not in summary(DONE)


def test_people_get_the_table_on_stdout_and_all_else_beside_it(capsys):
    out = io.StringIO()
    report = TextReport(out)
    for event in (Progress("Segmenting", 1, 2, 0.5), Found({"car": 3}), Warned("It is dark."), DONE):
        report.show(event)
    assert out.getvalue() == summary(DONE) + "\n"
    assert capsys.readouterr().err == " 50% Segmenting, tile 1 of 2\nNote: It is dark.\n"


def test_a_failure_is_told_after_its_details(capsys):
    TextReport(io.StringIO()).show(Failed("EngineError", "It broke.", "Traceback"))
    TextReport(io.StringIO()).show(Failed("EngineError", "It broke."))
    assert capsys.readouterr().err == "Traceback\nIt broke.\nIt broke.\n"


@pytest.mark.parametrize("event", [Progress("Segmenting", 1, 2, 0.5), DONE, Failed("EngineError", "It broke.")])
def test_programs_get_every_event_as_a_line_of_json(event):
    out = io.StringIO()
    JsonReport(out).show(event)
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["type"] == type(event).__name__.lower()
