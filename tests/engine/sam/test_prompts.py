from __future__ import annotations

import numpy as np
import pytest
import torch
from controls import control
from tiny_models import tiny_sam

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from rs_textseg_plugin.engine.sam.prompts import Drawing, PointSet, draw_boxes, draw_point_sets

ensure_torchvision()

from segment_anything import SamPredictor  # noqa: E402

CPU = torch.device("cpu")
SIZE = (150, 201)  # height and width of a tile that is no square


@pytest.fixture(scope="module")
def sam():
    sam = tiny_sam(4)
    with torch.no_grad():
        for parameter in sam.mask_decoder.parameters():
            parameter.mul_(2)  # as large as trained weights, so that prompts matter
    return sam


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(sam):
    return SamModel(sam, CPU, torch.float32)


@pytest.fixture(scope="module")
def embedding(model, rgb):
    return model.embed(rgb)


@pytest.fixture(scope="module")
def predictor(sam, rgb):
    predictor = SamPredictor(sam)
    predictor.set_image(rgb)
    return predictor


def drawing(multimask=False, batch=64, stop=False) -> Drawing:
    return Drawing(multimask, batch, control(lambda: stop))


def whole(proposal) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    if proposal is not None:
        mask[proposal.window.slices] = proposal.mask.unpack()
    return mask


def assert_same(proposal, masks, ratings):
    best = int(ratings.argmax())
    assert (whole(proposal) != masks[best]).mean() < 1e-4  # a pixel on the outline may round the other way
    assert masks[best].any() == (proposal is not None)
    if proposal is not None:
        assert proposal.predicted_iou == pytest.approx(float(ratings[best]), abs=1e-5)


BOXES = np.array([[10.0, 12, 120, 90], [0, 0, 201, 150], [50, 60, 51, 61], [-30, -20, 40, 30], [180, 10, 400, 300]])


@pytest.mark.parametrize("multimask", [False, True])
def test_masks_of_boxes_are_those_of_the_reference_predictor(model, embedding, predictor, multimask):
    drawn = draw_boxes(BOXES, model, embedding, drawing(multimask, batch=2))
    assert len({whole(one).tobytes() for one in drawn}) > 1
    for box, one in zip(BOXES, drawn):
        masks, ratings, _ = predictor.predict(box=box, multimask_output=multimask)
        assert_same(one, masks, ratings)


@pytest.mark.parametrize("multimask", [False, True])
def test_masks_of_point_sets_of_any_length_are_those_of_the_reference_predictor(model, embedding, predictor, multimask):
    random = np.random.default_rng(1)
    sets = [
        PointSet(random.uniform(0, 1, (count, 2)) * SIZE[::-1], np.arange(count) < inside)
        for count, inside in [(1, 1), (4, 2), (3, 3), (4, 1), (2, 1), (48, 24)]
    ]
    drawn = draw_point_sets(sets, model, embedding, drawing(multimask))
    assert len(drawn) == len(sets)
    for one, proposal in zip(sets, drawn):
        masks, ratings, _ = predictor.predict(one.points_px, one.is_inside.astype(int), multimask_output=multimask)
        assert_same(proposal, masks, ratings)


def test_a_negative_point_changes_the_mask(model, embedding):
    points = np.array([[40.0, 50.0], [150.0, 100.0]])
    sets = [PointSet(points, np.array([True, True])), PointSet(points, np.array([True, False]))]
    both, one = draw_point_sets(sets, model, embedding, drawing())
    assert both.predicted_iou != one.predicted_iou


def test_no_prompts_give_no_masks(model, embedding):
    assert draw_boxes(np.empty((0, 4)), model, embedding, drawing()) == []
    assert draw_point_sets([], model, embedding, drawing()) == []


def test_a_cancel_is_heard_before_each_batch(model, embedding):
    with pytest.raises(Cancelled):
        draw_boxes(BOXES, model, embedding, drawing(stop=True))
    with pytest.raises(Cancelled):
        draw_point_sets([PointSet(np.ones((1, 2)), np.ones(1, bool))], model, embedding, drawing(stop=True))
