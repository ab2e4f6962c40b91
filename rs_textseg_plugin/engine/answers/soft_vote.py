"""Masks that each pixel asks for advice: the dense map of a tile, drawn towards what the masks over a pixel say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import PackedMask
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.legend import Legend


@dataclass(frozen=True)
class Vote:
    """What one mask says of the pixels that it covers.

    Attributes:
        window: bounding box of the mask, relative to the tile.
        mask: the object inside that window.
        scores: ``(K,)`` float32, mean probability (0..1) of every class inside the mask.
        quality: how much the mask is to be trusted, 0..1.
    """

    window: Window
    mask: PackedMask
    scores: NDArray[np.float32]
    quality: float


@dataclass(frozen=True)
class SoftVote:
    """A class map that masks have a say in; our counterpart of the majority vote of Sosa et al. 2026.

    At a pixel that the masks ``i`` cover, with qualities ``q``, mean probabilities ``m`` and the weight ``w``::

        P = (dense + w * sum(q[i] * m[i])) / (1 + w * sum(q[i]))

    A doubtful mask changes little, nested masks all count, and nothing is painted: maps of neighbouring tiles fade
    into each other as dense maps do. What only one of two tiles has a mask for fades out across their overlap.

    Attributes:
        dense: the pixels' own probabilities.
        votes: the masks, in any order.
        weight: ``w``, at or above 0.
        keeps_uncovered: whether pixels under no mask keep their dense probabilities; else they have 0 for every class.
    """

    dense: ClassMap
    votes: tuple[Vote, ...]
    weight: float
    keeps_uncovered: bool

    def probabilities(self, legend: Legend, part: Window) -> NDArray[np.float32]:
        """Return ``(K, part.height, part.width)`` class probabilities for a window of the tile."""
        total = self.dense.probabilities(legend, part)
        weights = np.ones(total.shape[1:], np.float32)
        covered = np.full(total.shape[1:], self.keeps_uncovered)
        for vote in self.votes:
            common = vote.window.intersection(part)
            if common.is_empty:
                continue
            rows, columns = common.relative_to(part).slices
            inside = vote.mask.unpack()[common.relative_to(vote.window).slices]
            weight = inside * np.float32(self.weight * vote.quality)
            total[:, rows, columns] += weight * vote.scores[:, None, None]
            weights[rows, columns] += weight
            covered[rows, columns] |= inside
        total /= weights
        total[:, ~covered] = 0
        return total
