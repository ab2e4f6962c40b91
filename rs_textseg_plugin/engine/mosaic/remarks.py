"""What pipelines say of objects and pixels beside their class, on its way to the polygons."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.engine.answers.answer import Answer


class RemarkTable:
    """Numbers the texts of a scene; number 0 is the empty text. Of most scenes nothing else is ever said."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said at all, so that no pixel needs a number."""
        return len(self._numbers) == 1

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts by number."""
        return tuple(self._numbers)

    def take(self, answer: Answer) -> None:
        """Number what an answer says."""
        self.numbers_of(segment.remark for segment in answer.segments)
        if answer.remarks is not None:
            self.numbers_of(answer.remarks.texts)

    def numbers_of(self, texts: Iterable[str]) -> NDArray[np.int32]:
        """Return the number of each text, ``(n,)`` int32; new texts get new numbers."""
        return np.array([self._numbers.setdefault(text, len(self._numbers)) for text in texts], np.int32)


class RemarkCounts:
    """Counts how many pixels of each component each remark covers."""

    def __init__(self) -> None:
        self._counts: list[NDArray[np.int64]] = [np.empty((0, 3), np.int64)]

    def add(self, numbers: NDArray[np.int64], remarks: NDArray[np.int32]) -> None:
        """Count a core's pixels; both ``(h, w)``, 0 for no component and for no remark."""
        has_remark = (numbers > 0) & (remarks > 0)
        if not has_remark.any():
            return
        own, texts = numbers[has_remark], remarks[has_remark]
        first = int(own.min())
        present = np.flatnonzero(np.bincount(texts))
        position = np.zeros(int(present[-1]) + 1, np.int64)
        position[present] = np.arange(len(present))
        counts = np.bincount((own - first) * len(present) + position[texts])
        pairs = np.flatnonzero(counts)
        component, text = np.divmod(pairs, len(present))
        self._counts.append(np.stack([component + first, present[text], counts[pairs]], axis=1))

    def resolve(self, final: NDArray[np.int64], total: int, texts: tuple[str, ...]) -> NDArray[np.object_]:
        """Return the remark that covers most pixels of each component, ``(total,)`` str; empty without one.

        Args:
            final: ``(n,)`` the component that each provisional number became.
            total: number of components.
            texts: by number. Of equals the first counts.
        """
        component, text, count = np.concatenate(self._counts).T
        pairs, which = np.unique(np.stack([final[component], text], axis=1), axis=0, return_inverse=True)
        sums = np.bincount(which.ravel(), weights=count, minlength=len(pairs))
        rising = np.lexsort((-pairs[:, 1], sums))  # what comes last is what stays
        best = np.zeros(total, np.int64)
        best[pairs[rising, 0]] = pairs[rising, 1]
        return np.array(texts, dtype=object)[best]
