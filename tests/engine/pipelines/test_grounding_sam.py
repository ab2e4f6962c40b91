from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import torch
from tiny_detector import write_tiny_detector
from tiny_models import tiny_sam
from tiny_owl import write_tiny_owl
from tiny_pipelines import CPU, answered, firm_sam, never, settings_of, small_scene, tile_of, whole

from rs_textseg_plugin.contract.errors import Cancelled, ModelError
from rs_textseg_plugin.contract.events import Finished, Found
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.grounding_dino import Caption, Detections
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from rs_textseg_plugin.engine.pipelines.grounding_sam import GroundingSam, Settings
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY
from rs_textseg_plugin.engine.service import Engine

ensure_torchvision()

from segment_anything import SamPredictor  # noqa: E402

TILE = (96, 128)


class PlantedDetector:
    """Finds boxes that are known: (left, top, right, bottom, {word: score}), with one caption for every two words."""

    def __init__(self, *boxes) -> None:
        self.boxes, self.asked, self.words = boxes, [], ()

    def captions(self, words):
        self.words, numbers = tuple(words), range(len(words))
        return [Caption("|".join(words[i : i + 2]), tuple(numbers[i : i + 2]), ()) for i in range(0, len(words), 2)]

    def detect(self, rgb, caption, box_threshold):
        words = caption.text.split("|")
        self.asked.append(words)
        found = [(box, [box[4].get(word, 0.01) for word in words]) for box in self.boxes]
        found = [(box, scores) for box, scores in found if max(scores) > box_threshold]
        corners = np.array([box[:4] for box, _ in found], np.float64).reshape(-1, 4)
        scores = np.array([scores for _, scores in found], np.float32).reshape(-1, len(words))
        return Detections(corners, scores.max(axis=1, initial=0), scores)

    def to(self, device, dtype) -> None: ...


@pytest.fixture(scope="module")
def sam() -> SamModel:
    return firm_sam()


def pipeline(sam, detector, text="building|roof, road, -shadow", **given) -> GroundingSam:
    settings = settings_of("grounding-sam", Settings, **given)
    return GroundingSam(sam, detector, settings, Legend.of(parse_class_list(text), "background", closed_list=True))


BUILDING = (10, 12, 60, 70, {"roof": 0.8, "building": 0.5, "road": 0.3})
ROAD = (70, 5, 120, 90, {"road": 0.6, "shadow": 0.5})
SHADOW = (30, 30, 50, 90, {"shadow": 0.9, "road": 0.4})


def test_every_box_becomes_the_mask_of_the_reference_predictor_with_the_scores_of_its_words(sam):
    tile = tile_of(*TILE)
    answer = answered(pipeline(sam, PlantedDetector(BUILDING, ROAD, SHADOW)), tile)
    predictor = SamPredictor(sam.sam)
    predictor.set_image(tile.rgb)
    expected = [(SHADOW, 2, [0.01, 0.4, 0.9]), (BUILDING, 0, [0.8, 0.3, 0.01]), (ROAD, 1, [0.01, 0.6, 0.5])]
    assert len(answer.segments) == 3
    for segment, (box, label, scores) in zip(answer.segments, expected):
        masks, _, _ = predictor.predict(box=np.array(box[:4]), multimask_output=False)
        assert (whole(segment, TILE) != masks[0]).mean() < 0.01  # features are kept in half precision
        assert segment.label == label
        # A box below the threshold in one of the two captions has no scores from there.
        assert segment.scores[label] == pytest.approx(scores[label])
    assert answer.class_map is None


def rectangle_iou(mask, box) -> float:
    """IoU of the rectangle around a mask with a box."""
    filled, wanted = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size:
        filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    wanted[box[1] : box[3], box[0] : box[2]] = True
    return (filled & wanted).sum() / (filled | wanted).sum()


