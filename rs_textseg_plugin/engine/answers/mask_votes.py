"""Masks as a map of classes: at each pixel the best mask of a class counts, and several voters are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import NO_CLASS, Answer, Segment
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.legend import Legend

Scores = dict[int, NDArray[np.float32]]  # (H, W) of 0..1 by class index
_IMPOSSIBLE = -30.0  # a logit that stands for a probability of 0; half precision holds it
_LEAST = 1e-6  # a mask that nobody dropped is there, however unsure: the map would take less for "nothing"


def best_score_answer(segments: Sequence[Segment], legend: Legend, size: tuple[int, int]) -> Answer:
    """Return masks as a map in which the best score counts where masks of several classes overlap.

    Args:
        segments: masks with their scores.
        legend: the competing classes.
        size: ``(height, width)`` of the tile.
    """
    votes = mean_votes([best_scores(segments, size)], size)
    return Answer((), vote_map(votes, legend, size), tuple(segment.label for segment in segments))


def best_scores(segments: Sequence[Segment], size: tuple[int, int]) -> Scores:
    """Return the score of the best mask of each class at every pixel, for the classes that were found.

    Args:
        segments: masks with their scores.
        size: ``(height, width)`` of the tile.
    """
    best: Scores = {}
    for segment in segments:
        if segment.label != NO_CLASS:
            canvas = best.setdefault(segment.label, np.zeros(size, np.float32))
            part = canvas[segment.window.slices]
            score = np.maximum(segment.scores[segment.label], np.float32(_LEAST))
            np.maximum(part, segment.mask.unpack() * score, out=part)
    return best


def mean_votes(scores: Sequence[Scores], size: tuple[int, int], weights: Sequence[float] = ()) -> Scores:
    """Return each class's mean score over the voters, for the classes that any of them found.

    Args:
        scores: of each voter.
        size: ``(height, width)`` of the tile.
        weights: how much each voter counts; none: all the same.

    Where the means of a pixel add up to more than 1, they are brought to 1.
    """
    means: Scores = {}
    shares = np.array(weights or [1.0] * len(scores), np.float32)
    for best, share in zip(scores, shares / shares.sum()):
        for label, canvas in best.items():
            means[label] = means.get(label, np.float32(0)) + canvas * share
    total = np.maximum(sum(means.values(), np.zeros(size, np.float32)), 1)
    return {label: canvas / total for label, canvas in means.items()}


def vote_map(means: Scores, legend: Legend, size: tuple[int, int]) -> ClassMap:
    """Return probabilities as a map; what they lack to 1 belongs to no class."""
    words = len(legend.words)
    logits = np.full((1, words + 1, *size), _IMPOSSIBLE, np.float16)
    rest = np.ones(size, np.float32)
    for label, probability in means.items():
        first_word = int(np.flatnonzero(legend.word_class == label)[0])
        logits[0, first_word] = _log(probability)
        rest -= probability
    logits[0, words] = _log(rest)
    whole = Window(0, 0, size[1], size[0])
    return ClassMap(logits, (whole,), whole, size, size)


def _log(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.maximum(probability, np.float32(np.exp(_IMPOSSIBLE))))
