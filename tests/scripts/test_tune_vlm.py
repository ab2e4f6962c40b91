"""The command that tunes a vision-language model: from masks and phrases to an adapter that the product loads."""

from __future__ import annotations

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch
from controls import control
from rasters import texture, write_raster
from tiny_models import write_tiny_models
from tiny_qwen import save_tiny_qwen
from tuning_data import write_earth_reason, write_mask_table, write_rrsis_d

from rs_textseg_plugin.engine.vlm.model import ModelQuestion
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import load_qwen_vl
from training.loop import read_log
from tune_vlm import main
from tuning.examples import read_picture

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A model, a set with a SAM, and data."""
    folder = tmp_path_factory.mktemp("given")
    save_tiny_qwen(folder / "vlm", "qwen3_vl")
    write_tiny_models(folder / "models")
    (folder / "models" / "clip_tiny.pt").unlink()
    (folder / "data").mkdir()
    write_mask_table(folder / "data", 14)
    return folder


def run(given, folder, *more: str, layout=("table", "data/table.csv")) -> int:
    places = [str(given / place) for place in layout[1:]]
    models = ["--vlm", str(given / "vlm"), "--models", str(given / "models"), "--work", str(folder / "work")]
    quick = ["--rank", "2", "--batch", "4", "--epochs", "1", "--clicks", "2", "--rate", "1e-2", "--max-tokens", "4"]
    return main([layout[0], *places, *models, *quick, "--threads", "1", "--device", "cpu", "--held-out", "0.2", *more])


@pytest.fixture(scope="module")
def tuned(given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    assert run(given, folder, "--out", str(folder / "adapter"), "--evaluate-count", "2") == 0
    return folder


def test_an_adapter_comes_out_that_changes_what_the_model_answers(given, tuned):
    answers = []
    for adapter in (None, tuned / "adapter"):
        model = load_qwen_vl(given / "vlm", adapter, CPU, torch.float32)
        model.most_tokens = 12
        picture = read_picture(given / "data" / "0.png")
        answers.append(model.ask(picture, ModelQuestion("You click.", "Where?", {}), control()).text)
    assert answers[0] != answers[1]


def test_its_folder_keeps_clicks_state_log_and_scores(tuned):
    work = tuned / "work"
    assert {path.name for path in work.iterdir()} == {
        "adapter.log.jsonl", "adapter.state.pt", "scores.json", "targets.jsonl", "tuning.json",
    }  # fmt: skip
    scores = json.loads((work / "scores.json").read_text())
    assert set(scores) == {"g_iou", "c_iou", "p_50", "n_acc", "t_acc", "readable", "samples"}
    assert scores["samples"] == 2
    assert len(read_log(work, "adapter")) == 1
    for line in (work / "targets.jsonl").read_text().splitlines():
        things = json.loads(line)["instances"]
        assert all(len(one["inside"]) + len(one["outside"]) <= 2 for one in things)


def test_the_same_command_again_does_nothing_twice(given, tuned, capsys):
    work = tuned / "work"
    before = {name: (work / name).read_bytes() for name in ("targets.jsonl", "adapter.log.jsonl")}
    weights = (tuned / "adapter" / "adapter_model.safetensors").read_bytes()
    assert run(given, tuned, "--out", str(tuned / "adapter"), "--evaluate-count", "0") == 0
    assert {name: (work / name).read_bytes() for name in before} == before
    assert (tuned / "adapter" / "adapter_model.safetensors").read_bytes() == weights
    told = capsys.readouterr().out
    assert "Nothing was measured" in told
    assert f"--param adapter={tuned / 'adapter'} --param inside_points=2 --param outside_points=2" in told


def test_an_adapter_can_be_measured_alone_with_the_same_result(given, tuned, tmp_path, capsys):
    alone = ("--evaluate-only", "--adapter", str(tuned / "adapter"), "--evaluate-count", "2")
    assert run(given, tmp_path, *alone) == 0
    assert (tmp_path / "work" / "scores.json").read_text() == (tuned / "work" / "scores.json").read_text()
    assert "val: gIoU" in capsys.readouterr().out
    assert not (tmp_path / "work" / "targets.jsonl").exists()


def test_another_training_does_not_go_on_in_the_same_folder(given, tuned, capsys):
    assert run(given, tuned, "--out", str(tuned / "adapter"), "--clicks", "3") == 2
    assert "was begun with clicks 2, not 3: choose another --work folder" in capsys.readouterr().err


@pytest.mark.parametrize(("layout", "write"), [("rrsis-d", write_rrsis_d), ("earthreason", write_earth_reason)])
def test_the_published_layouts_are_learned_from(given, tmp_path, layout, write):
    write(tmp_path / "data")
    more = ("--out", str(tmp_path / "adapter"), "--evaluate-on", "test")
    assert run(given, tmp_path, *more, layout=(layout, str(tmp_path / "data"))) == 0
    scores = json.loads((tmp_path / "work" / "scores.json").read_text())
    assert scores["samples"] == {"rrsis-d": 1, "earthreason": 2}[layout]
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_polygons_of_the_users_own_are_learned_from(given, tmp_path):
    raster = write_raster(tmp_path / "scene.tif", texture(128, 192))
    with rasterio.open(raster) as file:
        left, top, crs = file.transform.c, file.transform.f, file.crs.to_wkt()
    boxes = [shapely.box(left + x, top - y - 20, left + x + 30, top - y) for x in (4, 70, 134) for y in (8, 70)]
    words = np.array(["a ship", "a pier"] * 3, object)
    layer = tmp_path / "layer.gpkg"
    pyogrio.raw.write(layer, shapely.to_wkb(boxes), [words], ["what"], geometry_type="Polygon", crs=crs)
    more = ("--out", str(tmp_path / "adapter"), "--text-column", "what", "--view-px", "64", "--evaluate-on", "train")
    assert run(given, tmp_path, *more, layout=("polygons", str(raster), str(layer))) == 0
    keys = [json.loads(line)["key"] for line in (tmp_path / "work" / "targets.jsonl").read_text().splitlines()]
    assert json.loads((tmp_path / "work" / "scores.json").read_text())["samples"] == len(keys) > 1
    assert {key.split("/")[-1] for key in keys} <= {"a ship", "a pier"}
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ((), "--out is missing"),
        (("--out", "OUT", "--adapter", "OUT"), "--adapter is measured with --evaluate-only"),
        (("--out", "OUT", "--clicks", "0"), "--clicks 0 is too little"),
        (("--out", "OUT", "--view-px", "10"), "--view-px 10 is too little: give at least 64"),
        (("--out", "OUT", "--models", "/nowhere"), "no model set and no folder '/nowhere'"),
        (("--out", "OUT", "--vlm", "/nowhere"), r"There is no model.safetensors in /nowhere"),
    ],
)
def test_what_cannot_be_had_is_said_in_words(given, tmp_path, capsys, more, problem):
    more = tuple(str(tmp_path / "adapter") if word == "OUT" else word for word in more)
    assert run(given, tmp_path, *more) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layout", "problem"),
    [
        (("polygons", "a.tif", "b.gpkg"), "needs --text-column"),
        (("table", "a.csv", "b.csv"), "takes 1 places, not 2"),
        (("table", "a.csv"), "a.csv cannot be read"),
        (("rrsis-d", "data"), "name the folder of RRSIS-D"),
    ],
)
def test_data_that_is_not_there_is_said_in_words(given, tmp_path, capsys, layout, problem):
    assert run(given, tmp_path, "--out", str(tmp_path / "adapter"), layout=layout) == 2
    assert problem in capsys.readouterr().err
