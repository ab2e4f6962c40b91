"""Classes that are seen nowhere clearly are left out, whole."""

import numpy as np
import pytest
from planted import legend, scene_of, three_squares

from rs_textseg_plugin.contract.grid import PixelGrid, Transform
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.legend import Legend
from rs_textseg_plugin.engine.polygons import Polygonizer, PolygonSettings
from rs_textseg_plugin.engine.presence import leave_out_absent

HALF_METRE = Transform(0.5, 0, 500_000, 0, -0.5, 5_000_000)


def left(labels, scores, folder, least_presence, names=None, min_area_m2=0.0) -> tuple[list[int], list[str]]:
    """Return the labels of the polygons from left to right, and what is said."""
    names, grid = names or legend(), PixelGrid(100, 40, HALF_METRE, "")
    scene = scene_of(labels, np.array(scores), folder)
    polygonizer = Polygonizer(scene, names, grid, PolygonSettings(min_area_m2, 0, 0))
    notes = leave_out_absent(polygonizer, names, least_presence)
    blocks = [polygonizer.block(window) for window in polygonizer.blocks()]
    found = {
        (polygon.bounds[0], int(label))
        for b in blocks
        for polygon, label in zip(b.features.polygons, b.features.labels)
    }
    in_raster = set(np.unique(np.concatenate([block.labels.ravel() for block in blocks]))) - {0}
    assert in_raster == {label for _, label in found}
    return [label for _, label in sorted(found)], notes


def test_one_clear_polygon_keeps_the_faint_ones_of_its_class_and_a_class_without_one_goes(tmp_path):
    scores = [[0.6, 0.1, 0.1], [0.3, 0.2, 0.1], [0.1, 0.45, 0.1]]
    found, notes = left(three_squares((1, 1, 2)), scores, tmp_path, 0.5)
    assert found == [1, 1]
    assert notes == ["Taken as absent, since no polygon scores 0.5 or more (least_presence): 'road' (best 0.45)."]


def test_all_that_are_absent_are_named_in_one_sentence(tmp_path):
    scores = [[0.3, 0.1, 0.1], [0.1, 0.4, 0.1], [0.1, 0.1, 0.45]]
    found, (note,) = left(three_squares((1, 2, 3)), scores, tmp_path, 0.5)
    assert found == []
    assert note.endswith("'building' (best 0.30), 'road' (best 0.40), 'water' (best 0.45).")


@pytest.mark.parametrize("least_presence", [0.0, 0.4])
def test_what_reaches_the_threshold_stays_and_nothing_is_said(tmp_path, least_presence):
    scores = [[0.5, 0.1, 0.1], [0.1, 0.4, 0.1], [0.1, 0.1, 0.45]]
    assert left(three_squares((1, 2, 3)), scores, tmp_path, least_presence) == ([1, 2, 3], [])


def test_a_polygon_that_is_too_small_for_the_result_does_not_speak_for_its_class(tmp_path):
    labels = three_squares((1, 1, 2))
    labels[10:30, 14:30] = 0  # the clear one: 4 x 20 pixels, 20 m2
    scores = [[0.9, 0.1, 0.1], [0.3, 0.2, 0.1], [0.1, 0.8, 0.1]]
    assert left(labels, scores, tmp_path, 0.5, min_area_m2=20)[0] == [1, 1, 2]
    assert left(labels, scores, tmp_path, 0.5, min_area_m2=21)[0] == [2]


def test_everything_else_is_never_absent(tmp_path):
    names = Legend.of(parse_class_list("building, road, *"), "background", closed_list=True)
    scores = [[0.7, 0.1], [0.8, 0.1], [0.6, 0.3]]
    found, notes = left(three_squares((3, 3, 1)), scores, tmp_path, 0.65, names)
    assert found == [3, 3]
    assert len(notes) == 1
