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
import torch
from openai_server import says

from rs_textseg_plugin.contract.server.api_key import VARIABLE
from rs_textseg_plugin.engine.__main__ import main
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY

FAST = ["--param", "points_per_side=4", "templates=1", "--device", "cpu"]


def write(path: Path, bands: int = 3, size: int = 200) -> Path:
    profile = {"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (bands, size, size), np.uint8))
    return path


@pytest.fixture
def scene(tmp_path) -> Path:
    return write(tmp_path / "scene.tif")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


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


def test_crops_are_selected_too(scene, tmp_path, tiny_models):
    loose = ["selector=crop", "pred_iou_thresh=0", "stability_score_thresh=0", "prob_threshold=0"]
    status = run("segment", scene, "--text", "road, water", "--models", tiny_models, "--out", tmp_path / "o.gpkg",
                 "--param", *loose, *FAST)  # fmt: skip
    assert status == 0
    assert pyogrio.read_info(tmp_path / "o.gpkg")["features"] >= 1


@pytest.mark.parametrize("objects", ["regions", "instances"])
def test_masks_vote_softly_and_regions_are_asked_for(scene, tmp_path, tiny_models, objects, capfd):
    ours = ["vote=soft", "region_prompts=true", f"objects={objects}", "region_max_points=5"]
    loose = ["pred_iou_thresh=0", "stability_score_thresh=0", "prob_threshold=0", "closed_list=true"]
    status = run("segment", scene, "--text", "road, water", "--models", tiny_models, "--out", tmp_path / "o.gpkg",
                 "--json", *FAST, "--param", "points_per_side=2", *ours, *loose)  # fmt: skip
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
    assert (used["templates"], used["cls_weight"]) == ("1", 0.2)
    assert stored["request"]["recipe"]["parameters"]["window_blend"] == "mean"


def test_the_help_lists_presets_with_their_values(capfd):
    with pytest.raises(SystemExit):
        run("segment", "--help")
    printed = capfd.readouterr().out
    assert "paper (sam-clip, as Sosa et al. 2026 describe it): selector=vote vote=majority" in printed
    assert "native (segearth-ov, the whole raster at its working resolution): clip_window_px=224" in printed
    assert "prob_threshold=auto" in printed
    assert "--preset NAME" in printed


BAD_INPUT = [
    ({"raster": "none.tif"}, "none.tif"),
    ({"raster": "note.txt"}, "note.txt"),
    ({"raster": "grey.tif"}, "--bands 1"),
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
    ({"--param": "tile_px"}, "name=value"),
    ({"--preset": "papers"}, "choose one of paper"),
    ({"--bands": "1,2"}, "1,2"),
    ({"--bands": "4,3,2"}, "4"),
    ({"--stretch": "log"}, "log"),
    ({"--device": "cuda:77"}, "cuda:77"),
    ({"--resolution": "-1"}, "-1"),
]


@pytest.fixture
def bad_things(tmp_path, tiny_models, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "scene.tif")
    write(tmp_path / "grey.tif", bands=1)
    (tmp_path / "note.txt").write_text("no raster")
    for name in ("empty", "truncated", "foreign"):
        (tmp_path / name).mkdir()
    for file in tiny_models.iterdir():
        (tmp_path / "truncated" / file.name).write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    torch.save({"layer1.0.conv1.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(3)}, tmp_path / "foreign/resnet.pth")
    return tmp_path


@pytest.mark.parametrize(("change", "words"), BAD_INPUT, ids=lambda value: str(value))
def test_bad_input_ends_with_status_2_and_one_sentence(bad_things, tiny_models, capfd, change, words):
    options = {
        "raster": "scene.tif",
        "--text": "road, water",
        "--models": str(tiny_models),
        "--out": "o.gpkg",
        **change,
    }
    arguments = [options.pop("raster")]
    for name, value in options.items():
        arguments.append(f"{name}={value}")
    before = sorted(path.name for path in bad_things.iterdir())
    assert run("segment", *arguments) == 2
    printed = capfd.readouterr()
    message = printed.err.strip().splitlines()[-1]
    assert words in message
    assert message.endswith(".")
    assert len(message) < 400
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert sorted(path.name for path in bad_things.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--text", "-shadow,-cloud"), "only negative"),
        (("--text", "road", "--extent", "-9,-9,-8,-8"), "outside the raster"),
        (("--text", "-shadow,road", "--extent", "-9,-9,-8,-8"), "outside the raster"),
    ],
)
def test_a_value_may_begin_with_a_dash(bad_things, tiny_models, capfd, arguments, words):
    assert run("segment", "scene.tif", *arguments, "--models", tiny_models, "--out", "o.gpkg") == 2
    assert words in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("--text", "--json"), ("--text", "road"), ("--text", "road", "--resolution", "x")]
)
def test_a_command_that_is_not_understood_is_told_in_one_sentence(capfd, arguments):
    with pytest.raises(SystemExit) as ended:
        run("segment", "scene.tif", *arguments)
    assert ended.value.code == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_an_earlier_result_is_still_there_after_bad_input(bad_things, tiny_models):
    Path("o.gpkg").write_bytes(b"")
    keep = Path("keep.shp")
    keep.write_bytes(b"earlier")
    assert run("segment", "grey.tif", "--text", "road, water", "--models", tiny_models, "--out", keep) == 2
    assert keep.read_bytes() == b"earlier"


