"""The classes and words that compete for every pixel, in the order of the engine's arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.query import ClassSpec, Query

NOTHING = 0  # value of a label raster where no class was found


@dataclass(frozen=True)
class Legend:
    """``K`` competing classes: the query's positives, then its negatives, then generic words that only compete.

    Attributes:
        competing: name of each of the ``K`` classes.
        words: the ``A`` words that are looked for, all classes together.
        word_class: ``(A,)`` int64, index of the class that each word belongs to.
        output: the classes that the result may hold; their 1-based position is the value in a label raster.
        everything_else: label-raster value for pixels of no class; `NOTHING` where that was not asked for.
        positives: number of positives; classes from here on are never output.
        named: number of classes that the query names; a class from there on stands for everything else there is.
        stands_alone: whether the query names a single class, so that only generic words compete with it.
    """

    competing: tuple[str, ...]
    words: tuple[str, ...]
    word_class: NDArray[np.int64]
    output: tuple[ClassSpec, ...]
    everything_else: int
    positives: int
    named: int
    stands_alone: bool

    @classmethod
    def of(cls, query: Query, competitor: str, closed_list: bool = False) -> Legend:
        """Lay out a query's classes, and `competitor`'s words against them unless one of those is in the query.

        A softmax gives everything to the classes that it knows: without an opponent "building, road" would cover a
        forest, and a lone class everything (SegEarth-OV's lists have a background, its single-class tasks are
        two-class).

        Args:
            query: the classes.
            competitor: words, separated by ``|``.
            closed_list: whether the classes are all that there is, so that nothing else competes with several.
        """
        negatives = tuple(spec for spec in query.classes if spec.negative)
        groups = [(spec.name, spec.aliases) for spec in (*query.positives, *negatives)]
        named, stands_alone = len(groups), len(groups) == 1
        generic = tuple(word.strip() for word in competitor.split("|") if word.strip())
        typed = {word.casefold() for _, aliases in groups for word in aliases}
        if stands_alone or not (closed_list or typed & {word.casefold() for word in generic}):
            groups.append((competitor, generic))
        words = tuple(word for _, aliases in groups for word in aliases)
        word_class = np.array([k for k, (_, aliases) in enumerate(groups) for _ in aliases], np.int64)
        return cls(
            competing=tuple(name for name, _ in groups),
            words=words,
            word_class=word_class,
            output=query.output_classes,
            everything_else=len(query.output_classes) if query.everything_else else NOTHING,
            positives=len(query.positives),
            named=named,
            stands_alone=stands_alone,
        )

    @property
    def size(self) -> int:
        """``K``, the number of competing classes."""
        return len(self.competing)

    def label_of(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the label-raster values, uint8, of class indices of any shape, such as ``(H, W)``; -1 is no class.

        Negatives and competitors become nothing.
        """
        is_output = (index >= 0) & (index < self.positives)
        return np.where(is_output, index + 1, self.everything_else).astype(np.uint8)

    def class_probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn word logits ``(A, ...)`` into class probabilities ``(K, ...)``.

        Softmax over all words, then the maximum over the words of a class, as SegEarth-OV does: the result sums
        to at most 1, and adding a word lowers every other. Logits beyond the ``A`` words compete and belong to no
        class.
        """
        exponent = np.exp(logits - logits.max(axis=0, keepdims=True))
        probabilities = (exponent / exponent.sum(axis=0, keepdims=True))[: len(self.word_class)]
        return np.stack([probabilities[self.word_class == k].max(axis=0) for k in range(self.size)])
