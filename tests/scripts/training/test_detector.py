"""The training of the demo detector: what it is shown, what it optimises, and what it leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rs_textseg_plugin.engine.models.detector import load_detector
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from scenes.words import CLASSES
from training.attention import fast_attention_for_training
from training.boxes import boxes_of
from training.crops import Crop, Cutter
from training.detector_training import (
    DetectorTraining,
    _losses_of,
    corners_of,
    count_found,
    overlaps,
    unknown_words,
    write_detector,
)
from training.scene_store import SceneStore
from training.small_tokenizer import make_tokenizer
from training.vocabulary import SYNONYMS, all_sentences

ensure_torchvision()

from open_clip.tokenizer import SimpleTokenizer  # noqa: E402 (after the repair that it needs)
from torchvision.ops import generalized_box_iou  # noqa: E402

CPU = torch.device("cpu")
BUILDING, WATER, CAR = (CLASSES.index(name) + 1 for name in ("building", "water", "car"))


def drawn(*rectangles, side=64) -> Crop:
    """Return a crop with rectangles ``(rows, columns, class, number)``, each over those before it."""
    classes, objects = np.zeros((side, side), np.uint8), np.zeros((side, side), np.int32)
    for rows, columns, value, number in rectangles:
        classes[rows, columns], objects[rows, columns] = value, number
    return Crop(np.zeros((side, side, 3), np.uint8), classes, objects)


def test_a_box_encloses_what_is_visible_of_an_object_and_its_middle_has_to_find_it():
    car = (slice(18, 22), slice(26, 36), CAR, 7)
    truth = boxes_of(drawn((slice(8, 40), slice(16, 48), BUILDING, 3), car), patch_px=8)
    np.testing.assert_allclose(truth.corners * 64, [[16, 8, 48, 40], [26, 18, 36, 22]])
    assert truth.labels.tolist() == [BUILDING - 1, CAR - 1]
    owner = truth.owner.reshape(8, 8)
    assert owner[2, 3] == 1  # the car lies on the building and is smaller
    assert owner[3, 3] == 0
    assert (owner[[0, 5, 7]] == -1).all()
    assert truth.covered.reshape(8, 8, 2)[1:5, 2:6, 0].sum() >= 14


def test_a_thing_in_two_parts_is_one_and_a_ground_in_two_parts_is_two():
    parts = (slice(0, 8), slice(0, 24)), (slice(0, 8), slice(40, 64))
    house = boxes_of(drawn(*((*part, BUILDING, 5) for part in parts)), patch_px=8)
    lake = boxes_of(drawn(*((*part, WATER, 5) for part in parts)), patch_px=8)
    np.testing.assert_allclose(house.corners * 64, [[0, 0, 64, 8]])
    np.testing.assert_allclose(lake.corners * 64, [[0, 0, 24, 8], [40, 0, 64, 8]])


def test_a_speck_and_unlabelled_ground_have_no_box():
    speck = (slice(0, 4), slice(0, 4), CAR, 1)
    truth = boxes_of(drawn(speck, (slice(20, 60), slice(20, 60), 0, 9)), patch_px=8)
    assert truth.corners.shape == (0, 4)
    assert (truth.owner == -1).all()


def test_overlaps_are_those_of_the_definition():
    torch.manual_seed(1)
    one, other = (corners_of(torch.rand(50, 4)) for _ in range(2))
    iou, enclosed = overlaps(one, other)
    torch.testing.assert_close(enclosed, generalized_box_iou(one, other).diagonal(), atol=1e-5, rtol=1e-5)
    assert overlaps(one, one)[0].tolist() == pytest.approx([1] * 50)
    assert (iou >= enclosed - 1e-6).all()


def perfect_answer(truth, sure=6.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and boxes as they should be."""
    owners, logits = torch.from_numpy(truth.owner), torch.full((len(truth.owner), len(CLASSES) + 1), -sure)
    corners = torch.from_numpy(truth.corners)[owners]
    boxes = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1)
    found = owners >= 0
    logits[found, torch.from_numpy(truth.labels)[owners[found]]] = sure
    return logits, boxes


def test_a_right_answer_costs_least():
    truth = boxes_of(drawn((slice(8, 40), slice(16, 48), BUILDING, 3), (slice(50, 60), slice(2, 12), CAR, 4)), 8)
    right = perfect_answer(truth)
    elsewhere, invented = (right[0], right[1] + 0.1), (right[0].clone(), right[1])
    invented[0][:, -1] = 3.0  # a word that names nothing
    answers = (right, elsewhere, invented)
    costs = [sum(part.item() for part in _losses_of(*answer, truth).values()) for answer in answers]
    assert costs[0] < 0.1
    assert costs[0] < costs[1]
    assert costs[0] < costs[2]


def test_boxes_are_counted_once_for_each_object():
    truth = boxes_of(drawn((slice(8, 40), slice(16, 48), BUILDING, 3), (slice(50, 60), slice(2, 12), CAR, 4)), 8)
    logits, boxes = perfect_answer(truth)
    counts = count_found(logits[:, :-1].sigmoid(), corners_of(boxes), truth)
    assert counts[[BUILDING - 1, CAR - 1]].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert counts.sum() == 6
    moved = count_found(logits[:, :-1].sigmoid(), corners_of(boxes) + 0.3, truth)
    assert moved[[BUILDING - 1, CAR - 1]].tolist() == [[0, 1, 1], [0, 1, 1]]


def test_words_are_taken_apart_as_clip_does_and_no_word_is_without_tokens():
    ours, clips = make_tokenizer(all_sentences()), SimpleTokenizer()
    for sentence in all_sentences():
        assert ours.tokenize(sentence) == [clips.decoder[number] for number in clips.encode(sentence)]
    for word in (*unknown_words(np.random.default_rng(0)), "Zürich", "日本"):
        numbers = ours(word)["input_ids"]
        assert numbers[-1] == len(ours) - 1 == max(numbers)
        assert ours.decode(numbers, skip_special_tokens=True).strip() == word.lower()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SceneStore:
    scenes = SceneStore(tmp_path_factory.mktemp("scenes"), 2, first_seed=3_000_000)
    for index in range(2):
        scenes.draw_one(index)
    return scenes


def test_a_training_learns_and_leaves_a_detector_that_answers_as_it_did(store, tmp_path, monkeypatch):
    crop = Cutter(store, np.random.default_rng(2), anchored=0.8).cut(256)
    monkeypatch.setattr(Cutter, "cut", lambda self, size_px: crop)
    with fast_attention_for_training():
        training = DetectorTraining(store, store, tmp_path, minutes=1, device=CPU, trunk=None)
        training._batch = 1
        costs = []
        for _ in range(24):
            parts = training._losses()
            costs.append(sum(part.item() for part in parts.values()))
            training.training.descend(sum(parts.values()))
        assert np.mean(costs[-4:]) < 0.85 * np.mean(costs[:4])
    words = ("building", "car", "zeppelin")
    logits, boxes = training.look([crop], words)
    weights = write_detector(training.model.state_dict(), tmp_path / "detector")
    detector = load_detector(weights, CPU, torch.float32)
    (caption,) = detector.captions(words)
    found = detector.detect(crop.rgb, caption, box_threshold=0.0)
    np.testing.assert_allclose(found.word_scores, logits[0].detach().sigmoid(), atol=0.05)
    np.testing.assert_allclose(found.boxes_px, 256 * corners_of(boxes[0]).detach(), atol=3)
    known = [word for words in SYNONYMS.values() for word in words]
    assert len(detector.captions(known)[0].words) == len(known)
