"""The metrics against values worked out by hand, and against other implementations on random inputs."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.segmentation import find_boundaries
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, jaccard_score, precision_score, recall_score

from metrics import (
    Tally,
    boundary_counts,
    boundary_f,
    calibration_error,
    confusion,
    false_px,
    match_objects,
    mean_of,
    object_f1,
    pixel_scores,
    reliability,
)

SEEDS = np.random.SeedSequence().generate_state(5).tolist()  # other inputs every time; a failure names its seed


def square(col: int, size: int = 32, side: int = 64, label: int = 1) -> np.ndarray:
    labels = np.zeros((side, side), np.int16)
    labels[16 : 16 + size, col : col + size] = label
    return labels


def blobs(rng: np.random.Generator, classes: int, side: int = 40) -> np.ndarray:
    return rng.integers(0, classes + 1, (side // 8, side // 8)).repeat(8, 0).repeat(8, 1).astype(np.int16)


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([shapely.box(*corner) for corner in corners], dtype=object)


def test_a_square_that_is_shifted_by_a_quarter_has_an_iou_of_three_fifths():
    scores = pixel_scores(confusion(square(8), square(16), 1))
    assert scores.iou.tolist() == [24 / 40]
    assert scores.precision.tolist() == scores.recall.tolist() == [0.75]


def test_precision_looks_at_the_prediction_and_recall_at_the_truth():
    scores = pixel_scores(confusion(square(8), square(8, size=16), 1))
    assert scores.precision.tolist() == [1.0]
    assert scores.recall.tolist() == [0.25]


def test_unlabelled_ground_counts_for_nothing():
    truth = square(8)
    truth[:, 40:] = -1
    counts = confusion(truth, square(16), 1)
    assert counts.sum() == 64 * 40
    assert pixel_scores(counts).iou.tolist() == [24 / 32]


def test_the_mean_is_over_the_classes_in_the_truth_and_the_others_show_false_area():
    predicted = square(8)
    predicted[50:60, :10] = 2
    counts = confusion(square(8), predicted, 3)
    assert pixel_scores(counts).mean_iou == 1.0
    assert false_px(counts).tolist() == [0, 100, 0]
    assert np.isnan(pixel_scores(counts).recall).tolist() == [False, True, True]


def test_claiming_ground_of_no_asked_class_costs_precision():
    truth = np.zeros((10, 10), np.int16)
    truth[:5] = 1
    scores = pixel_scores(confusion(truth, np.ones((10, 10), np.int16), 1))
    assert scores.iou.tolist() == scores.precision.tolist() == [0.5]


@pytest.mark.parametrize("seed", SEEDS)
def test_pixel_scores_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(-1, 5, (30, 20)).astype(np.int16), rng.integers(0, 5, (30, 20)).astype(np.int16)
    known, given = truth[truth >= 0], predicted[truth >= 0]
    counts = confusion(truth, predicted, 4)
    np.testing.assert_array_equal(counts, confusion_matrix(known, given, labels=range(5)))
    scores, options = pixel_scores(counts), {"labels": range(1, 5), "average": None}
    np.testing.assert_allclose(scores.iou, jaccard_score(known, given, **options))
    np.testing.assert_allclose(scores.precision, precision_score(known, given, **options))
    np.testing.assert_allclose(scores.recall, recall_score(known, given, **options))
    assert scores.mean_iou == pytest.approx(jaccard_score(known, given, labels=range(1, 5), average="macro"))


@pytest.mark.parametrize(
    ("tolerance_px", "near"),
    [
        (0, 48),  # the overlap of the upper and lower edges: 24 px each
        (2, 56),  # 2 px more of each edge, and 2 px at both ends of one side
        (7.9, 48 + 2 * 8 - 2 + 2 * 7),  # 7 px more of each edge, 7 px at both ends of one side
        (8, 124),
    ],
)
def test_the_outline_of_a_shifted_square_is_near_where_it_should_be(tolerance_px, near):
    counts = boundary_counts(square(8), square(16), 1, tolerance_px)
    assert counts.tolist() == [[near, 124, near, 124]]
    assert boundary_f(counts).tolist() == [pytest.approx(near / 124)]


def test_the_boundary_score_is_the_harmonic_mean_of_both_directions():
    np.testing.assert_allclose(boundary_f(np.array([[3, 4, 1, 4]])), [2 * 0.75 * 0.25 / (0.75 + 0.25)])


def test_an_outline_on_one_side_only_scores_zero_and_on_neither_side_nothing():
    nothing = np.zeros((64, 64), np.int16)
    corner = nothing.copy()
    corner[:5, :5] = 1
    assert boundary_counts(corner, nothing, 1, 99).tolist() == [[0, 0, 0, 9]]
    assert boundary_counts(nothing, corner, 1, 99).tolist() == [[0, 9, 0, 0]]
    assert boundary_f(boundary_counts(corner, nothing, 1, 99)).tolist() == [0]
    assert np.isnan(boundary_f(boundary_counts(nothing, nothing, 1, 2))).all()


def test_neither_the_frame_nor_unlabelled_ground_makes_an_outline():
    truth = np.ones((20, 20), np.int16)
    truth[:, 10:] = -1
    assert boundary_counts(truth, np.ones((20, 20), np.int16), 1, 2).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("seed", SEEDS)
def test_outlines_agree_with_scikit_image_and_all_distances(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = blobs(rng, 3), blobs(rng, 3)
    tolerance_px = rng.uniform(0, 6)
    counts = boundary_counts(truth, predicted, 3, tolerance_px)
    for label in (1, 2, 3):
        real, found = (
            np.argwhere(find_boundaries(labels == label, mode="inner", connectivity=1)) for labels in (truth, predicted)
        )
        near = cdist(found, real) <= tolerance_px
        assert counts[label - 1].tolist() == [near.any(1).sum(), len(found), near.any(0).sum(), len(real)]


def test_objects_are_paired_once_and_the_best_pair_comes_first():
    truth = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    predicted = boxes((1, 0, 11, 10), (0, 0, 10, 10), (24, 0, 34, 10))
    assert match_objects(truth, predicted, 0.4).tolist() == [[0, 1], [1, 2]]
    assert match_objects(truth, predicted).tolist() == [[0, 1]]
    neighbours, both = boxes((0, 0, 10, 10), (10, 0, 20, 10)), boxes((0, 0, 20, 10))
    assert match_objects(neighbours, both).tolist() == match_objects(both, neighbours).tolist() == [[0, 0]]


def test_a_pair_at_exactly_one_half_counts():
    truth, half = boxes((0, 0, 10, 10)), boxes((0, 0, 10, 5))
    assert match_objects(truth, half).tolist() == [[0, 0]]
    assert match_objects(truth, half, 0.51).tolist() == []


def test_nothing_pairs_with_nothing():
    nothing = np.empty(0, object)
    for truth, predicted in ((nothing, nothing), (boxes((0, 0, 1, 1)), nothing), (nothing, boxes((0, 0, 1, 1)))):
        assert match_objects(truth, predicted).shape == (0, 2)


def test_object_f1_by_hand():
    counts = np.array([[3, 1, 2], [0, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(object_f1(counts), [6 / 9, 0, np.nan])


@pytest.mark.parametrize("seed", SEEDS)
def test_where_objects_do_not_overlap_each_other_pairs_are_the_best_assignment(seed):
    # with an IoU above one half on both sides, at most one partner is possible, so greedy is optimal
    rng = np.random.default_rng(seed)
    corners = [(20 * i, 20 * j) for i in range(5) for j in range(5)]
    truth = boxes(*[(x, y, x + 10, y + 10) for x, y in corners])
    predicted = boxes(*[(x + dx, y + dy, x + dx + 10, y + dy + 10) for (x, y), (dx, dy) in
                        zip(corners, rng.uniform(-5, 5, (25, 2)))])  # fmt: skip
    predicted = predicted[rng.permutation(25)[:20]]
    iou = np.array([[a.intersection(b).area / a.union(b).area for b in predicted] for a in truth])
    rows, cols = linear_sum_assignment(-np.where(iou >= 0.5, iou, 0))
    best = {(i, j) for i, j in zip(rows.tolist(), cols.tolist()) if iou[i, j] >= 0.5}
    assert set(map(tuple, match_objects(truth, predicted).tolist())) == best


def test_calibration_by_hand():
    scores = np.array([0.0, 0.05, 0.95, 1.0])
    table = reliability(scores, np.array([False, True, True, False]), area=0.25)
    np.testing.assert_allclose(table[0], [0.5, 0.0125, 0.25])
    np.testing.assert_allclose(table[9], [0.5, 0.4875, 0.25])
    assert not table[1:9].any()
    # half of the area claims 0.025 and is right by 0.5, the other half claims 0.975 and is right by 0.5
    assert calibration_error(table) == pytest.approx(0.475)
    assert np.isnan(calibration_error(np.zeros((10, 3))))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reliability_table_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores = rng.random(400)
    right = rng.random(400) < scores**2
    table = reliability(scores, right)
    table = table[table[:, 0] > 0]
    shares, means = calibration_curve(right, scores, n_bins=10)
    np.testing.assert_allclose(table[:, 1] / table[:, 0], means)
    np.testing.assert_allclose(table[:, 2] / table[:, 0], shares)


def test_a_mean_leaves_out_what_has_no_value():
    assert mean_of(np.array([0.5, np.nan, 1.0]), np.array([True, True, False])) == 0.5
    assert np.isnan(mean_of(np.array([np.nan]), np.array([True])))


def test_the_sum_of_two_tallies_is_the_tally_of_both_scenes():
    def tally(truth: np.ndarray, predicted: np.ndarray) -> Tally:
        counts = confusion(truth, predicted, 1)
        scores = reliability(np.full(3, 0.7), np.array([True, False, True]))
        objects = np.array([[1, 2, 3]])
        return Tally(counts, false_px(counts) * 2.0, boundary_counts(truth, predicted, 1, 1), objects, scores)

    empty = np.zeros((64, 64), np.int16)
    both = tally(square(8), square(16)) + tally(empty, square(16))
    assert pixel_scores(both.pixels).iou.tolist() == [24 * 32 / (40 * 32 + 32 * 32)]
    assert both.false_area_m2.tolist() == [2 * 32 * 32]
    assert both.outlines[0, 1] == 2 * 124
    assert both.objects.tolist() == [[2, 4, 6]]
    assert both.scores[7].tolist() == pytest.approx([6, 4.2, 4])
