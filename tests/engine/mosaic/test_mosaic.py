from __future__ import annotations

import numpy as np
import pytest
from planted import Truth, answer_for, class_map_of, components_of, labelled, labels_of, legend
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter
from skimage.measure import label

from rs_textseg_plugin.contract.grid import TileGrid, Window
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, Segment


def random_truth(seed: int, height: int = 300, width: int = 420) -> Truth:
    rng = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(rng.random((height, width)), 9) for _ in range(4)])
    classes = fields.argmax(axis=0) - 1
    objects = label(classes + 1, background=0, connectivity=1)
    return Truth(classes, objects)


@pytest.mark.parametrize(("tile_px", "overlap_px"), [(128, 32), (160, 64), (128, 0), (150, 30)])
@pytest.mark.parametrize("instances", [False, True])
def test_tiles_give_the_labels_of_a_single_tile(tmp_path, tile_px, overlap_px, instances):
    truth = random_truth(1)
    whole = labelled(truth, tmp_path / "whole", 512, 0, instances)
    tiled = labelled(truth, tmp_path / "tiled", tile_px, overlap_px, instances)
    np.testing.assert_array_equal(labels_of(tiled), labels_of(whole))
    np.testing.assert_array_equal(labels_of(whole), truth.classes + 1)


@pytest.mark.parametrize("instances", [False, True])
def test_objects_cut_by_seams_come_back_as_one(tmp_path, instances):
    truth = random_truth(2)
    scene = labelled(truth, tmp_path, 128, 32, instances)
    pairs = np.unique(np.stack([components_of(scene).ravel(), truth.objects.ravel()]), axis=1)
    one_to_one = len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    assert one_to_one
    found, true = np.sort(scene.components.pixels[1:]), np.sort(np.bincount(truth.objects.ravel())[1:])
    np.testing.assert_array_equal(found, true)


def test_an_object_larger_than_a_tile_is_one_component(tmp_path):
    classes = np.full((400, 400), -1)
    classes[20:380, 30:390] = 0
    scene = labelled(Truth(classes, (classes == 0).astype(int)), tmp_path, 128, 32, instances=True)
    assert list(scene.components.pixels[1:]) == [360 * 360]
    assert tuple(scene.components.first[1]) == (30, 20)
    assert tuple(scene.components.stop[1]) == (390, 380)


def test_a_run_over_a_part_agrees_with_a_run_over_the_whole_away_from_its_border(tmp_path):
    truth = random_truth(3)
    part = Window(100, 60, 200, 150)
    whole = labels_of(labelled(truth, tmp_path / "whole", 128, 32))
    found = labels_of(labelled(truth, tmp_path / "part", 128, 32, extent=part))
    np.testing.assert_array_equal(found, whole[part.slices])


def test_touching_objects_of_a_class_are_one_region_or_two_instances(tmp_path):
    classes = np.full((100, 200), -1)
    classes[20:80, 20:180] = 0
    objects = np.zeros_like(classes)
    objects[20:80, 20:100], objects[20:80, 100:180] = 1, 2
    regions = labelled(Truth(classes, objects), tmp_path / "r", 64, 16, instances=False)
    instances = labelled(Truth(classes, objects), tmp_path / "i", 64, 16, instances=True)
    assert list(regions.components.pixels[1:]) == [60 * 160]
    assert sorted(instances.components.pixels[1:]) == [60 * 80, 60 * 80]


def disagreeing(truth: Truth, names):
    """Answers whose outlines are 5 px wider in every second tile and 5 px narrower in the others."""

    def answer(tile):
        exact = answer_for(tile, truth, names, with_map=False)
        segments = []
        for segment in exact.segments:
            canvas = np.zeros((tile.window.height, tile.window.width), bool)
            canvas[segment.window.slices] = segment.mask.unpack()
            wider = (tile.col_index + tile.row_index) % 2 == 0
            mask = distance_transform_edt(~canvas) <= 5 if wider else distance_transform_edt(canvas) > 5
            if not mask.any():
                continue
            rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            window = Window(int(cols[0]), int(rows[0]), int(cols[-1] - cols[0]) + 1, int(rows[-1] - rows[0]) + 1)
            segments.append(Segment(window, PackedMask.of(mask[window.slices]), segment.label, segment.scores))
        return Answer(tuple(segments), None)

    return answer