def test_the_middle_of_a_box_becomes_the_one_of_its_three_masks_that_fits_the_box_best(sam):
    tile = tile_of(*TILE)
    predictor = SamPredictor(sam.sam)
    predictor.set_image(tile.rgb)
    chosen = []
    for box in ((10, 12, 60, 70), (70, 5, 120, 90), (2, 60, 22, 80), (0, 0, TILE[1], TILE[0])):
        answer = answered(pipeline(sam, PlantedDetector((*box, {"road": 0.9})), box_prompt="middle"), tile)
        middle = np.array([[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]])
        masks, ratings, _ = predictor.predict(point_coords=middle, point_labels=np.array([1]), multimask_output=True)
        fits = [rectangle_iou(mask, box) for mask in masks]
        found = [(whole(segment, TILE) != masks[int(np.argmax(fits))]).mean() < 0.01 for segment in answer.segments]
        assert found == [True]
        chosen.append(int(np.argmax(fits)) == int(np.argmax(ratings)))
    assert not all(chosen)  # the best rated mask is another one somewhere


def test_rough_boxes_that_find_one_object_give_one_mask_and_another_class_keeps_its_own(sam):
    rough = [(10, 12, 60, 70, {"road": 0.6}), (0, 0, 70, 82, {"road": 0.8}), (0, 0, 70, 82, {"building": 0.5})]
    detector = PlantedDetector(*rough)
    found = answered(pipeline(sam, detector, box_prompt="middle"), tile_of(*TILE)).segments
    assert [(one.label, round(float(one.scores.max()), 2)) for one in found] == [(1, 0.8), (0, 0.5)]
    assert len(answered(pipeline(sam, detector, box_prompt="box"), tile_of(*TILE)).segments) == 3
    everything = answered(pipeline(sam, detector, box_prompt="middle", box_duplicates=1.0), tile_of(*TILE)).segments
    assert len(everything) == 3


def test_where_masks_of_several_classes_overlap_the_best_score_counts_for_regions(sam):
    detector = PlantedDetector((10, 12, 60, 70, {"building": 0.5}), (12, 14, 58, 68, {"road": 0.9}))
    masks = answered(pipeline(sam, detector), tile_of(*TILE)).segments
    road, building = (whole(one, TILE) for one in masks)
    method = pipeline(sam, detector, objects="regions")
    answer = answered(method, tile_of(*TILE))
    assert answer.segments == ()
    assert sorted(answer.merged) == [0, 1]
    legend = Legend.of(parse_class_list("building|roof, road, -shadow"), "background", closed_list=True)
    found = answer.class_map.probabilities(legend, Window(0, 0, TILE[1], TILE[0]))
    assert (road & building).any()
    np.testing.assert_array_equal(found.argmax(axis=0)[road], 1)
    np.testing.assert_allclose(found[0][building & ~road], 0.5, atol=2e-3)
    assert found[:, ~(road | building)].max(initial=0) < method.prob_threshold < 0.5


def test_words_that_only_compete_are_not_looked_for(sam):
    detector = PlantedDetector(BUILDING)
    answered(pipeline(sam, detector, "building|roof"), tile_of(*TILE))
    assert detector.words == ("building", "roof")


def test_boxes_of_two_tiles_are_alike_by_the_same_overlap_as_those_of_one(sam):
    assert pipeline(sam, PlantedDetector(), box_duplicates=0.4).duplicate_iou == 0.4


def test_of_two_boxes_of_one_class_that_overlap_the_better_stays_and_another_class_keeps_its_own(sam):
    twin = (11, 13, 61, 71, {"building": 0.7})
    other = (11, 13, 61, 71, {"road": 0.4})
    far = (80, 12, 120, 70, {"building": 0.5})
    detector = PlantedDetector(twin, BUILDING, other, far)
    found = [
        (s.label, round(float(s.scores.max()), 2)) for s in answered(pipeline(sam, detector), tile_of(*TILE)).segments
    ]
    assert found == [(0, 0.8), (0, 0.5), (1, 0.4)]
    everything = answered(pipeline(sam, detector, box_duplicates=1.0), tile_of(*TILE)).segments
    assert len(everything) == 4


