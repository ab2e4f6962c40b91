"""A run from the command line: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from command_line import FAST, run, write_noise
from openai_server import says

from rs_textseg_plugin.contract.server.api_key import VARIABLE
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY


def test_a_class_list_becomes_polygons_with_the_documented_attributes(scene, tmp_path, tiny_models, capfd):
    out = tmp_path / "out.gpkg"
    status = run("segment", scene, "--text", "building|roof, road, water", "--models", tiny_models, "--out", out,
                 "--map", tmp_path / "map.png", "--class-scores", tmp_path / "classes.tif", *FAST)  # fmt: skip
    printed = capfd.readouterr()
    assert status == 0
    meta, _, wkb, columns = pyogrio.raw.read(out)
    assert list(meta["fields"]) == [
        "class", "score", "runner_up", "runner_up_score", "margin", "area_m2", "pipeline", "query",
    ]  # fmt: skip
    assert meta["crs"] == "EPSG:32633"
    assert len(wkb) > 0
    assert shapely.is_valid(shapely.from_wkb(wkb)).all()
    assert set(columns[0]) <= {"building", "road", "water"}
    assert ((columns[1] > 0) & (columns[1] <= 1)).all()
    assert "building" in printed.out
    assert str(out) in printed.out
    with rasterio.open(tmp_path / "classes.tif") as classes:
        assert classes.descriptions == ("building", "road", "water")
        assert not np.isnan(classes.read()).any()
    assert str(tmp_path / "classes.tif") in printed.out
    assert "tile 1 of 1" in printed.err


def test_json_prints_one_event_a_line(scene, tmp_path, tiny_models, capfd):
    status = run("segment", scene, "--text", "road, water", "--models", tiny_models, "--out", tmp_path / "o.fgb",
                 "--json", *FAST)  # fmt: skip
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert status == 0
    assert [event["type"] for event in events][-1] == "finished"
    assert {"progress", "found"} <= {event["type"] for event in events}


def test_a_phrase_is_answered_by_the_methods_that_can_and_how_it_was_read_is_printed(
    scene, tmp_path, tiny_models, capfd
):
    options = ["--models", tiny_models, "--out", tmp_path / "o.gpkg", "--device", "cpu", "--param", "templates=1"]
    phrase = ["--phrase", "the largest building not near a road"]
    assert run("segment", scene, *phrase, "--pipeline", "surgery-sam", *options, "points=published") == 0
    printed = capfd.readouterr()
    assert "The phrase was read as: the largest 'building' not within 50 m of 'road'." in printed.err
    assert "building" in printed.out
    assert "road" not in printed.out
    assert pyogrio.read_info(tmp_path / "o.gpkg")["features"] <= 1
    assert run("segment", scene, *phrase, "--pipeline", "sam-clip", *options) == 2
    assert "answers class lists" in capfd.readouterr().err
    assert run("segment", scene, "--phrase", "near a road", "--pipeline", "surgery-sam", *options) == 2
    assert "does not say what to look for" in capfd.readouterr().err


def test_a_raster_with_one_band_is_looked_at_without_being_told_which(tmp_path, tiny_models):
    grey = write_noise(tmp_path / "grey.tif", bands=1)
    status = run("segment", grey, "--text", "road, water", "--models", tiny_models, "--out", tmp_path / "o.gpkg",
                 "--pipeline", "segearth-ov", "--param", "templates=1", "prob_threshold=0")  # fmt: skip
    assert status == 0
    assert pyogrio.read_info(tmp_path / "o.gpkg")["features"] >= 1


def test_crops_are_selected_too(scene, tmp_path, tiny_models):
    loose = [
        "selector=crop",
        "pred_iou_thresh=0",
        "stability_score_thresh=0",
        "prob_threshold=0",
        "competitor=background",
    ]
    status = run("segment", scene, "--text", "road, water", "--models", tiny_models, "--out", tmp_path / "o.gpkg",
                 "--param", *loose, *FAST)  # fmt: skip
    assert status == 0
    assert pyogrio.read_info(tmp_path / "o.gpkg")["features"] >= 1


@pytest.mark.parametrize("objects", ["regions", "instances"])
def test_masks_vote_softly_and_regions_are_asked_for(scene, tmp_path, tiny_models, objects, capfd):
    ours = ["vote=soft", "region_prompts=true", f"objects={objects}", "region_max_points=5"]
    loose = ["pred_iou_thresh=0", "stability_score_thresh=0", "prob_threshold=0", "closed_list=true"]
    status = run("segment", scene, "--text", "road, water", "--models", tiny_models, "--out", tmp_path / "o.gpkg",
                 "--json", "--device", "cpu", "--param", "points_per_side=2", "templates=1", *ours, *loose)  # fmt: skip
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert status == 0
    assert sum([event for event in events if event["type"] == "found"][-1]["counts"].values()) > 0
    assert pyogrio.read_info(tmp_path / "o.gpkg")["features"] >= 1


def test_a_parameter_wins_over_the_preset_and_the_preset_over_the_model_set(scene, tmp_path, tiny_models):
    folder = tmp_path / "models"
    folder.mkdir()
    for file in tiny_models.iterdir():
        (folder / file.name).symlink_to(file)
    roles = {"sam": "sam_tiny.pth", "clip": "clip_tiny.pt"}
    manifest = {
        "id": "mine", "title": "Mine", "pipelines": ["sam-clip"],
        "files": [{"role": role, "name": name} for role, name in roles.items()],
        "parameters": {"templates": "1", "window_blend": "taper", "points_per_side": 3, "cls_weight": 0.2},
    }  # fmt: skip
    (folder / "models.json").write_text(json.dumps(manifest))
    status = run("segment", scene, "--text", "road, water", "--models", folder, "--out", tmp_path / "o.gpkg",
                 "--preset", "paper", "--param", "points_per_side=4", "--device", "cpu")  # fmt: skip
    assert status == 0
    stored = json.loads(pyogrio.read_info(tmp_path / "o.gpkg")["layer_metadata"][PROVENANCE_KEY])
    used = stored["parameters"]
    assert (used["points_per_side"], used["window_blend"], used["overlap_px"]) == (4, "mean", 0)
    assert (used["templates"], used["cls_weight"]) == ("80", 0.3)  # as the preset, not the set
    asked = stored["request"]["recipe"]
    assert (asked["preset"], asked["parameters"]) == ("paper", {"points_per_side": "4"})


def start(*arguments: object) -> subprocess.Popen[str]:
    package = Path(sys.modules["rs_textseg_plugin"].__file__).parents[1]
    command = [sys.executable, "-m", "rs_textseg_plugin.engine", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(package), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_ctrl_c_cancels_with_status_130_and_writes_nothing(tmp_path, tiny_models):
    scene = write_noise(tmp_path / "large.tif", size=900)
    process = start("segment", scene, "--text", "road, water", "--models", tiny_models, "--out", tmp_path / "o.gpkg",
                    "--param", "tile_px=128", "overlap_px=32", "points_per_side=16", "--json")  # fmt: skip
    for line in process.stdout:
        if '"tiles_done":1' in line:
            process.send_signal(signal.SIGINT)
            break
    started = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 30
    assert not (tmp_path / "o.gpkg").exists()


def test_a_question_goes_to_a_server_with_consent_and_the_key_of_the_environment(
    scene, tmp_path, tiny_models, serve, monkeypatch, capfd
):
    answer = {"label": "a house", "box": [20, 20, 80, 90], "positive_points": [[50, 50]], "confidence": 0.8}
    server, key = serve(says(json.dumps({"instances": [answer]}))), "sk-" + "x" * 20
    monkeypatch.setenv(VARIABLE, key)
    out, clicks = tmp_path / "out.gpkg", tmp_path / "clicks.geojson"
    asked = ["segment", scene, "--pipeline", "vlm-sam", "--phrase", "where could a helicopter land?", "--out", out,
             "--models", tiny_models, "--clicks", clicks, "--device", "cpu",
             "--param", f"base_url={server.base_url}", "model=scripted", "self_test=false"]  # fmt: skip
    assert run(*asked) == 2
    assert "--consent-to-send" in capfd.readouterr().err
    assert server.received == []
    assert run(*asked, "--consent-to-send") == 0
    printed = capfd.readouterr()
    assert [received.headers["authorization"] for received in server.received] == [f"Bearer {key}"]
    assert "stay on this machine" in printed.err
    assert str(clicks) in printed.out
    assert {feature["properties"]["kind"] for feature in json.loads(clicks.read_text())["features"]} == {
        "box",
        "inside",
    }
    assert "answer" in pyogrio.read_info(out)["fields"]
    before = clicks.read_bytes()
    again = [*asked[:-4], "--param", f"clicks={clicks}"]
    assert run(*again) == 2
    assert "would replace a file that is read" in capfd.readouterr().err
    assert clicks.read_bytes() == before
    assert run(*again, "--clicks", tmp_path / "drawn.geojson") == 0  # nobody is asked
    assert len(server.received) == 1
