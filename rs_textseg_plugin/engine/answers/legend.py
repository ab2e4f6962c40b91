"""The classes and words that compete for every pixel, in the order of the engine's arrays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.query import ClassSpec, Query
from rs_textseg_plugin.contract.text.vocabulary import read_vocabulary

NOTHING = 0  # value of a label raster where no class was found

# Measured on drawn scenes (docs/decisions/0013-open-lists.md): the more is named, the less the generic word stands for.
_FEW_KINDS, _MANY_KINDS = 8, 14
_LEAST_OFFSET = -4.0  # logits; from there on it is left out


@dataclass(frozen=True)
class Legend:
    """``K`` competing classes: positives, negatives, a class for each word of a vocabulary, then generic words.

    Attributes:
        competing: name of each of the ``K`` classes.
        words: the ``A`` words that are looked for, all classes together.
        word_class: ``(A,)`` int64, index of the class that each word belongs to.
        output: the classes that the result may hold; their 1-based position is the value in a label raster.
        everything_else: label-raster value for pixels of no class; `NOTHING` where that was not asked for.
        positives: number of positives; classes from here on are never output.
        named: number of classes that the query names; a class from there on stands for everything else there is.
        known: number of classes after these that are each a word of a vocabulary.
        stands_alone: whether the query names a single class, and only generic words compete with it.
        offsets: ``(A,)`` float32, added to each word's logit; minus infinity: the word does not count.
    """

    competing: tuple[str, ...]
    words: tuple[str, ...]
    word_class: NDArray[np.int64]
    output: tuple[ClassSpec, ...]
    everything_else: int
    positives: int
    named: int
    known: int
    stands_alone: bool
    offsets: NDArray[np.float32]

    @classmethod
    def of(cls, query: Query, competitor: str, closed_list: bool = False, vocabulary: Sequence[str] = ()) -> Legend:
        """Lay out a query's classes, and against them what competes unless it is in the query.

        A softmax gives everything to the classes that it knows: without an opponent "building, road" would cover a
        forest, and a lone class everything (SegEarth-OV's lists have a background, its single-class tasks are
        two-class).

        Args:
            query: the classes.
            competitor: words for everything else, separated by ``|``.
            closed_list: whether the classes are all that there is, so that nothing else competes with several.
            vocabulary: words for land cover and objects; each competes unless the query means more or less the same.
        """
        negatives = tuple(spec for spec in query.classes if spec.negative)
        groups = [(spec.name, spec.aliases) for spec in (*query.positives, *negatives)]
        named = len(groups)
        typed = {word.casefold() for _, aliases in groups for word in aliases}
        others = () if closed_list else read_vocabulary().without_related(vocabulary, typed)
        stands_alone = named == 1 and not others
        # Each a class of its own, as if typed: their maximum would win where a mask holds a little of each.
        groups += [(word, (word,)) for word in others]
        generic = tuple(word.strip() for word in competitor.split("|") if word.strip())
        offset = 0.0 if closed_list or stands_alone else _generic_offset(vocabulary, groups[:named])
        is_left_out = closed_list or offset <= _LEAST_OFFSET or typed & {word.casefold() for word in generic}
        if stands_alone or not is_left_out:
            groups.append((competitor, generic))
        words = tuple(word for _, aliases in groups for word in aliases)
        word_class = np.array([k for k, (_, aliases) in enumerate(groups) for _ in aliases], np.int64)
        is_generic = word_class == named + len(others)
        return cls(
            competing=tuple(name for name, _ in groups),
            words=words,
            word_class=word_class,
            output=query.output_classes,
            everything_else=len(query.output_classes) if query.everything_else else NOTHING,
            positives=len(query.positives),
            named=named,
            known=len(others),
            stands_alone=stands_alone,
            offsets=np.where(is_generic, np.float32(offset), np.float32(0)),
        )

    def without(self, dropped: Collection[int]) -> Legend:
        """Return the same classes, with words that no longer count: those at these positions."""
        offsets = self.offsets.copy()
        offsets[list(dropped)] = -np.inf
        return replace(self, offsets=offsets)

    @property
    def has_vocabulary(self) -> bool:
        """Whether words of a vocabulary compete."""
        return self.known > 0

    @property
    def of_vocabulary(self) -> NDArray[np.int64]:
        """Positions of the words of a vocabulary, ``(known,)`` int64."""
        return np.flatnonzero((self.word_class >= self.named) & (self.word_class < self.named + self.known))

    @property
    def in_full(self) -> int:
        """Number of words that are put into all sentences; those from there on are of a vocabulary."""
        return int((self.word_class < self.named).sum()) if self.has_vocabulary else len(self.words)

    @property
    def notes(self) -> list[str]:
        """What a result says of words that competed and were not typed."""
        if not self.has_vocabulary:
            return []
        words = ", ".join(self.words[k] for k in self.of_vocabulary if np.isfinite(self.offsets[k]))
        return (
            [f"Competed with the classes without being output: {words}. competitor=none leaves that out."]
            if words
            else []
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
        logits = self._shifted(logits)
        exponent = np.exp(logits - logits.max(axis=0, keepdims=True))
        probabilities = (exponent / exponent.sum(axis=0, keepdims=True))[: len(self.word_class)]
        return np.stack([probabilities[self.word_class == k].max(axis=0) for k in range(self.size)])

    def _shifted(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with each word's offset; planes beyond the words stay."""
        if not self.offsets.any():
            return logits
        shifted = logits.copy()
        shifted[: len(self.offsets)] += self.offsets.reshape(-1, *[1] * (logits.ndim - 1))
        return shifted


def _generic_offset(vocabulary: Sequence[str], typed: Sequence[tuple[str, Sequence[str]]]) -> float:
    """Return what is added to the generic word's logit: 0 where few kinds of things are named, then less and less.

    Args:
        vocabulary: known words; none: the user's own words compete, in full.
        typed: name and words of each class; those that the vocabulary does not hold are kinds too.
    """
    if not vocabulary:
        return 0.0
    related = read_vocabulary().without_related
    kinds = len(vocabulary) + sum(len(related(vocabulary, words)) == len(vocabulary) for _, words in typed)
    share = (kinds - _FEW_KINDS) / (_MANY_KINDS - _FEW_KINDS)
    return _LEAST_OFFSET * min(max(share, 0.0), 1.0)
