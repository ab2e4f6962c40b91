"""CLIP Surgery's heat maps: how much more a patch is like a word than like what all words share.

Source: CLIP Surgery (Li et al. 2023), feature surgery. Written with F for a patch, G for <CLS>, t for words, all of
unit length::

    empty     heat[t] = F . (t - t_empty)                              the form for a single text, with "" as redundant
    classes   heat[t] = w[t] (F . t) - mean over u of w[u] (F . u)     the form for several texts
              w = softmax over t of (2 G . t), divided by its mean

Heat is linear in F . t, so the published element-wise products of 512 channels are never made. A heat of 0 means: as
much like the word as like nothing in particular.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.clip.dense import DenseFeatures

_PRESENCE_SHARPNESS = 2.0  # of the softmax that restrains obvious words (CLIP Surgery's released code)


def heat_of(
    features: DenseFeatures, words: NDArray[np.float32], empty: NDArray[np.float32], redundant: str
) -> NDArray[np.float32]:
    """Return the heat of every patch, ``(n, A, gh, gw)`` float32 for n sliding windows.

    Args:
        features: with patches of unit length.
        words: ``(A, D)`` of unit length.
        empty: ``(D,)`` of unit length, the empty string.
        redundant: ``empty`` or ``classes``, see above.
    """
    patches = features.patches.astype(np.float32)
    if redundant == "empty":
        return np.einsum("nhwd,ad->nahw", patches, words - empty, optimize=True)
    alike = np.einsum("nhwd,ad->nahw", patches, words, optimize=True)
    weighted = _word_weights(features, words)[:, :, None, None] * alike
    return weighted - weighted.mean(axis=1, keepdims=True)


def _word_weights(features: DenseFeatures, words: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much each word is restrained or raised in each window, ``(n, A)``, 1 on average."""
    exponent = np.exp(_PRESENCE_SHARPNESS * (features.globals.astype(np.float32) @ words.T))
    share: NDArray[np.float32] = exponent / exponent.mean(axis=1, keepdims=True)
    return share


def heat_map(features: DenseFeatures, heat: NDArray[np.float32], logit_scale: float) -> ClassMap:
    """Return heat ``(n, A, gh, gw)`` as word logits, with "nothing" (heat 0) as one more plane that competes."""
    nothing = np.zeros_like(heat[:, :1])
    logits = np.concatenate([logit_scale * heat, nothing], axis=1)
    return ClassMap(
        logits.astype(features.patches.dtype),
        features.windows,
        features.frame,
        features.canvas,
        features.tile,
        features.overlap_px,
    )


def heat_grid(class_map: ClassMap, patch_px: int) -> NDArray[np.float32]:
    """Return a tile's word logits ``(A + 1, rows, columns)`` on one grid of patches.

    A tile that CLIP saw in a single window has that window's own grid; else windows are joined and resized.
    """
    height, width = class_map.canvas
    if len(class_map.windows) == 1 and (class_map.frame.height, class_map.frame.width) == (height, width):
        return class_map.window_logits[0].astype(np.float32)
    rows, columns = max(1, round(height / patch_px)), max(1, round(width / patch_px))
    grid = replace(class_map, tile=(rows, columns))
    return grid.logits(Window(0, 0, columns, rows))