def longest_run_along(labels: np.ndarray, lines: list[int]) -> int:
    """Longest straight border between two labels that lies on one of these columns."""
    longest = 0
    for line in lines:
        differs = labels[:, line - 1] != labels[:, line]
        runs = np.diff(np.flatnonzero(np.concatenate([[True], ~differs, [True]]))) - 1
        longest = max(longest, int(runs.max(initial=0)))
    return longest


def test_no_border_lies_along_a_tile_line_when_tiles_disagree_by_a_few_pixels(tmp_path):
    rows, cols = np.mgrid[:400, :520]
    inside = np.abs((rows - 200) - 0.31 * (cols - 260)) < 60  # a broad slanted road through many tiles
    truth = Truth(np.where(inside, 1, -1), inside.astype(int))
    names = legend()
    scene = labelled(truth, tmp_path, 160, 64, answer=disagreeing(truth, names))
    spans = TileGrid(520, 400, 160, 64).spans(520)
    lines = sorted({edge for span in spans for edge in (span.start, span.stop, span.core_start)} - {0, 520})
    labels = labels_of(scene)
    agreement = ((labels == 2) == inside).mean()
    assert agreement > 0.95
    assert len(scene.components.pixels) == 2  # nothing, and one road
    assert longest_run_along(labels, lines) <= 2


@pytest.mark.parametrize("with_map", [True, False], ids=["a map decides", "there is no map"])
def test_a_mask_that_a_border_cuts_and_no_neighbour_confirms_is_painted_only_where_no_map_decides(tmp_path, with_map):
    names = legend()
    classes = np.full((128, 256), -1)
    classes[40:90, 60:200] = 0
    truth = Truth(classes, (classes == 0).astype(int))

    def only_the_first_tile_sees_it(tile):
        segments = answer_for(tile, truth, names).segments if tile.col_index == 0 else ()
        undecided = class_map_of(np.full((128, tile.window.width), -1), names.size)
        return Answer(segments, undecided if with_map else None)

    scene = labelled(truth, tmp_path, 128, 32, answer=only_the_first_tile_sees_it)
    seen = np.zeros((128, 256), bool)
    seen[40:90, 60:128] = not with_map
    np.testing.assert_array_equal(labels_of(scene) == 1, seen)


def strips(*parts) -> tuple[Segment, ...]:
    """Segments of building from one column to another, over 30 rows or as many as are said."""
    segments = []
    for start, stop, *rows in parts:
        window = Window(start, 40, stop - start, *(rows or [30]))
        mask = PackedMask.of(np.ones((window.height, window.width), bool))
        segments.append(Segment(window, mask, 0, np.array([0.9, 0.05, 0.05], np.float32)))
    return tuple(segments)


@pytest.mark.parametrize(
    ("tiles", "expected"),
    [
        # The second tile has another idea of the same place, and sees it whole: the fragment is dropped.
        ([[(90, 128)], [(10, 90, 70)], []], [(106, 186)]),
        # A small thing lies on what is cut: that is no reason to drop it.
        ([[(60, 128)], [(20, 26)], []], [(60, 116), (116, 122), (122, 128)]),
        # The middle tile's part agrees with the left one's, and no one confirms its other end: both stay, as one.
        ([[(60, 128)], [(0, 128)], []], [(60, 224)]),
        # Two fragments that contradict each other: the larger one stays.
        ([[(50, 128)], [(4, 128, 75)], []], [(100, 224)]),
    ],
)
def test_without_a_map_a_fragment_stays_unless_another_mask_lies_over_it(tmp_path, tiles, expected):
    def answer(tile):
        return Answer(strips(*tiles[tile.col_index]), None)

    nothing = Truth(np.full((128, 320), -1), np.zeros((128, 320), int))
    scene = labelled(nothing, tmp_path, 128, 32, instances=True, answer=answer)
    row = components_of(scene)[50]
    edges = np.flatnonzero(np.diff(row, prepend=0, append=0))
    found = [(start, stop) for start, stop in zip(edges, edges[1:]) if row[start]]
    assert found == expected


def shape(col: int, row: int, width: int, height: int, label: int, score: float) -> Segment:
    mask = PackedMask.of(np.ones((height, width), bool))
    scores = np.full(3, 0.01, np.float32)
    scores[label] = score
    return Segment(Window(col, row, width, height), mask, label, scores)


