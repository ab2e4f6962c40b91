"""Every preset gives what its publication would have given with the same weights.

The expected maps come from `literal_presets`, which shares nothing with the product but the networks of the published
packages. The product runs as a user runs it: request, plan with the preset, raster, label raster. Its model set says
something else of nearly everything that a preset lists, which must not be heard. Features and scores are kept in half
precision, so that single pixels at an outline may differ; tolerances stand where they are used.
"""

from __future__ import annotations

import json
from pathlib import Path

import literal_presets as literal
import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from planted_sam import plant, planted_sam, wrapped
from rasters import north_up, texture, write_raster
from tiny_detector import write_tiny_detector
from tiny_models import tiny_clip, tiny_sam
from tiny_upsamplers import published_state
from transformers import GroundingDinoForObjectDetection, GroundingDinoProcessor

from rs_textseg_plugin.contract.events import Found
from rs_textseg_plugin.contract.recipe import PIPELINES
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.text.typed_request import TypedRequest
from rs_textseg_plugin.engine.clip.dense import DenseSettings
from rs_textseg_plugin.engine.job.plan import make_plan
from rs_textseg_plugin.engine.pipelines import sam_clip, text2seg
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY
from rs_textseg_plugin.engine.service import Engine

SIZE = (48, 68)
WINDOWS = DenseSettings(448, 224, 112, "self-self", 0.3, fades=False)
CONTRARY = {  # to every preset
    "cls_weight": 1.5, "attention": "vanilla", "clip_long_side_px": 64, "clip_window_px": 32, "clip_stride_px": 32,
    "window_blend": "taper", "clip_resize": "smooth", "clip_positions": "bicubic", "upsampling": "bilinear",
    "logit_scale": 1.0, "templates": "1", "prob_threshold": 0.9, "closed_list": False, "competitor": "thing",
    "points_per_side": 2, "pred_iou_thresh": 0.1, "stability_score_thresh": 0.1, "box_nms_thresh": 0.2,
    "stability_score_offset": 3.0, "vote": "soft", "vote_share": 0.9, "foreground_threshold": 0.9,
    "foreground_share": 0.9, "uncovered": "nothing", "min_area_m2": 50.0, "fill_holes_m2": 50.0, "captions": "joint",
    "box_threshold": 0.9, "text_threshold": 0.9, "box_duplicates": 0.1, "cut_boxes": True, "box_prompt": "middle",
    "multimask": True, "heat_attention": "vanilla", "redundant": "classes", "points": "regions",
    "heat_threshold": 0.3, "heat_down_sample": 1, "combine": "vote", "branches": "points", "least_vote": 0.9,
    "least_presence": 0.9, "crop_background": "mean", "crop_shape": "padded", "crop_softmax": "words",
    "crop_threshold": 0.5, "crop_templates": "7", "points_nms_thresh": 0.2, "look": "tiles", "overlap_px": 16,
}  # fmt: skip


def never() -> bool:
    return False


def rgb_of(size: tuple[int, int]) -> np.ndarray:
    return np.ascontiguousarray(texture(*size).transpose(1, 2, 0))


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(7)


@pytest.fixture(scope="module")
def sam():
    """A SAM whose masks have outlines that rounding does not move, and ratings that reach the released thresholds."""
    sam = tiny_sam(9)
    with torch.no_grad():
        for parameter in sam.mask_decoder.parameters():
            parameter.mul_(2)
        rating = sam.mask_decoder.iou_prediction_head.layers[-1]
        rating.weight.mul_(0.05)
        rating.bias.fill_(0.95)
    return sam