@pytest.mark.parametrize(
    ("box", "count"),
    [((20, 20, 21, 21), 1), ((-50, -50, 30, 30), 1), ((100, 50, 500, 400), 1), ((200, 200, 300, 300), 0),
     ((-30, 10, -5, 60), 0), ((40, 40, 40, 60), 0)],
    ids=["one pixel", "over the upper left", "over the lower right", "outside", "left of the tile", "without area"],
)  # fmt: skip
def test_boxes_at_and_beyond_the_border_end_well(sam, box, count):
    answer = answered(pipeline(sam, PlantedDetector((*box, {"road": 0.9}))), tile_of(*TILE))
    assert len(answer.segments) <= count
    for segment in answer.segments:
        assert whole(segment, TILE).any()


def test_a_box_that_no_word_names_is_dropped(sam):
    detector = PlantedDetector((10, 10, 60, 60, {"road": 0.4}))
    assert len(answered(pipeline(sam, detector), tile_of(*TILE)).segments) == 1
    assert answered(pipeline(sam, detector, text_threshold=0.5), tile_of(*TILE)).segments == ()
    assert answered(pipeline(sam, detector, box_threshold=0.5), tile_of(*TILE)).segments == ()


def test_words_that_are_asked_for_one_by_one_have_every_box_of_theirs_whatever_the_text_threshold_says(sam):
    box = (10, 10, 60, 60, {"building": 0.5, "road": 0.4, "roof": 0.9})
    detector = PlantedDetector(box)
    given = {"captions": "words", "box_duplicates": 1.0, "text_threshold": 0.99}
    segments = answered(pipeline(sam, detector, "building|roof, road", **given), tile_of(*TILE)).segments
    assert detector.asked == [["building"], ["roof"], ["road"]]
    assert sorted((segment.label, round(float(segment.scores.max()), 2)) for segment in segments) == [
        (0, 0.5), (0, 0.9), (1, 0.4),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [True, False])
def test_sam_is_given_boxes_as_they_are_or_cut_at_the_border(sam, cut):
    tile, box = tile_of(*TILE), (-40, -30, 50, 45)
    (segment,) = answered(pipeline(sam, PlantedDetector((*box, {"road": 0.9})), cut_boxes=cut), tile).segments
    predictor = SamPredictor(sam.sam)
    predictor.set_image(tile.rgb)
    given = np.array([0, 0, 50, 45] if cut else box)
    masks, _, _ = predictor.predict(box=given, multimask_output=False)
    other, _, _ = predictor.predict(box=np.array(box if cut else [0, 0, 50, 45]), multimask_output=False)
    assert (whole(segment, TILE) != masks[0]).mean() < 0.01  # features are kept in half precision
    assert (whole(segment, TILE) != other[0]).mean() > 0.02


def test_an_image_without_any_detection_gives_nothing(sam):
    answer = answered(pipeline(sam, PlantedDetector()), tile_of(*TILE))
    assert (answer.segments, answer.class_map) == ((), None)


def test_a_mask_over_pixels_without_data_only_is_dropped(sam):
    nothing = np.zeros(TILE, bool)
    assert answered(pipeline(sam, PlantedDetector(BUILDING)), tile_of(*TILE, nothing)).segments == ()


def test_eighty_classes_at_once_are_all_asked_for(sam):
    detector = PlantedDetector((10, 10, 60, 60, {"thing 77": 0.9}))
    text = ", ".join(f"thing {number}" for number in range(80))
    (segment,) = answered(pipeline(sam, detector, text), tile_of(*TILE)).segments
    assert (segment.label, len(segment.scores), len(detector.asked)) == (77, 80, 40)


def test_a_cancel_is_heard_before_every_caption(sam):
    detector = PlantedDetector(BUILDING)
    method = pipeline(sam, detector)
    seen = method.observe(tile_of(*TILE), RunControl(Budget(CPU)))
    with pytest.raises(Cancelled):
        method.answer(seen, RunControl(Budget(CPU), lambda: True))
    assert detector.asked == []


