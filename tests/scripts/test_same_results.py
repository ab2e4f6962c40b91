"""Two records of the same code are the same, and whatever else differs is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import rasterio

import same_results
from same_results import CASES, Case, compare, events_of, record, without_times


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> tuple[Path, Path]:
    """One small case, recorded twice."""
    folder = tmp_path_factory.mktemp("records")
    case = Case("segearth-ov", ("--text", "water, grass, roof"), ("templates=1", "upsampling=bilinear"), tile_px=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CASES, "small", case)
        for name in ("before", "after"):
            record(folder / name, same_results.ROOT, ["small"], 64)
    return folder / "before", folder / "after"


@pytest.fixture
def changed(records, tmp_path) -> Path:
    """A copy of the second record for a test to change."""
    return shutil.copytree(records[1], tmp_path / "changed")


def change_table(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as table:
        triggers = [name for (name,) in table.execute("select name from sqlite_master where type = 'trigger'")]
        for name in triggers:  # they call functions that only GDAL has
            table.execute(f'drop trigger "{name}"')
        table.executescript(statement)


def change_pixel(path: Path) -> None:
    with rasterio.open(path, "r+") as dataset:
        pixels = dataset.read()
        pixels[0, 5, 7] += 1
        dataset.write(pixels)


def move_raster(path: Path) -> None:
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = dataset.transform @ rasterio.Affine.translation(1, 0)


def change_event(path: Path, kind: str, **changes: object) -> None:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert kind in [event["type"] for event in events]
    changed = [{**event, **changes} if event["type"] == kind else event for event in events]
    path.write_text("".join(json.dumps(event) + "\n" for event in changed))


def test_two_records_of_the_same_code_are_the_same_although_times_and_folders_differ(records, capsys):
    before, after = records
    assert (before / "small" / "events.jsonl").read_text() != (after / "small" / "events.jsonl").read_text()
    assert compare(before, after) == 0
    assert capsys.readouterr().out == "The same results: small.\n"


def test_the_record_holds_features_and_every_raster(records):
    (case,) = records[0].iterdir()
    assert {path.name for path in case.iterdir()} == {
        "result.gpkg", "labels.tif", "scores.tif", "classes.tif", "events.jsonl"
    }  # fmt: skip
    parts = same_results.contents(case)
    assert parts["attribute class"] != "[]"
    assert {"geometries", "layers", "result.gpkg notes", "labels.tif pixels", "events"} <= set(parts)
    assert not any("started" in part for part in parts)


NOTE_IN_PROVENANCE = """
update gpkg_metadata set metadata = replace(metadata, '"notes": [', '"notes": ["dark", ');
update gpkg_metadata set metadata = replace(metadata, '&quot;notes&quot;: [', '&quot;notes&quot;: [&quot;dark&quot;, ');
"""
CHANGES = {
    "attribute score": lambda case: change_table(
        case / "result.gpkg", "update segments set score = score + 0.0001 where fid = 1"
    ),
    "attribute class": lambda case: change_table(
        case / "result.gpkg", "update segments set class = 'Roof' where fid = 1"
    ),
    "result.gpkg notes": lambda case: change_table(case / "result.gpkg", NOTE_IN_PROVENANCE),
    "labels.tif pixels": lambda case: change_pixel(case / "labels.tif"),
    "scores.tif place": lambda case: move_raster(case / "scores.tif"),
    "events": lambda case: change_event(case / "events.jsonl", "finished", notes=["It is dark."]),
}


@pytest.mark.parametrize("part", CHANGES)
def test_what_differs_is_named_and_the_status_is_1(records, changed, part, capsys):
    CHANGES[part](changed / "small")
    assert compare(records[0], changed) == 1
    assert capsys.readouterr().out == f"small: {part} differs\n"


def test_another_order_of_the_features_is_a_difference(records, changed, capsys):
    swap = "update segments set fid = 1000 where fid = 1"
    change_table(changed / "small" / "result.gpkg", swap)
    assert compare(records[0], changed) == 1
    assert "small: geometries differs\n" in capsys.readouterr().out


def test_an_output_that_is_gone_and_one_that_came_are_named(records, changed, capsys):
    (changed / "small" / "classes.tif").unlink()
    for pair in ((records[0], changed), (changed, records[0])):
        assert compare(*pair) == 1
        assert "small: classes.tif pixels differs\n" in capsys.readouterr().out


def test_a_case_that_only_one_record_has_is_named(records, changed, capsys):
    (changed / "small").rename(changed / "large")
    assert compare(records[0], changed) == 1
    assert capsys.readouterr().out == f"large: not in {records[0]}\nsmall: not in {changed}\n"


def test_nothing_is_not_the_same_as_nothing(records, tmp_path, capsys):
    assert compare(tmp_path, tmp_path) == compare(records[0], tmp_path / "missing") == 2
    assert "There is no record in" in capsys.readouterr().err


def test_progress_may_differ_and_an_event_that_only_speaks_of_it_may_not(tmp_path):
    path = tmp_path / "events.jsonl"
    events = [{"type": "progress", "fraction": 0.5}, {"type": "found", "counts": {"progress": 3}}]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert events_of(path) == events[1:]


def test_times_are_left_out_at_any_depth_and_nothing_else():
    given = {"seconds": 3.5, "runs": [{"started": "today", "area": 4}], "name": "seconds"}
    assert without_times(given) == {"runs": [{"area": 4}], "name": "seconds"}


def test_an_earlier_record_does_not_outlive_a_run_that_fails(changed, monkeypatch):
    monkeypatch.setitem(CASES, "small", Case("segearth-ov", question=()))
    with pytest.raises(SystemExit, match="small: The command is not understood"):
        record(changed, same_results.ROOT, ["small"], 64)
    assert same_results.cases_in(changed) == []
