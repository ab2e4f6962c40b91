"""How good a segmentation is against its truth: counts that add up over scenes, and numbers made from the sums.

Label arrays here are ``(H, W)`` integers: 1..K the classes that were asked for, 0 none of them, `UNLABELLED` (-1, in
the truth only) unknown ground, which counts for nothing. A number that has no meaning is NaN: the recall of a class
that the truth does not hold, for example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

Labels = NDArray[np.signedinteger[Any]]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

UNLABELLED = -1
OBJECT_IOU = 0.5
BINS = 10


def confusion(truth: Labels, predicted: Labels, classes: int) -> Counts:
    """Count labelled pixels: ``(K + 1, K + 1)``, row = class in the truth, column = class in the prediction."""
    labelled = truth >= 0
    size = classes + 1
    pairs = truth[labelled].astype(np.int64) * size + predicted[labelled]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


@dataclass(frozen=True)
class PixelScores:
    """Each ``(K,)`` float64, for the classes 1..K: NaN where the denominator is 0.

    Attributes:
        iou: TP / (TP + FP + FN), the "IoU" rows of mmsegmentation's IoUMetric.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        present: ``(K,)`` bool, whether the truth holds the class.
    """

    iou: Floats
    precision: Floats
    recall: Floats
    present: Mask

    @property
    def mean_iou(self) -> float:
        """The mIoU of the open-vocabulary papers: from sums over all scenes, the mean over the classes in the truth.

        Pixels of no asked class are errors of the classes that claim them, and are no class of the mean themselves.
        mmsegmentation also averages the 0 of a class that is predicted and absent; here its false area tells that.
        """
        return mean_of(self.iou, self.present)


def pixel_scores(counts: Counts) -> PixelScores:
    """Return the scores of a confusion matrix, or of a sum of them."""
    right = np.diagonal(counts)[1:]
    in_truth, in_prediction = counts.sum(axis=1)[1:], counts.sum(axis=0)[1:]
    return PixelScores(
        iou=_ratio(right, in_truth + in_prediction - right),
        precision=_ratio(right, in_prediction),
        recall=_ratio(right, in_truth),
        present=in_truth > 0,
    )


def false_px(counts: Counts) -> Counts:
    """Return, for each class that one scene's truth does not hold, the labelled pixels that were given it: ``(K,)``."""
    absent = counts.sum(axis=1)[1:] == 0
    return np.where(absent, counts.sum(axis=0)[1:], 0)


def boundary_counts(truth: Labels, predicted: Labels, classes: int, tolerance_px: float) -> Counts:
    """Count outline pixels per class: ``(K, 4)``.

    The columns: outline pixels of the prediction that lie within the tolerance of the truth's outline, all of the
    prediction's, those of the truth near the prediction's, all of the truth's. An outline pixel belongs to the class
    and shares an edge with a labelled pixel that does not: neither the frame nor unlabelled ground makes an outline.
    Distances are Euclidean, between pixel centres, and equal to the tolerance counts as near.
    """
    known = np.where(truth >= 0, predicted, UNLABELLED)
    return np.array(
        [
            _outline_counts(_outline(truth, label), _outline(known, label), tolerance_px)
            for label in range(1, classes + 1)
        ],
        np.int64,
    ).reshape(classes, 4)


def _outline(labels: Labels, label: int) -> Mask:
    own = labels == label
    outline: Mask = own & binary_dilation((labels >= 0) & ~own)
    return outline


def _outline_counts(truth: Mask, predicted: Mask, tolerance_px: float) -> tuple[int, int, int, int]:
    near_truth = _count_near(predicted, truth, tolerance_px)
    near_predicted = _count_near(truth, predicted, tolerance_px)
    return near_truth, int(predicted.sum()), near_predicted, int(truth.sum())


def _count_near(pixels: Mask, others: Mask, tolerance_px: float) -> int:
    if not pixels.any() or not others.any():
        return 0
    distance_px: Floats = distance_transform_edt(~others)
    return int((distance_px[pixels] <= tolerance_px).sum())