def test_the_published_preset_has_the_published_thresholds():
    values = Recipe("grounding-sam", preset="grounding-published").checked_parameters()
    assert (values["box_threshold"], values["text_threshold"], values["multimask"]) == (0.35, 0.25, False)


@pytest.fixture
def raster(tmp_path):
    return small_scene(tmp_path / "scene.tif")


def request_for(raster, models, text="building, road", **given) -> Request:
    parameters = {"tile_px": 96, "overlap_px": 32, **given}
    recipe = Recipe("grounding-sam", str(models), parameters, device="cpu")
    return Request(Scene(str(raster)), parse_class_list(text), recipe, Output(str(raster.with_name("out.gpkg"))))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A detector's folder in Hugging Face layout, with a SAM in it."""
    folder = tmp_path_factory.mktemp("sets") / "boxes"
    write_tiny_detector(folder)
    torch.save(tiny_sam().state_dict(), folder / "sam_tiny.pth")
    return folder


def test_a_detector_s_folder_with_a_sam_in_it_is_a_model_set(raster, models, monkeypatch):
    looks, embed = [], SamModel.embed
    monkeypatch.setattr(SamModel, "embed", lambda *a: looks.append(1) or embed(*a))
    engine, request = Engine(), request_for(raster, models, box_threshold=0.1, text_threshold=0.0)
    finished = list(engine.run(request, never))[-1]
    assert isinstance(finished, Finished)
    info = pyogrio.read_info(finished.path)
    assert set(info["fields"]) >= {"class", "score", "runner_up", "margin", "area_m2", "pipeline", "query"}
    told = json.loads(info["layer_metadata"][PROVENANCE_KEY])["models"]
    assert told["detector"]["file"] == "boxes/model.safetensors"
    assert len(told["detector"]["sha256"]) == 64
    assert len(looks) == 4
    list(engine.run(replace(request, query=parse_class_list("ship")), never))
    assert len(looks) == 4  # SAM encodes no tile a second time


def test_a_manifest_may_name_the_weights_in_a_folder_of_their_own(raster, tmp_path):
    folder = tmp_path / "set"
    write_tiny_detector(folder / "dino")
    torch.save(tiny_sam().state_dict(), folder / "sam_tiny.pth")
    files = [{"role": "sam", "name": "sam_tiny.pth"}, {"role": "detector", "name": "dino/model.safetensors"}]
    manifest = {"id": "mine", "title": "Mine", "pipelines": ["grounding-sam"], "files": files}
    (folder / "models.json").write_text(json.dumps(manifest))
    finished = list(Engine().run(request_for(raster, folder), never))[-1]
    assert finished.models == ("sam_tiny.pth", "dino/model.safetensors")


@pytest.mark.parametrize("write", [write_tiny_detector, write_tiny_owl])
def test_a_detector_in_a_folder_of_its_own_is_found_without_a_manifest(raster, tmp_path, write):
    folder = tmp_path / "set"
    write(folder / "as-published")
    (folder / "notes").mkdir()
    torch.save(tiny_sam().state_dict(), folder / "sam_tiny.pth")
    *events, finished = Engine().run(request_for(raster, folder, box_threshold=0.0, text_threshold=0.0), never)
    assert sum([event for event in events if isinstance(event, Found)][-1].counts.values()) > 0
    assert finished.models == ("sam_tiny.pth", "as-published/model.safetensors")


def test_a_threshold_that_nothing_reaches_writes_an_empty_result(raster, models):
    finished = list(Engine().run(request_for(raster, models, box_threshold=1.0), never))[-1]
    assert [row.count for row in finished.classes] == [0, 0]
    assert pyogrio.read_info(finished.path)["features"] == 0


def test_a_set_without_a_detector_is_refused_in_words(raster, tiny_models):
    with pytest.raises(ModelError, match="holds no DETECTOR checkpoint"):
        list(Engine().run(request_for(raster, tiny_models), never))