def start(*arguments: object) -> subprocess.Popen[str]:
    package = Path(sys.modules["rs_textseg_plugin"].__file__).parents[1]
    command = [sys.executable, "-m", "rs_textseg_plugin.engine", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(package), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_ctrl_c_cancels_with_status_130_and_writes_nothing(tmp_path, tiny_models):
    scene = write(tmp_path / "large.tif", size=900)
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


def test_another_plugin_beside_ours_cannot_shadow_a_package_of_the_engine(tmp_path):
    from stage import stage

    stage(tmp_path)
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('the neighbour was imported')")
    command = [sys.executable, "-E", "-s", "-m", "rs_textseg_plugin.engine", "models", "list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_model_sets_are_imported_verified_and_listed(tmp_path, tiny_models, monkeypatch, capfd):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    files = sorted(tiny_models.iterdir())
    assert run("models", "import", "", *files) == 2
    assert run("models", "import", "mine", *files) == 0
    assert run("models", "verify", "mine") == 0
    assert run("models", "list") == 0
    printed = capfd.readouterr().out
    assert "SHA-256" in printed
    assert "mine" in printed
    assert "sam-b-clip-b16" in printed
    assert run("models", "import", "mine", *files) == 2
    assert run("models", "verify", "nothing") == 2
    assert run("models", "fetch", "nothing") == 2


def test_a_word_list_is_asked_for_by_its_name_and_ones_own_are_saved_shown_and_listed(
    scene, tmp_path, tiny_models, monkeypatch, capfd
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert run("word-lists", "save", "port", "--text", "-sea, ship|boat, pier", "--about", "for the port") == 0
    assert run("word-lists", "list") == 0
    assert run("word-lists", "show", "port") == 0
    printed = capfd.readouterr().out
    assert "port                     yours      for the port" in printed
    assert "vaihingen-false-colour   published" in printed
    assert printed.endswith("-sea, ship|boat, pier\n")
    options = ["--models", tiny_models, "--pipeline", "segearth-ov", "--out", tmp_path / "o.gpkg", "--device", "cpu"]
    assert run("segment", scene, "--word-list", "port", *options, "--param", "templates=1", "prob_threshold=0") == 0
    _, _, _, columns = pyogrio.raw.read(tmp_path / "o.gpkg")
    assert set(columns[0]) <= {"ship", "pier"}
    assert set(columns[6]) == {"segearth-ov"}
    assert set(columns[7]) == {"-sea, ship|boat, pier"}
    assert run("word-lists", "save", "port", "--text", "road") == 2
    assert run("segment", scene, "--word-list", "prt", "--models", tiny_models, "--out", tmp_path / "o.gpkg") == 2
    assert "no word list 'prt'" in capfd.readouterr().err


def test_a_question_goes_to_a_server_with_consent_and_the_key_of_the_environment(
    scene, tmp_path, tiny_models, serve, monkeypatch, capfd
):
    answer = {"label": "a house", "box": [20, 20, 80, 90], "positive_points": [[50, 50]], "confidence": 0.8}
    server, key = serve(says(json.dumps({"instances": [answer]}))), "sk-" + "x" * 20
    monkeypatch.setenv(VARIABLE, key)
    out, clicks = tmp_path / "out.gpkg", tmp_path / "clicks.geojson"
    asked = ["segment", scene, "--pipeline", "vlm-sam", "--phrase", "where could a helicopter land?", "--out", out,
             "--models", tiny_models, "--clicks", clicks, "--device", "cpu",
             "--param", f"base_url={server.base_url}", "model=scripted"]  # fmt: skip
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
    assert run(*asked[:-3], "--param", f"clicks={clicks}") == 0  # nobody is asked
    assert len(server.received) == 1
