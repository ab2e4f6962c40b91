"""The command from scenes to report: with planted answers whose scores are known, and once with real models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
import shapely
from PIL import Image
from planted import PlantedPipeline, Truth
from skimage.measure import label

from evaluate import main
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.service import Engine
from truth_scenes import ClassNumbers, all_classes, find_scenes

SIDE = 96
PLACE = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)
PIXEL_M2 = 0.25 * 1.0008  # UTM's scale on the central meridian is 0.9996
NAMES = ("building", "field", "water")
EXACT = ("simplify_m=0", "min_area_m2=0", "fill_holes_m2=0", "tile_px=64", "overlap_px=16")
# What `land` draws: a building of 32 x 32 px on fields, water below, and 8 unlabelled rows above.
BUILDING_PX, WATER_PX, LABELLED_PX = 32 * 32, 24 * SIDE, 88 * SIDE
FIELD_PX = LABELLED_PX - BUILDING_PX - WATER_PX


def land(shift: int = 0, water: bool = True) -> np.ndarray:
    labels = np.full((SIDE, SIDE), 2, np.uint8)
    labels[:8] = 0
    labels[24:56, 16 + shift : 48 + shift] = 1
    labels[72:] = 3 if water else 2
    return labels


def write_scene(folder: Path, labels: np.ndarray, prefix: str = "", object_classes=(1, 2, 3), names=NAMES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "dtype": "uint8", "crs": "EPSG:32633"}
    profile["transform"] = PLACE
    with rasterio.open(folder / f"{prefix}scene.tif", "w", count=3, **profile) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (3, SIDE, SIDE), np.uint8))
    with rasterio.open(folder / f"{prefix}labels.tif", "w", count=1, **profile) as file:
        file.write(labels, 1)
        file.update_tags(**{f"CLASS_{value}": name for value, name in enumerate(names, start=1)})
    traced = rasterio.features.shapes(labels, mask=np.isin(labels, object_classes), transform=PLACE)
    polygons, values = zip(*((shapely.geometry.shape(shape), int(value)) for shape, value in traced))
    write_polygons(folder / f"{prefix}truth.gpkg", polygons, [names[value - 1] for value in values])
    return folder


def write_polygons(path: Path, polygons, names, crs="EPSG:32633", field="class") -> None:
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(polygons, dtype=object)),
        field_data=[np.array(names, dtype=object)],
        fields=np.array([field], dtype=object),
        geometry_type="Polygon",
        crs=crs,
    )


def answering(*answers: np.ndarray) -> Engine:
    """An engine that gives these labels, one scene after the other."""
    truths = iter([Truth(a.astype(np.int64) - 1, label(a, background=0, connectivity=1)) for a in answers])
    return Engine({"sam-clip": lambda inputs: PlantedPipeline(next(truths), inputs.legend)})


@pytest.fixture
def run(tmp_path, tiny_models):
    """Evaluate the scenes below ``tmp_path/scenes`` and return the report."""

    def run(*answers, text=None, options=()) -> dict:
        arguments = [tmp_path / "scenes", "--models", tiny_models, "--out", tmp_path / "report", "--device", "cpu"]
        arguments += ["--param", *EXACT, *options, *(["--text", text] if text else [])]
        assert main([str(argument) for argument in arguments], answering(*answers)) == 0
        return json.loads((tmp_path / "report" / "report.json").read_text())

    return run


def test_a_perfect_answer_scores_one_everywhere(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land())
    report = run(land())
    assert report["text"] == "building, field, water"
    overall = report["overall"]
    assert (overall["mean_iou"], overall["mean_boundary_f"], overall["mean_object_f1"]) == (1, 1, 1)
    for name, pixels in zip(NAMES, (BUILDING_PX, FIELD_PX, WATER_PX)):
        row = overall["classes"][name]
        assert [row[key] for key in ("iou", "precision", "recall", "boundary_f", "object_f1")] == [1] * 5
        assert row["truth_px"] == row["predicted_px"] == pixels
        assert row["objects"] == {"matched": 1, "false": 0, "missed": 0}
    assert overall["false_area_m2"] == 0
    assert overall["calibration_error"] == pytest.approx(0.1)  # the planted objects claim 0.9, and are always right
    assert overall["labelled_px"] == LABELLED_PX


def test_a_shifted_building_scores_what_was_worked_out_by_hand(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land())
    report = run(land(shift=8))
    building, field, water = (report["overall"]["classes"][name] for name in NAMES)
    assert building["iou"] == pytest.approx(24 / 40)
    assert building["precision"] == building["recall"] == pytest.approx(0.75)
    assert building["boundary_f"] == pytest.approx(56 / 124)  # see test_metrics
    assert building["object_f1"] == 1
    assert field["iou"] == pytest.approx((FIELD_PX - 256) / (FIELD_PX + 256))
    assert water["iou"] == 1
    assert report["overall"]["mean_iou"] == pytest.approx((building["iou"] + field["iou"] + 1) / 3)
    surest = report["overall"]["reliability"][9]
    assert surest["share_right"] == pytest.approx(1 - 512 / LABELLED_PX)
    assert surest["area_m2"] == pytest.approx(LABELLED_PX * PIXEL_M2, rel=1e-4)
    assert surest["mean_score"] == pytest.approx(0.9)
    assert report["overall"]["calibration_error"] == pytest.approx(abs(0.9 - (1 - 512 / LABELLED_PX)))


def test_an_object_that_is_half_beside_its_place_is_false_and_missed(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land())
    report = run(land(shift=16))
    assert report["overall"]["classes"]["building"]["objects"] == {"matched": 0, "false": 1, "missed": 1}
    assert report["overall"]["mean_object_f1"] == pytest.approx(2 / 3)


def test_the_tolerance_of_the_outline_is_an_option(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land())
    report = run(land(shift=8), options=["--tolerance-px", "0"])
    assert report["overall"]["classes"]["building"]["boundary_f"] == pytest.approx(48 / 124)
    assert report["boundary_tolerance_px"] == 0


def test_counts_add_up_over_scenes_and_water_where_there_is_none_is_false_area(run, tmp_path, capsys):
    write_scene(tmp_path / "scenes" / "a", land())
    write_scene(tmp_path / "scenes", land(water=False), prefix="b_")
    dreamt = land(water=False)
    dreamt[60:70, 60:70] = 3
    report = run(land(), dreamt)
    assert [scene["name"] for scene in report["scenes"]] == ["a", "b"]
    with_water, without = (scene["classes"]["water"] for scene in report["scenes"])
    assert (with_water["iou"], with_water["false_area_m2"]) == (1, 0)
    assert without["recall"] is None
    assert without["false_area_m2"] == pytest.approx(100 * PIXEL_M2, rel=1e-4)
    overall = report["overall"]["classes"]["water"]
    assert overall["iou"] == pytest.approx(WATER_PX / (WATER_PX + 100))
    assert overall["false_area_m2"] == without["false_area_m2"] == report["overall"]["false_area_m2"]
    assert (overall["truth_px"], overall["predicted_px"]) == (WATER_PX, WATER_PX + 100)
    assert overall["objects"] == {"matched": 1, "false": 1, "missed": 0}
    assert without["object_f1"] == 0
    assert report["scenes"][1]["mean_object_f1"] == 1  # over the classes in the truth
    assert report["scenes"][1]["mean_iou"] == pytest.approx((1 + report["scenes"][1]["classes"]["field"]["iou"]) / 2)
    printed = capsys.readouterr().out
    assert f"{overall['iou']:.3f}" in printed
    assert printed.splitlines()[-1].split()[0] == "all"


def test_what_lies_on_unlabelled_ground_is_no_error(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land())
    answer = land()
    answer[:6, 30:40] = 1
    overall = run(answer)["overall"]
    building = overall["classes"]["building"]
    assert (building["precision"], building["object_f1"], building["boundary_f"]) == (1, 1, 1)
    assert overall["reliability"][9]["area_m2"] == pytest.approx(LABELLED_PX * PIXEL_M2, rel=1e-4)
    assert overall["reliability"][9]["share_right"] == 1


def test_an_object_with_a_foot_on_unlabelled_ground_is_still_false(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land())
    answer = land()
    answer[4:14, 60:70] = 1  # 4 rows unlabelled, 6 rows field
    assert run(answer)["overall"]["classes"]["building"]["objects"]["false"] == 1


def test_a_class_that_the_truth_knows_as_area_only_has_no_object_score(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land(), object_classes=(1,))
    overall = run(land())["overall"]
    assert overall["classes"]["field"]["object_f1"] is None
    assert overall["classes"]["field"]["objects"] == {"matched": 0, "false": 0, "missed": 0}
    assert overall["mean_object_f1"] == 1


def test_what_was_not_asked_for_is_ground_of_no_class(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land())
    answer = np.where(land() == 1, 1, 0).astype(np.uint8)
    answer[72:, :24] = 1  # on 24 x 24 px of water, which nobody asked for
    overall = run(answer, text="building, car, tree")["overall"]
    assert list(overall["classes"]) == ["building", "car", "tree"]
    assert overall["classes"]["building"]["precision"] == pytest.approx(BUILDING_PX / (BUILDING_PX + 24 * 24))
    assert overall["mean_iou"] == overall["classes"]["building"]["iou"]
    assert overall["classes"]["car"]["iou"] is None


def test_classes_are_recognised_by_any_word_and_the_rest_is_everything_else():
    classes = ClassNumbers(parse_class_list("House|building, water, *"))
    assert [classes.of(name) for name in ("building", "HOUSE", "water", "field")] == [1, 1, 2, 3]
    assert ClassNumbers(parse_class_list("water, -field")).of("field") == 0


def test_the_default_text_names_the_classes_of_all_scenes_once(tmp_path):
    write_scene(tmp_path / "a", land())
    write_scene(tmp_path / "b", land(water=False), names=("building", "meadow"))
    assert all_classes(find_scenes(tmp_path)) == "building, field, water, meadow"


def test_the_report_has_a_picture_and_keeps_the_results(run, tmp_path):
    write_scene(tmp_path / "scenes" / "a", land())
    run(land(shift=8))
    with Image.open(tmp_path / "report" / "report.png") as picture:
        assert picture.size == (1500, 500)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
    assert {path.name for path in (tmp_path / "report" / "scenes" / "a").iterdir()} == {
        "result.gpkg",
        "result_labels.tif",
    }


def test_real_models_are_evaluated_too(tmp_path, tiny_models, capsys):
    write_scene(tmp_path / "scenes" / "a", land())
    write_scene(tmp_path / "scenes" / "b", land(shift=8))
    settings = ["--param", "points_per_side=2", "templates=1", "prob_threshold=0", "--device", "cpu"]
    places = [str(tmp_path / "scenes"), "--models", str(tiny_models), "--out", str(tmp_path / "report")]
    assert main([*places, *settings]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["parameters"] == {"points_per_side": "2", "templates": "1", "prob_threshold": "0"}
    overall = report["overall"]
    claimed_px = sum(row["predicted_px"] for row in overall["classes"].values())
    assert 0 < claimed_px <= overall["labelled_px"] == 2 * LABELLED_PX
    assert 0 <= overall["mean_iou"] < 1
    assert "mIoU" in capsys.readouterr().out


def drop_truth(folder):
    (folder / "truth.gpkg").unlink()


def forget_a_name(folder):
    with rasterio.open(folder / "labels.tif", "r+") as file:
        file.write(np.full((SIDE, SIDE), 9, np.uint8), 1)


def move_labels(folder):
    with rasterio.open(folder / "labels.tif", "r+") as file:
        file.transform = PLACE @ rasterio.Affine.translation(1, 0)


def break_polygon(folder):
    bow_tie = shapely.Polygon([(500000, 4999960), (500010, 4999970), (500010, 4999960), (500000, 4999970)])
    write_polygons(folder / "truth.gpkg", [bow_tie], ["building"])


def change_crs(folder):
    write_polygons(folder / "truth.gpkg", [shapely.box(0, 0, 1, 1)], ["building"], crs="EPSG:4326")


def rename_field(folder):
    write_polygons(folder / "truth.gpkg", [shapely.box(0, 0, 1, 1)], ["building"], field="kind")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop_truth, "no truth truth.gpkg beside it"),
        (forget_a_name, "hold the value 9, and no tag CLASS_9 names it"),
        (move_labels, "do not lie on the pixels of the result"),
        (break_polygon, "is not valid (Self-intersection"),
        (change_crs, "(EPSG:4326) are not in the CRS"),
        (rename_field, "have no field 'class'"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused_in_words(tmp_path, tiny_models, capsys, spoil, words):
    spoil(write_scene(tmp_path / "scenes" / "a", land()))
    places = [str(tmp_path / "scenes"), "--models", str(tiny_models), "--out", str(tmp_path / "report")]
    assert main([*places, "--device", "cpu", "--text", "building, field, water"], answering(land())) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "report" / "report.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--param", "tile_px"], "write it as name=value"),
        (["--pipeline", "magic"], "There is no pipeline 'magic'"),
        (["--text=-water"], "only negative classes"),
    ],
)
def test_a_wrong_option_ends_with_2_and_a_sentence(tmp_path, capsys, options, words):
    write_scene(tmp_path / "scenes" / "a", land())
    places = [str(tmp_path / "scenes"), "--models", "nowhere", "--out", str(tmp_path / "report")]
    assert main([*places, *options]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_scenes_and_labels_without_names_are_refused(tmp_path, capsys):
    arguments = [str(tmp_path), "--models", "demo", "--out", str(tmp_path / "report")]
    assert main(arguments) == 2
    assert "There is no scene.tif" in capsys.readouterr().err
    write_scene(tmp_path / "a", land())
    with rasterio.open(tmp_path / "a" / "scene.tif") as file:
        profile = {**file.profile, "count": 1}
    with rasterio.open(tmp_path / "a" / "labels.tif", "w", **profile) as file:
        file.write(land(), 1)
    assert main(arguments) == 2
    assert "name no class" in capsys.readouterr().err