@pytest.mark.parametrize(
    ("first", "second", "duplicate_iou", "expected"),
    [
        # One thing, drawn flat by one tile and tall by the other: the box is shared by less than the masks ask for.
        ((0, 0.6), (0, 0.9), 0.2, ["second"]),
        ((0, 0.9), (0, 0.6), 0.2, ["first"]),
        ((0, 0.9), (0, 0.6), 0.4, ["first", "second"]),
        ((0, 0.9), (1, 0.6), 0.2, ["first", "second"]),
    ],
    ids=["the better one stays", "whichever tile it is from", "not enough alike", "another class"],
)
def test_what_two_tiles_draw_differently_is_found_once(tmp_path, first, second, duplicate_iou, expected):
    # The strip is 96..128 of the scene and 0..32 of the second tile; neither shape comes near a border.
    shapes = {0: shape(105, 50, 14, 10, *first), 1: shape(10, 48, 10, 22, *second)}

    def answer(tile):
        return Answer((shapes[tile.col_index],) if tile.col_index in shapes else (), None)

    nothing = Truth(np.full((128, 320), -1), np.zeros((128, 320), int))
    scene = labelled(nothing, tmp_path, 128, 32, instances=True, answer=answer, duplicate_iou=duplicate_iou)
    labels = labels_of(scene)
    found = [name for name, at in {"first": (55, 105), "second": (65, 110)}.items() if labels[at]]
    assert found == expected


def test_things_that_cross_are_two_though_their_boxes_are_one(tmp_path):
    # Two roads: each tile sees one of them.
    down, up = np.eye(26, dtype=bool), np.eye(26, dtype=bool)[::-1]
    roads = [binary_dilation(one, iterations=2) for one in (down, up)]

    def answer(tile):
        if tile.col_index > 1:
            return Answer((), None)
        mask, col = roads[tile.col_index], (99, 3)[tile.col_index]
        return Answer((Segment(Window(col, 50, 26, 26), PackedMask.of(mask), 0, np.full(3, 0.9, np.float32)),), None)

    nothing = Truth(np.full((128, 320), -1), np.zeros((128, 320), int))
    scene = labelled(nothing, tmp_path, 128, 32, instances=True, answer=answer, duplicate_iou=0.5)
    labels = labels_of(scene)
    assert labels[51, 100]
    assert labels[51, 122]


def test_a_repetition_in_one_tile_does_not_cost_an_object_that_goes_on_in_others(tmp_path):
    # Two roads side by side through all tiles; in the second tile the first, surer road's mask takes both in.
    def answer(tile):
        upper, lower = (shape(0, row, tile.window.width, 8, 0, score) for row, score in ((40, 0.9), (60, 0.8)))
        both = shape(0, 40, tile.window.width, 28, 0, 0.95)
        return Answer((both, lower) if tile.col_index == 1 else (upper, lower), None)

    nothing = Truth(np.full((128, 512), -1), np.zeros((128, 512), int))
    scene = labelled(nothing, tmp_path, 128, 32, instances=True, answer=answer, duplicate_iou=0.5)
    assert labels_of(scene)[64].all()


@pytest.mark.parametrize(("score", "stays"), [(0.9, True), (0.3, False)])
def test_a_fragment_stays_where_what_lies_over_it_repeats_something_better(tmp_path, score, stays):
    fragment = shape(60, 40, 68, 8, 0, 0.7)  # cut by the first tile's border
    over, same = shape(10, 36, 20, 26, 0, 0.6), shape(98, 48, 21, 14, 0, score)  # one thing for two tiles

    def answer(tile):
        return Answer(((fragment, same), (over,), ())[tile.col_index], None)

    nothing = Truth(np.full((128, 320), -1), np.zeros((128, 320), int))
    scene = labelled(nothing, tmp_path, 128, 32, instances=True, answer=answer, duplicate_iou=0.25)
    assert bool(labels_of(scene)[44, 70]) is stays
    assert bool(labels_of(scene)[38, 110]) is not stays


def test_what_a_border_cuts_is_not_better_than_what_is_whole(tmp_path):
    # The first tile sees 22 of 30 columns and is sure of it; the second sees all of it, and draws it lower.
    cut, whole = shape(106, 40, 22, 30, 0, 0.9), shape(10, 54, 30, 30, 0, 0.6)

    def answer(tile):
        return Answer(((cut,), (whole,), ())[tile.col_index], None)

    nothing = Truth(np.full((128, 320), -1), np.zeros((128, 320), int))
    scene = labelled(nothing, tmp_path, 128, 32, instances=True, answer=answer, duplicate_iou=0.25)
    labels = labels_of(scene)
    assert labels[75, 130] == 1
    assert labels[45, 110] == 0
