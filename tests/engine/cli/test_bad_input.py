"""What cannot be done ends with status 2 and one sentence, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from command_line import run, write_noise

BAD_INPUT = [
    ({"raster": "none.tif"}, "none.tif"),
    ({"raster": "note.txt"}, "note.txt"),
    ({"raster": "grey.tif", "--bands": "1,2,3"}, "--bands 1"),
    ({"--text": " , ;"}, "names no class"),
    ({"--text": "-shadow, -cloud"}, "only negative"),
    ({"--pipeline": "sam-klip"}, "sam-klip"),
    ({"--pipeline": "segearth-ov", "--preset": "paper"}, "'paper' is one of the pipeline sam-clip, not of segearth-ov"),
    ({"--models": "empty"}, "no SAM checkpoint"),
    ({"--models": "absent"}, "absent"),
    ({"--models": "truncated"}, "damaged or cut off"),
    ({"--models": "foreign"}, "resnet.pth"),
    ({"--models": "imaginary"}, "imaginary"),
    ({"--out": "missing/o.gpkg"}, "missing"),
    ({"--out": "/proc/o.gpkg"}, "/proc"),
    ({"--out": "o.docx"}, ".docx"),
    ({"--extent": "0,0,10,10"}, "outside"),
    ({"--extent": "5,5"}, "5,5"),
    ({"--param": "points_per_side=many"}, "points_per_side"),
    ({"--param": "no_such_knob=1"}, "no_such_knob"),
    ({"--param": "tile_px"}, "key=value"),
    ({"--preset": "papers"}, "choose one of paper"),
    ({"--bands": "1,2"}, "1,2"),
    ({"--bands": "4,3,2"}, "4"),
    ({"--stretch": "log"}, "log"),
    ({"--device": "cuda:77"}, "cuda:77"),
    ({"--device": "tpu"}, "no device 'tpu'"),
    ({"--precision": "fp16"}, "no precision 'fp16'"),
    ({"--resolution": "-1"}, "-1"),
    ({"--resolution": "x"}, "write metres"),
    ({"--nodata": "none"}, "write a number"),
    ({"--word-list": "loveda", "--pipeline": "vlm-sam"}, "answers phrases and questions"),
]


@pytest.fixture
def bad_things(tmp_path, tiny_models, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_noise(tmp_path / "scene.tif")
    write_noise(tmp_path / "grey.tif", bands=1)
    (tmp_path / "note.txt").write_text("no raster")
    for name in ("empty", "truncated", "foreign"):
        (tmp_path / name).mkdir()
    for file in tiny_models.iterdir():
        (tmp_path / "truncated" / file.name).write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    torch.save({"layer1.0.conv1.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(3)}, tmp_path / "foreign/resnet.pth")
    return tmp_path


def test_bad_input_ends_with_status_2_and_one_sentence(subtests, bad_things, tiny_models, capfd):
    for change, words in BAD_INPUT:
        with subtests.test(change=change):
            what = {} if "--word-list" in change else {"--text": "road, water"}
            options = {"raster": "scene.tif", **what, "--models": tiny_models, "--out": "o.gpkg", **change}
            raster = options.pop("raster")
            before = sorted(path.name for path in bad_things.iterdir())
            assert run("segment", raster, *(f"{name}={value}" for name, value in options.items())) == 2
            printed = capfd.readouterr()
            message = printed.err.strip().splitlines()[-1]
            assert words in message
            assert message.endswith(".")
            assert len(message) < 400
            assert "Traceback" not in printed.err
            assert printed.out == ""
            assert sorted(path.name for path in bad_things.iterdir()) == before


def test_an_earlier_result_is_still_there_after_bad_input(bad_things, tiny_models):
    Path("o.gpkg").write_bytes(b"")
    keep = Path("keep.shp")
    keep.write_bytes(b"earlier")
    assert run("segment", "grey.tif", "--bands=2", "--text=road, water", "--models", tiny_models, "--out", keep) == 2
    assert keep.read_bytes() == b"earlier"


def test_a_parameter_that_is_given_twice_is_refused_wherever_it_stands(bad_things, tiny_models, capfd):
    asked = ["segment", "scene.tif", "--text", "road", "--models", tiny_models, "--out", "o.gpkg"]
    assert run(*asked, "--param", "tile_px=512", "templates=1", "--param", "tile_px=256") == 2
    assert "'tile_px' is given twice" in capfd.readouterr().err
