"""What may be written where: the faults are on the disk, not in a mock."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from osgeo import gdal
from rasters import north_up, write_raster

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.contract.query import parse_phrase
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.job.request_check import check_request
from rs_textseg_plugin.engine.results.output_check import check_output
from rs_textseg_plugin.engine.results.output_lock import locked


def test_the_raster_that_is_segmented_is_never_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    outputs = [
        Output("a.gpkg", label_raster="scene.tif"),
        Output("a.gpkg", score_raster="in/../scene.tif"),
        Output("a.gpkg", class_scores="scene.tif"),
    ]
    for output in outputs:
        with pytest.raises(OutputError, match="is the raster that is segmented"):
            check_output(output, str(tmp_path / "scene.tif"))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (Output("a.xyz"), "unknown suffix"),
        (Output("missing/a.gpkg"), "does not exist"),
        (Output("a.gpkg", label_raster="b.png"), "suffix .tif"),
        (Output("a.gpkg", class_scores="b.img"), "suffix .tif"),
        (Output("a.gpkg", map_picture="b.jpg"), "suffix .png"),
        (Output("a.gpkg", "b.tif", "b.tif"), "same name"),
        (Output("a.gpkg", "b.tif", "folder.gpkg/../b.tif"), "same name"),
        (Output("a.gpkg", score_raster="b.tif", class_scores="b.tif"), "same name"),
        (Output("folder.gpkg"), "is a folder"),
        (Output("/proc/a.gpkg"), "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words_before_the_work(tmp_path, monkeypatch, output, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(OutputError, match=words):
        check_output(output)
    check_output(Output("good.gpkg", "labels.tif", "scores.tif", "map.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.gpkg"]


def test_a_geopackage_with_other_layers_is_not_overwritten(tmp_path):
    path = tmp_path / "project.gpkg"
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array([shapely.box(0, 0, 1, 1)], dtype=object)),
        field_data=[np.array([1])],
        fields=np.array(["id"], dtype=object),
        layer="parcels",
        driver="GPKG",
        geometry_type="Polygon",
        crs="EPSG:4326",
    )
    with pytest.raises(OutputError, match="parcels"):
        check_output(Output(str(path)))


@pytest.fixture
def source(tmp_path) -> Path:
    return write_raster(tmp_path / "source.tif", np.ones((3, 20, 20), np.uint8), transform=north_up(1))


def spellings(source: Path) -> dict[str, str]:
    """Ways to name a raster that is read from one file."""
    folder = source.parent
    inner, outer, warped = (folder / name for name in ("inner.vrt", "outer.vrt", "warped.vrt"))
    gdal.BuildVRT(str(inner), [str(source)]).FlushCache()
    gdal.BuildVRT(str(outer), [str(inner)]).FlushCache()
    gdal.Warp(str(warped), str(source), format="VRT", dstSRS="EPSG:4326").FlushCache()
    (folder / "link.tif").symlink_to(source)
    (folder / "hard").mkdir()
    os.link(source, folder / "hard" / "link.tif")
    return {
        "the source of a VRT": str(inner),
        "the source of a VRT in a VRT": str(outer),
        "the source of a warped VRT": str(warped),
        "the text of a VRT": inner.read_text().replace(
            'relativeToVRT="1">source', f'relativeToVRT="0">{folder}/source'
        ),
        "a subdataset": f"GTIFF_DIR:1:{source}",
        "a raster by its query": f"vrt://{source}?bands=1",
        "a part of a file": f"/vsisubfile/0_{source.stat().st_size},{source}",
        "a link": str(folder / "link.tif"),
        "a hard link": str(folder / "hard" / "link.tif"),
    }


def test_no_file_that_the_raster_is_read_from_is_replaced_however_it_is_spelled(source, tmp_path, subtests):
    for what, name in spellings(source).items():
        with subtests.test(what):
            with pytest.raises(OutputError, match=r"source\.tif.*give it another name"):
                check_output(Output(str(tmp_path / "a.gpkg"), label_raster=str(source)), name)
            check_output(Output(str(tmp_path / "a.gpkg"), label_raster=str(tmp_path / "other.tif")), name)


def test_neither_an_inner_vrts_archive_nor_a_sidecar_is_replaced(source, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.tif", "w") as archive:
        archive.write(source, "source.tif")
    with pytest.raises(OutputError, match=r"archive\.tif"):
        check_output(
            Output(str(tmp_path / "a.gpkg"), score_raster=str(tmp_path / "archive.tif")),
            f"/vsizip/{{{tmp_path}/archive.tif}}/source.tif",
        )
    grid = tmp_path / "heights.asc"
    gdal.Translate(str(grid), str(source), format="AAIGrid", bandList=[1], outputSRS="EPSG:32633").FlushCache()
    assert (tmp_path / "heights.prj").exists()
    with pytest.raises(OutputError, match=r"heights\.prj"):
        check_output(Output(str(tmp_path / "heights.shp")), str(grid))


def test_clicks_that_are_drawn_again_and_the_tables_of_models_are_not_replaced(source, tmp_path):
    clicks, models = tmp_path / "clicks.geojson", tmp_path / "set"
    models.mkdir()
    for path in (clicks, models / "models.json"):
        path.write_text("{}")
    recipe = Recipe("vlm-sam", str(models), parameters={"clicks": str(clicks)})
    for output, name in (
        (Output(str(tmp_path / "a.gpkg"), clicks=str(tmp_path / "set" / ".." / "clicks.geojson")), "clicks"),
        (Output(str(clicks)), "clicks"),
        (Output(str(models / "models.json")), "set"),
    ):
        with pytest.raises(OutputError, match=f"would replace a file that is read.*{name}"):
            check_request(Request(Scene(str(source)), parse_phrase("the ship"), recipe, output))
    check_request(Request(Scene(str(source)), parse_phrase("the ship"), recipe, Output(str(models / "a.json"))))


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    longest = "n" * 250 + ".gpkg"
    check_output(Output(str(tmp_path / longest)))
    for output in (
        Output(str(tmp_path / f"n{longest}")),
        Output(str(tmp_path / "a.gpkg"), label_raster=str(tmp_path / ("ä" * 126 + ".tif"))),
    ):
        with pytest.raises(OutputError, match="too long a name"):
            check_output(output)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_and_what_leads_nowhere_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.gpkg")
    (tmp_path / "loop.gpkg").symlink_to(tmp_path / "loop.gpkg")
    (tmp_path / "gone.gpkg").symlink_to(tmp_path / "missing" / "a.gpkg")
    (tmp_path / "part.dbf").mkdir()
    for name, words in (
        ("pipe.gpkg", "no ordinary file"),
        ("loop.gpkg", "leads back to itself"),
        ("gone.gpkg", "does not exist"),
        ("part.shp", "is a folder"),
    ):
        with pytest.raises(OutputError, match=words):
            check_output(Output(str(tmp_path / name)))


def test_a_file_that_runs_as_a_program_cannot_be_written_and_a_read_only_one_can_be_replaced(tmp_path):
    """A running program is what every user can have the system lock."""
    program = tmp_path / "busy.tif"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    running = subprocess.Popen([program, "60"])
    try:
        with pytest.raises(OutputError, match=r"busy\.tif exists and cannot be replaced.*choose another name"):
            check_output(Output(str(tmp_path / "a.gpkg"), label_raster=str(program)))
    finally:
        running.kill()
        running.wait()
    program.chmod(0o444)
    check_output(Output(str(tmp_path / "a.gpkg"), label_raster=str(program)))


HOLD = """
import sys
from rs_textseg_plugin.contract.request import Output
from rs_textseg_plugin.engine.results.output_lock import locked
with locked(Output(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds ``a.gpkg``, until its standard input ends."""
    search = os.pathsep.join(sys.path)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a.gpkg")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_run_is_told_that_another_one_writes_there(holder, tmp_path):
    (tmp_path / "link.gpkg").symlink_to(tmp_path / "a.gpkg")
    for output in (Output(str(tmp_path / "a.gpkg")), Output(str(tmp_path / "link.gpkg"))):
        with pytest.raises(OutputError, match=r"Another run is writing to .*a\.gpkg"), locked(output):
            pass
    with locked(Output(str(tmp_path / "b.gpkg"), label_raster=str(tmp_path / "b.tif"))):
        assert len(list(tmp_path.glob(".*"))) == 3
    holder.communicate("")
    assert list(tmp_path.glob(".*")) == []


def test_a_killed_run_leaves_nothing_that_stands_in_the_way(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locked(Output(str(tmp_path / "a.gpkg"))):
        pass
    assert list(tmp_path.glob(".*")) == []


def test_a_foreign_file_with_the_name_of_a_lock_is_not_touched(tmp_path):
    with locked(Output(str(tmp_path / "a.gpkg"))):
        (lock,) = tmp_path.glob(".*")
    lock.write_text("of somebody else")
    with locked(Output(str(tmp_path / "a.gpkg"))), lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert lock.read_text() == "of somebody else"