def boundary_f(counts: Counts) -> Floats:
    """Return the boundary F-score (Csurka et al. 2013) per class from sums of `boundary_counts`: ``(K,)``.

    The harmonic mean of the share of the predicted outline that is near the true one and the share of the true
    outline that is near the predicted one; 0 where only one side has an outline, NaN where neither has.
    """
    precision, recall = _ratio(counts[:, 0], counts[:, 1]), _ratio(counts[:, 2], counts[:, 3])
    harmonic = np.nan_to_num(_ratio(2 * precision * recall, precision + recall))
    return np.where(counts[:, 1] + counts[:, 3] > 0, harmonic, np.nan)


def match_objects(truth: NDArray[Any], predicted: NDArray[Any], minimum_iou: float = OBJECT_IOU) -> Counts:
    """Pair polygons one to one, the pair with the largest IoU first, as long as IoU >= `minimum_iou`.

    Args:
        truth: ``(n,)`` valid shapely polygons of one class.
        predicted: ``(m,)`` valid shapely polygons of the same class, in the same coordinates.
        minimum_iou: 0..1; COCO's convention, a pair at exactly this IoU counts.

    Returns:
        ``(pairs, 2)``: row numbers in `truth` and in `predicted`. Equal IoUs are taken in the order of the rows.
    """
    in_predicted, in_truth = shapely.STRtree(truth).query(predicted, predicate="intersects")
    shared = shapely.area(shapely.intersection(truth[in_truth], predicted[in_predicted]))
    iou = _ratio(shared, shapely.area(truth[in_truth]) + shapely.area(predicted[in_predicted]) - shared)
    pairs: list[tuple[int, int]] = []
    free_truth, free_predicted = np.ones(len(truth), bool), np.ones(len(predicted), bool)
    for k in np.lexsort((in_predicted, in_truth, -iou)):
        i, j = int(in_truth[k]), int(in_predicted[k])
        if iou[k] >= minimum_iou and free_truth[i] and free_predicted[j]:
            free_truth[i] = free_predicted[j] = False
            pairs.append((i, j))
    return np.array(pairs, np.int64).reshape(-1, 2)


def object_f1(counts: Counts) -> Floats:
    """Return F1 = 2 TP / (2 TP + FP + FN) per class from sums of ``(K, 3)`` TP, FP, FN; NaN without any object."""
    matched, false, missed = counts.T
    return _ratio(2 * matched, 2 * matched + false + missed)


def reliability(scores: Floats, right: Mask, area: float = 1.0) -> Floats:
    """Sum up how sure and how right a prediction is, in `BINS` bins of its score: ``(BINS, 3)``.

    Args:
        scores: ``(n,)``, 0..1, one for each pixel that was given a class.
        right: ``(n,)``, whether that class is the true one.
        area: of one pixel.

    Returns:
        Per bin its area, its area times score, and its area that is right. A bin holds its lower edge; the last one
        also holds 1.
    """
    bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    sums = [np.bincount(bins, weights, BINS) for weights in (np.ones(len(bins)), scores, right.astype(np.float64))]
    return np.stack(sums, axis=1) * area


def calibration_error(table: Floats) -> float:
    """Return the expected calibration error (Guo et al. 2017) of a sum of `reliability`, 0..1; NaN without area.

    The mean over the bins, weighted by area, of the difference between the mean score and the share that is right.
    """
    area, sure, right = table.T
    return float(np.abs(sure - right).sum() / area.sum()) if area.sum() > 0 else float("nan")


def mean_of(values: Floats, included: Mask) -> float:
    """Return the mean of the included values that are not NaN; NaN where there is none."""
    kept = values[included & ~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")


@dataclass(frozen=True)
class Tally:
    """All counts of a scene; the sum of tallies is the tally of all their scenes.

    Attributes:
        pixels: ``(K + 1, K + 1)``, see `confusion`.
        false_area_m2: ``(K,)``, area given to a class in scenes whose truth does not hold it.
        outlines: ``(K, 4)``, see `boundary_counts`.
        objects: ``(K, 3)``, objects matched, predicted only, in the truth only.
        scores: ``(BINS, 3)`` in square metres, see `reliability`.
    """

    pixels: Counts
    false_area_m2: Floats
    outlines: Counts
    objects: Counts
    scores: Floats

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.pixels + other.pixels,
            self.false_area_m2 + other.false_area_m2,
            self.outlines + other.outlines,
            self.objects + other.objects,
            self.scores + other.scores,
        )


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Divide; NaN where `whole` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
