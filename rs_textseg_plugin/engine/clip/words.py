"""The words of a legend as CLIP's vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.models.clip import ClipModel

_OF_VOCABULARY = "1"  # sentence: dozens of words in 80 sentences each would take longer than a question may

_NEAR_SHARE = 0.3  # of the median distance between a typed word and those of the vocabulary


def embed_legend(clip: ClipModel, legend: Legend, templates: str) -> NDArray[np.float32]:
    """Return ``(A, D)`` float32 of unit length: typed words in all sentences, those of a vocabulary in one."""
    full = legend.words[: legend.in_full]
    features = clip.embed_words(full, templates)
    rest = legend.words[legend.in_full :]
    return np.concatenate([features, clip.embed_words(rest, _OF_VOCABULARY)]) if rest else features


def without_near_words(clip: ClipModel, legend: Legend, templates: str) -> Legend:
    """Return a legend in which no word of the vocabulary competes that means nearly what was typed.

    How far words lie apart differs between models, so a word is near that is much nearer to a typed one than the
    vocabulary is on the whole.

    Args:
        clip: reads the words.
        legend: the competing classes.
        templates: of the typed words.
    """
    if not legend.has_vocabulary:
        return legend
    vocabulary = legend.of_vocabulary
    features = embed_legend(clip, legend, templates)
    distances = 1 - features[vocabulary] @ features[: legend.in_full].T
    is_near = (distances < _NEAR_SHARE * np.median(distances, axis=0)).any(axis=1)
    return legend.without(vocabulary[is_near])
