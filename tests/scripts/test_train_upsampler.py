"""The command that trains an upsampler: from rasters and a CLIP to a file that segearth-ov uses."""

from __future__ import annotations

import json
import math

import pytest
import torch
from rasters import texture, write_raster
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_models import write_tiny_models
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.models.upsampler import load_upsampler
from rs_textseg_plugin.engine.service import Engine
from train_upsampler import main
from training.loop import read_log

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    return write_raster(tmp_path_factory.mktemp("rasters") / "scene.tif", texture(96, 128))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A set with a CLIP only."""
    folder = write_tiny_models(tmp_path_factory.mktemp("models"))
    (folder / "sam_tiny.pth").unlink()
    return folder


def run(raster, models, folder, *more: str, minutes: float = 0.01) -> int:
    arguments = [str(raster), "--models", str(models), "--out", str(folder / "out" / "up.safetensors")]
    quick = ["--work", str(folder / "work"), "--minutes", str(minutes), "--batch", "1", "--threads", "1"]
    return main([*arguments, *quick, "--device", "cpu", *more])


@pytest.fixture(scope="module")
def trained(raster, models, tmp_path_factory):
    """A folder in which the command ran, and ran again for longer."""
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("upsampling.recipe._VALIDATION_BATCHES", 1)
        assert run(raster, models, folder) == 0
        first = load_upsampler(folder / "out" / "up.safetensors", CPU, torch.float32)
        assert run(raster, models, folder, minutes=0.04) == 0
    return folder, first


def test_the_file_has_the_published_names_and_says_what_it_belongs_to(trained, models):
    folder, _ = trained
    with safe_open(folder / "out" / "up.safetensors", "pt") as file:
        shapes = {name: tuple(file.get_tensor(name).shape) for name in file.keys()}  # noqa: SIM118 (no mapping)
        facts = file.metadata()
    published = {f"upsampler.{name}": tuple(value.shape) for name, value in published_state(32).items()}
    assert shapes == published
    assert facts["clip"] == "clip_tiny.pt"
    assert (facts["layout"], facts["features"], facts["attention"]) == ("simfeatup", "last-block", "self-self")
    assert len(facts["clip_sha256"]) == 64


def test_a_second_run_goes_on_where_the_first_stopped_and_changes_the_weights(trained):
    folder, first = trained
    log = read_log(folder / "work", "upsampler")
    assert log[-1]["step"] > log[0]["step"] > 0
    assert log[-1]["spent_s"] > log[0]["spent_s"]
    now = load_upsampler(folder / "out" / "up.safetensors", CPU, torch.float32)
    change = (now.network.up.range_proj[0].weight - first.network.up.range_proj[0].weight).abs().max()
    assert 0 < change < 0.1


def test_a_training_whose_time_is_spent_takes_no_further_step(trained, raster, models):
    folder, _ = trained
    before, log = load_file(folder / "out" / "up.safetensors"), read_log(folder / "work", "upsampler")
    assert run(raster, models, folder, minutes=0.001) == 0
    after = load_file(folder / "out" / "up.safetensors")
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert read_log(folder / "work", "upsampler") == log


def test_the_log_says_whether_it_is_better_than_bilinear_upsampling(trained):
    folder, _ = trained
    first, *_, last = read_log(folder / "work", "upsampler")
    for line in (first, last):
        assert {"loss_rec", "loss_img", "rec", "img", "error", "rec_bilinear", "img_bilinear", "error_bilinear"} <= set(
            line
        )
        assert all(math.isfinite(value) for value in line.values())
    assert first["error"] != last["error"]
    # The same pictures and views each time; only the downsampler has changed a little.
    assert first["error_bilinear"] == pytest.approx(last["error_bilinear"], rel=0.05)


def test_what_was_trained_is_used_by_segearth_ov_without_a_note(trained, raster, models, tmp_path):
    folder, _ = trained
    for path in (models / "clip_tiny.pt", folder / "out" / "up.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    parameters = {"templates": "1", "clip_long_side_px": 0, "clip_window_px": 64, "clip_stride_px": 64, "tile_px": 64,
                  "overlap_px": 0}  # fmt: skip
    recipe = Recipe("segearth-ov", str(tmp_path), parameters, device="cpu")
    request = Request(Scene(str(raster)), parse_class_list("road, water"), recipe, Output(str(tmp_path / "out.gpkg")))
    finished = list(Engine().run(request, lambda: False))[-1]
    assert isinstance(finished, Finished)
    assert not any("upsampl" in note for note in finished.notes)
    assert set(finished.models) == {"clip_tiny.pt", "up.safetensors"}


def test_the_other_layout_and_the_published_features_can_be_had(raster, models, tmp_path, monkeypatch):
    monkeypatch.setattr("upsampling.recipe._VALIDATION_BATCHES", 1)
    more = ("--layout", "jbu", "--features", "penultimate", "--crop-px", "32")
    assert run(raster, models, tmp_path, *more, minutes=0.001) == 0
    found = load_upsampler(tmp_path / "out" / "up.safetensors", CPU, torch.float32)
    assert len(set(map(id, found.network.steps))) == 4
    assert found.channels == 32


@pytest.mark.parametrize(
    ("more", "words"),
    [(("--layout", "jbu"), "begun with layout simfeatup, not jbu"),
     (("--attention", "gem"), "begun with attention self-self, not gem"),
     (("--features", "penultimate"), "begun with features last-block, not penultimate")],
)  # fmt: skip
def test_a_training_does_not_go_on_as_another_one(trained, raster, models, capsys, more, words):
    before = (trained[0] / "out" / "up.safetensors").read_bytes()
    assert run(raster, models, trained[0], *more) == 2
    assert words in capsys.readouterr().err
    assert (trained[0] / "out" / "up.safetensors").read_bytes() == before


def refused(capsys, status: int) -> str:
    """Return the only line of a refusal."""
    assert status == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    return captured.err


def test_without_a_raster_it_says_where_it_looked(models, tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    assert "There is no raster in" in refused(capsys, run(tmp_path / "bare", models, tmp_path))


def test_a_set_without_a_clip_is_refused(raster, tmp_path, capsys):
    folder = write_tiny_models(tmp_path / "models")
    (folder / "clip_tiny.pt").unlink()
    assert "holds no CLIP checkpoint" in refused(capsys, run(raster, folder, tmp_path))


def test_a_raster_that_is_too_small_is_refused(models, tmp_path, capsys):
    small = write_raster(tmp_path / "small.tif", texture(12, 40))
    assert "small.tif has 40 x 12 pixels" in refused(capsys, run(small, models, tmp_path))
    assert not (tmp_path / "work" / "upsampler.state.pt").exists()


@pytest.mark.parametrize("size_px", ["40", "16", "-32"])
def test_pictures_that_hold_no_whole_patches_or_one_only_are_refused(raster, models, tmp_path, capsys, size_px):
    message = refused(capsys, run(raster, models, tmp_path, "--crop-px", size_px))
    assert f"--crop-px {size_px} does not fit the patches of 16 px" in message


def test_bands_and_devices_that_are_none_are_refused(raster, models, tmp_path, capsys):
    assert "--bands 'red'" in refused(capsys, run(raster, models, tmp_path, "--bands", "red"))
    assert "has 3 bands" in refused(capsys, run(raster, models, tmp_path, "--bands", "1,2,9"))
    assert "no device" in refused(capsys, run(raster, models, tmp_path, "--device", "abacus"))


def test_a_file_that_cannot_be_written_is_refused_before_the_training(raster, models, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.safetensors").mkdir()
    for name, words in (
        ("up.pt", "is no .safetensors file"),
        ("folder.safetensors", "is a folder"),
        ("file/up.safetensors", "nothing can be written to"),
    ):
        message = refused(capsys, run(raster, models, tmp_path, "--out", str(tmp_path / name)))
        assert words in message
    message = refused(capsys, run(raster, models, tmp_path, "--work", str(tmp_path / "file")))
    assert "--work: nothing can be written to" in message
    assert not (tmp_path / "work" / "upsampler.state.pt").exists()


def test_facts_are_kept_beside_the_state(trained):
    facts = json.loads((trained[0] / "work" / "upsampler.json").read_text())
    assert facts["layout"] == "simfeatup"
