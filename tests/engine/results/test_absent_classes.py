"""Classes that are seen nowhere clearly are left out, whole."""

import numpy as np
import pytest
import torch
from planted import legend, scene_of, three_squares

from rs_textseg_plugin.contract.errors import Cancelled
from rs_textseg_plugin.contract.grid import PixelGrid, Transform
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl, never_stop
from rs_textseg_plugin.engine.results import polygons
from rs_textseg_plugin.engine.results.absent_classes import leave_out_absent
from rs_textseg_plugin.engine.results.polygons import Polygonizer, PolygonSettings

HALF_METRE = Transform(0.5, 0, 500_000, 0, -0.5, 5_000_000)  # a pixel is 0.25 m2


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(polygons, "BLOCK_PX", 64)  # the middle square lies in two of them


def left(labels, probabilities, folder, names=None, min_area_m2=0.0, least_presence=0.5, should_stop=never_stop):
    """Return the labels of the polygons from left to right, and what is said.

    `probabilities`: of each square from left to right, or of every pixel.
    """
    names, grid = names or legend(), PixelGrid(100, 40, HALF_METRE, "")
    by_pixel = np.asarray(probabilities, np.float32)
    if by_pixel.ndim == 1:
        by_pixel = np.repeat(by_pixel, (35, 30, 35))[None].repeat(40, axis=0)
    scene = scene_of(labels, np.full((3, names.size), 0.1), folder, pixel_scores=np.where(labels > 0, by_pixel, 0))
    polygonizer = Polygonizer(scene, names, grid, PolygonSettings(min_area_m2, 0, 0))
    control = RunControl(Budget(torch.device("cpu")), should_stop)
    notes = leave_out_absent(polygonizer, names, least_presence, min_area_m2, control)
    blocks = [polygonizer.block(window) for window in polygonizer.blocks()]
    found = [
        (polygon.bounds[0], int(label))
        for block in blocks
        for polygon, label in zip(block.features.polygons, block.features.labels)
    ]
    in_raster = set(np.unique(np.concatenate([block.labels.ravel() for block in blocks]))) - {0}
    assert in_raster == {label for _, label in found}
    return [label for _, label in sorted(found)], notes


def test_one_clear_polygon_keeps_the_faint_ones_of_its_class_and_a_class_without_one_goes(tmp_path):
    found, notes = left(three_squares((1, 1, 2)), [0.6, 0.3, 0.4375], tmp_path)
    assert found == [1, 1]
    assert notes == [
        "Taken as absent, since no pixel of it has a probability of 0.5 or more (least_presence): "
        "'road' (at most 0.43)."
    ]


def test_a_clear_part_of_a_long_polygon_is_enough(tmp_path):
    probabilities = np.full((40, 100), 0.25)
    probabilities[15:18, 50:54] = 0.75  # 3 m2, its polygon has a mean of 0.25
    assert left(three_squares((1, 2, 3)), probabilities, tmp_path)[0] == [2]
    assert left(three_squares((1, 2, 3)), probabilities, tmp_path, min_area_m2=3)[0] == [2]
    found, (note,) = left(three_squares((1, 2, 3)), probabilities, tmp_path, min_area_m2=3.25)
    assert found == []
    assert "less than 3.25 m2 of it" in note
    assert note.endswith("'building' (at most 0.25), 'road' (at most 0.75), 'water' (at most 0.25).")


def test_clear_parts_of_a_class_add_up_over_blocks(tmp_path):
    probabilities = np.full((40, 100), 0.25)
    probabilities[12:14, 12:14] = probabilities[12:14, 86:88] = 0.75  # 1 m2 each
    assert left(three_squares((1, 2, 1)), probabilities, tmp_path, min_area_m2=2)[0] == [1, 1]
    assert left(three_squares((1, 2, 1)), probabilities, tmp_path, min_area_m2=2.25)[0] == []


@pytest.mark.parametrize("least_presence", [0.0, 0.4])
def test_what_reaches_the_threshold_stays_and_nothing_is_said(tmp_path, least_presence):
    probabilities = [0.5, np.float32(0.4), 0.45]
    assert left(three_squares((1, 2, 3)), probabilities, tmp_path, least_presence=least_presence) == ([1, 2, 3], [])


def test_a_polygon_that_is_too_small_for_the_result_does_not_speak_for_its_class(tmp_path):
    labels = three_squares((1, 1, 2))
    labels[10:30, 14:30] = 0  # the clear one: 4 x 20 pixels, 20 m2
    assert left(labels, [0.9, 0.3, 0.8], tmp_path, min_area_m2=20)[0] == [1, 1, 2]
    assert left(labels, [0.9, 0.3, 0.8], tmp_path, min_area_m2=20.25)[0] == [2]


def test_everything_else_is_never_absent(tmp_path):
    names = Legend.of(parse_class_list("building, road, *"), "background", closed_list=True)
    found, notes = left(three_squares((3, 3, 1)), [0.2, 0.2, 0.4], tmp_path, names)
    assert found == [3, 3]
    assert len(notes) == 1


def test_a_cancel_is_heard(tmp_path):
    with pytest.raises(Cancelled):
        left(three_squares((1, 2, 3)), [0.5, 0.5, 0.5], tmp_path, should_stop=lambda: True)