@pytest.fixture(scope="module")
def models(clip, sam, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    torch.save(sam.state_dict(), folder / "sam_tiny.pth")
    torch.save(clip.state_dict(), folder / "clip_tiny.pt")
    write_tiny_detector(folder / "detector", 3)
    files = [{"role": "sam", "name": "sam_tiny.pth"}, {"role": "clip", "name": "clip_tiny.pt"},
             {"role": "detector", "name": "detector/model.safetensors"}]  # fmt: skip
    manifest = {"id": "contrary", "title": "Contrary", "pipelines": list(PIPELINES), "files": files}
    (folder / "models.json").write_text(json.dumps({**manifest, "parameters": CONTRARY}))
    return folder


def request_of(folder: Path, models: Path, preset: str, text: str, size=SIZE, word_list: str = "", **given) -> Request:
    raster = folder / "scene.tif"
    if not raster.exists():
        write_raster(raster, texture(*size), transform=north_up(0.5))
    pipeline = next(info.name for info in PIPELINES.values() if preset in info.presets)
    typed = TypedRequest(text, word_list, "", pipeline, str(models), preset, given, device="cpu")
    return typed.build(Scene(str(raster)), Output(str(folder / "out.gpkg"), label_raster=str(folder / "labels.tif")))


def labels_of(request: Request, loads=None) -> np.ndarray:
    """Run it; return the label raster: 0 nothing, else the position of the class in the list."""
    list(Engine(loads).run(request, never))
    with rasterio.open(request.output.label_raster) as file:
        return file.read(1)


def unlike(found: np.ndarray, expected: np.ndarray) -> float:
    """The share of pixels that differ."""
    return float((found != expected).mean())


@pytest.fixture(scope="module")
def planted():
    """What SAM says of 29 points a side: ellipses of many sizes, with ratings on both sides of 0.88."""
    return plant(29, 64, 0.15, seed=3, objects=40)


@pytest.fixture(scope="module")
def masks(planted) -> list[np.ndarray]:
    """What the released generator makes of that, at its own thresholds."""
    found = literal.generated_masks(planted_sam(planted, 256, SIZE), rgb_of(SIZE), planted.points_per_side)
    return [mask["segmentation"] for mask in found]


def with_planted_sam(planted, size=SIZE):
    sam = planted_sam(planted, 256, size)

    def load(inputs):
        return sam_clip.SamClip(wrapped(sam), inputs.clip(), inputs.settings(sam_clip.Settings), inputs.legend)

    return load


def test_paper_several_classes(clip, models, planted, masks, tmp_path):
    found = labels_of(
        request_of(tmp_path, models, "paper", "building|roof, road, -background"),
        {"sam-clip": with_planted_sam(planted)},
    )
    words, word_class = ["building", "roof", "road", "background"], [0, 0, 1, 2]
    probabilities = literal.segearth_probabilities(clip, None, rgb_of(SIZE), words, word_class, WINDOWS)
    expected = np.array([1, 2, 0])[literal.paper_several(probabilities, masks)]
    assert len(masks) > 10
    assert not np.any(masks, axis=0).all()  # so that pixels under no mask are compared too
    assert sorted(np.unique(expected)) == [0, 1, 2]
    assert unlike(found, expected) < 0.02  # a mask whose two best classes are almost level may go either way


def test_paper_one_class_alone(clip, models, planted, masks, tmp_path):
    found = labels_of(request_of(tmp_path, models, "paper", "building|roof"), {"sam-clip": with_planted_sam(planted)})
    words = ["building", "roof", "background"]
    foreground = literal.segearth_probabilities(clip, None, rgb_of(SIZE), words, [0, 0, 1], WINDOWS)[0]
    expected = literal.paper_one(foreground, masks)
    outside = (foreground >= 0.5) & ~expected
    assert expected.any()
    assert outside.any()  # foreground that no kept mask covers is left out
    assert unlike(found > 0, expected) < 0.02


@pytest.mark.parametrize("is_upsampled", [False, True])
def test_segearth_published(clip, models, is_upsampled, tmp_path):
    """With an upsampler in one small window, since what it does literally takes gigabytes at 224 px."""
    set_folder, state, given, windows = tmp_path / "set", None, {}, WINDOWS
    set_folder.mkdir()
    for path in models.glob("clip_*"):
        (set_folder / path.name).symlink_to(path)
    files = [{"role": "clip", "name": "clip_tiny.pt"}]
    if is_upsampled:
        state = published_state(32)
        torch.save(state, set_folder / "simfeatup.ckpt")
        files.append({"role": "upsampler", "name": "simfeatup.ckpt"})
        given = {"clip_long_side_px": 48, "clip_window_px": 48, "clip_stride_px": 48}
        windows = DenseSettings(48, 48, 48, "self-self", 0.3, fades=False)
    manifest = {"id": "contrary", "title": "Contrary", "pipelines": list(PIPELINES), "files": files}
    (set_folder / "models.json").write_text(json.dumps({**manifest, "parameters": CONTRARY}))
    request = request_of(tmp_path, set_folder, "segearth-published", "", word_list="udd5", **given)
    found = labels_of(request)
    kept = json.loads(pyogrio.read_info(request.output.path)["layer_metadata"][PROVENANCE_KEY])
    assert kept["request"]["recipe"]["list_parameters"] == {"prob_threshold": 0.4}
    assert kept["parameters"]["prob_threshold"] == 0.4
    words = ["vegetation", "building", "road", "vehicle", "background"]
    expected = literal.segearth_probabilities(clip, state, rgb_of(SIZE), words, list(range(5)), windows)
    best = np.where(expected.max(axis=0) < 0.4, 4, expected.argmax(axis=0))  # bg_idx and prob_thd of UDD5
    labels = np.array([1, 2, 3, 4, 0])[best]
    first, second = np.sort(expected, axis=0)[::-1][:2]
    sure = (first - second > 0.03) & (np.abs(first - 0.4) > 0.03)
    assert sure.mean() > 0.3
    assert len(np.unique(labels[sure])) > 2
    np.testing.assert_array_equal(found[sure], labels[sure])
    assert unlike(found, labels) < 0.05


def test_segearth_published_sees_a_picture_of_several_tiles_at_once(clip, models, tmp_path):
    """2100 px are three tiles of the product and one picture of the release, which no tile border shows in."""
    size = (40, 2100)
    found = labels_of(request_of(tmp_path, models, "segearth-published", "building, road, water", size))
    expected = literal.segearth_probabilities(
        clip, None, rgb_of(size), ["building", "road", "water"], [0, 1, 2], WINDOWS
    )
    first, second = np.sort(expected, axis=0)[::-1][:2]
    sure = first - second > 0.03
    assert sure.mean() > 0.5
    np.testing.assert_array_equal(found[sure], expected.argmax(axis=0)[sure] + 1)


def test_segearth_published_takes_the_values_of_a_data_set_from_its_word_list(models, tmp_path, subtests):
    for name, expected in (
        ("loveda", {"prob_threshold": 0.3, "cls_weight": 0.3}),
        ("building-xbd", {"prob_threshold": 0.0, "cls_weight": 0.0}),
        ("road-chn6", {"prob_threshold": 0.8, "cls_weight": 0.3}),
    ):
        with subtests.test(name):
            values = make_plan(request_of(tmp_path, models, "segearth-published", "", word_list=name)).values
            assert {key: values[key] for key in expected} == expected
            own = make_plan(request_of(tmp_path, models, "segearth-published", "", word_list=name, prob_threshold=0.55))
            assert own.values["prob_threshold"] == 0.55


def test_native_is_the_same_method_at_the_raster_s_own_pixels(clip, models, tmp_path):
    """One window and one tile, where nothing is blended: what is left is the published method without resizing."""
    found = labels_of(request_of(tmp_path, models, "native", "building, road, background"))
    windows = DenseSettings(68, 224, 112, "self-self", 0.3, fades=False)
    words = ["building", "road", "background"]
    expected = literal.segearth_probabilities(clip, None, rgb_of(SIZE), words, [0, 1, 2], windows)
    labels = np.where(expected.max(axis=0) < 0.1, 0, expected.argmax(axis=0) + 1)
    first, second = np.sort(expected, axis=0)[::-1][:2]
    np.testing.assert_array_equal(found[first - second > 0.05], labels[first - second > 0.05])


def detector_of(models: Path):
    folder = models / "detector"
    return GroundingDinoForObjectDetection.from_pretrained(folder).eval(), GroundingDinoProcessor.from_pretrained(
        folder
    )


def agrees(found: np.ndarray, by_class: list[np.ndarray]) -> float:
    """The share of pixels whose label is that of one of the classes that are there, or 0 where none is."""
    return float(np.choose(found, [~np.any(by_class, axis=0), *by_class]).mean())


def test_grounding_published(sam, models, tmp_path):
    found = labels_of(request_of(tmp_path, models, "grounding-published", "building|roof, storage tank"))
    by_class, counts = [], []
    for words in (["building", "roof"], ["storage tank"]):
        union, count = literal.grounding_union(*detector_of(models), sam, rgb_of(SIZE), words)
        by_class.append(union)
        counts.append(count)
    assert min(counts) > 3
    assert all(0 < union.mean() < 1 for union in by_class)
    assert agrees(found, by_class) > 0.99


def test_surgery_published(clip, sam, models, tmp_path):
    found = labels_of(request_of(tmp_path, models, "surgery-published", "building|roof, road"))
    by_class = [literal.surgery_mask(clip, sam, rgb_of(SIZE), words) for words in (["building", "roof"], ["road"])]
    assert all(0 < mask.mean() < 1 for mask in by_class)
    assert agrees(found, by_class) > 0.98


def test_text2seg_published_crops(clip, models, planted, tmp_path):
    """The third branch, with a SAM whose masks were planted; so many compete that shares lie around the threshold."""
    coarse = plant(16, 64, 0.1, seed=7, objects=25)
    sam = planted_sam(coarse, 256, SIZE)

    def load(inputs):
        branches = text2seg.make_branches(wrapped(sam), inputs.clip(), None, inputs.values, inputs.legend)
        return text2seg.Text2Seg(wrapped(sam), branches, inputs.settings(text2seg.Settings), inputs.legend)

    masks = [mask["segmentation"] for mask in literal.generated_masks(sam, rgb_of(SIZE), 16)]
    kept = [literal.retrieved_masks(clip, masks, rgb_of(SIZE), words) for words in (["building", "roof"], ["road"])]
    found = labels_of(
        request_of(tmp_path, models, "text2seg-published", "building|roof, road", branches="crops"), {"text2seg": load}
    )
    by_class = [np.any([masks[number] for number in numbers], axis=0) for numbers in kept]
    assert all(0 < len(numbers) < len(masks) for numbers in kept)
    assert agrees(found, by_class) > 0.99


def test_text2seg_published_keeps_the_points_masks_of_all_classes(models, tmp_path):
    request = request_of(tmp_path, models, "text2seg-published", "building, road, water", branches="points")
    found = [event for event in Engine().run(request, never) if isinstance(event, Found)][-1]
    assert found.counts == {"building": 1, "road": 1, "water": 1}  # their boxes all but coincide


def test_text2seg_published(clip, sam, models, tmp_path):
    """All three branches: the union of what each of them keeps for a class; of a coarser grid, to be quick."""
    found = labels_of(request_of(tmp_path, models, "text2seg-published", "building|roof, road", points_per_side=3))
    masks = [mask["segmentation"] for mask in literal.generated_masks(sam, rgb_of(SIZE), 3)]
    assert masks
    by_class = []
    for words in (["building", "roof"], ["road"]):
        kept = [masks[number] for number in literal.retrieved_masks(clip, masks, rgb_of(SIZE), words)]
        boxes, _ = literal.grounding_union(*detector_of(models), sam, rgb_of(SIZE), words)
        points = literal.surgery_mask(clip, sam, rgb_of(SIZE), words)
        by_class.append(np.any([boxes, points, *kept], axis=0))
    assert agrees(found, by_class) > 0.98
