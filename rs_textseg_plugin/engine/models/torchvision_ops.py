"""torchvision's box suppression in pure numpy, and torchvision beside a torch that its compiled part does not fit.

segment_anything and open_clip import torchvision, so their adapters call `ensure_torchvision` first.
"""

from __future__ import annotations

import importlib
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# What a torchvision built for CUDA says beside a CPU build of torch: its compiled part could not be loaded.
_OPERATORS_MISSING = "operator torchvision::nms does not exist"
# torch forgets the operators of a library when nothing refers to it any more.
_libraries: list[torch.library.Library] = []


def greedy_nms(boxes_xyxy: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return which boxes stay when each removes the worse ones that overlap it by more than `iou_threshold`.

    The result is that of ``torchvision.ops.nms``, computed in float32.

    Args:
        boxes_xyxy: ``(N, 4)``, left, top, right, bottom in any unit; width is right - left.
        scores: ``(N,)``, higher is better; of equals the first is better.
        iou_threshold: 0..1.

    Returns:
        ``(K,)`` int64 indices on the device of `boxes_xyxy`, best score first.
    """
    boxes = boxes_xyxy.detach().float().cpu().numpy()
    waiting = np.argsort(-scores.detach().float().cpu().numpy(), kind="stable")
    kept = []
    while waiting.size:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        # torchvision compares the float32 ratio with the threshold in double precision.
        overlaps = _overlap_ratios(boxes[best], boxes[waiting]).astype(np.float64)
        waiting = waiting[~(overlaps > iou_threshold)]
    return torch.tensor(kept, dtype=torch.int64, device=boxes_xyxy.device)


def _overlap_ratios(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of a box ``(4,)`` with others ``(N, 4)``; NaN for two boxes without area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.maximum(sides, 0).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - common
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: NDArray[np.float32] = common / union
    return ratios


def ensure_torchvision() -> None:
    """Make ``import torchvision`` work; does nothing where it does already.

    A torchvision built for CUDA cannot load its compiled operators beside a CPU build of torch, and then its import
    fails. Here the two operators that the import needs are given in Python. Other compiled operators stay missing.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: its import fails for another reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _OPERATORS_MISSING not in str(error):
            raise
        _define_operators()
        _forget_half_imported()
        importlib.import_module("torchvision")
        # torchvision.ops asks this before it calls an operator; it is False since the compiled part is not there.
        # Modules that choose between a compiled and a Python form have asked during their import.
        extension = importlib.import_module("torchvision.extension")
        vars(extension)["_has_ops"] = lambda: True


def _define_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.impl(name, greedy_nms, "CompositeExplicitAutograd")
    _libraries.append(library)


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
