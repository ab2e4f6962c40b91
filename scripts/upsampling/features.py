"""What a frozen CLIP says of pictures, as the upsampler will be fed with it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.clip import ClipModel, patch_features

LAST_BLOCK, PENULTIMATE = "last-block", "penultimate"


class Featurizer:
    """A frozen CLIP.

    The publication trains on the tokens that *enter* the last block, normalised and projected (``penultimate``); at
    inference it feeds what the changed last block puts out. The default here is what inference feeds.

    Args:
        clip: loaded.
        kind: `LAST_BLOCK` or `PENULTIMATE`.
        attention: of the last block, as in the recipe; of no account with `PENULTIMATE`.

    Raises:
        ModelError: the image tower is no standard ViT, or it has one block only and `PENULTIMATE` was asked for.
    """

    def __init__(self, clip: ClipModel, kind: str, attention: str) -> None:
        self.patch_px = int(clip.padded_picture(np.zeros((1, 1, 3), np.uint8)).shape[-1])  # refuses what is no ViT
        self.channels, self.device, self.mean, self.std = clip.channels, clip.device, clip.mean, clip.std
        self._visual = clip.model.visual if kind == LAST_BLOCK else _without_last_block(clip)
        self._attention = attention if kind == LAST_BLOCK else "vanilla"

    def normalised(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Return ``(N, 3, H, W)`` float32 on the device for ``(N, H, W, 3)`` uint8."""
        values = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2).float() / 255
        return (values - self.mean.to(self.device)) / self.std.to(self.device)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return ``(N, D, gh, gw)`` float32, not normalised, for normalised ``(N, 3, H, W)``."""
        patches, _ = patch_features(self._visual, images, self._attention, unit_length=False)
        return patches.permute(0, 3, 1, 2)


def _without_last_block(clip: ClipModel) -> Any:
    blocks = clip.model.visual.transformer.resblocks
    if len(blocks) < 2:
        raise ModelError(f"The CLIP {clip.name} has one block, and nothing before its last: choose {LAST_BLOCK}.")
    visual = copy.deepcopy(clip.model.visual)
    del visual.transformer.resblocks[-1]
    return visual
