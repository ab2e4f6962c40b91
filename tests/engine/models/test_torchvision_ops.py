"""Box suppression as torchvision defines it, and torchvision importable beside any torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import rs_textseg_plugin
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision, greedy_nms


def overlap(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union else 0.0


def plain_nms(boxes: list[list[float]], scores: list[float], threshold: float) -> list[int]:
    """The definition, one pair at a time."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(overlap(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.0, 0.31, 0.7, 1.0])
def test_the_boxes_that_stay_are_those_of_the_definition(seed, threshold):
    rng = np.random.default_rng(seed)
    corners, sides = rng.integers(0, 60, (80, 2)), rng.integers(0, 40, (80, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(float).tolist()
    scores = (rng.integers(0, 10, 80) / 10).tolist()  # many equals
    kept = greedy_nms(torch.tensor(boxes), torch.tensor(scores), threshold)
    assert kept.tolist() == plain_nms(boxes, scores, threshold)
    assert kept.dtype == torch.int64


def test_a_box_that_only_a_removed_box_overlaps_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 3, 10, 13], [0, 6, 10, 16]])
    assert greedy_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]


def test_no_boxes_leave_no_boxes():
    assert greedy_nms(torch.empty(0, 4), torch.empty(0), 0.5).tolist() == []


def test_torchvision_removes_the_same_boxes():
    ensure_torchvision()
    ensure_torchvision()
    from torchvision.ops import batched_nms, nms

    rng = torch.Generator().manual_seed(0)
    corners = torch.rand(200, 2, generator=rng) * 50
    boxes = torch.cat([corners, corners + torch.rand(200, 2, generator=rng) * 30], dim=1)
    scores = torch.rand(200, generator=rng)
    ours = greedy_nms(boxes, scores, 0.4).tolist()
    assert nms(boxes, scores, 0.4).tolist() == ours
    assert batched_nms(boxes, scores, torch.zeros(200), 0.4).tolist() == ours
    assert len(ours) < 200


# What a torchvision built for CUDA does beside a CPU torch: its package stops half way, and its modules stay behind.
_BROKEN = """
import torch
from torchvision import extension
if not hasattr(torch.ops.torchvision, "nms"):
    extension.is_left_behind = True
    raise RuntimeError("operator torchvision::nms does not exist")
"""
_MATCHING = "from torchvision import extension\nOWN = extension._has_ops\n"
_OTHER = "raise RuntimeError('Couldn\\'t find CUDA 99')\n"

_IS_MENDED = (
    "from torchvision import extension; assert extension._has_ops(); assert not vars(extension).get('is_left_behind')"
)
_IS_STILL_MENDED = "ensure_torchvision(); assert torch.ops.torchvision.qnms"
_IS_UNTOUCHED = (
    "import torchvision; assert torchvision.OWN is torchvision.extension._has_ops; "
    "assert not hasattr(torch.ops.torchvision, 'nms')"
)


@pytest.mark.parametrize(
    ("package", "then"),
    [(_BROKEN, _IS_MENDED), (_BROKEN, _IS_STILL_MENDED), (_MATCHING, _IS_UNTOUCHED)],
    ids=["broken build", "called twice", "matching build"],
)
def test_only_a_build_that_does_not_fit_is_mended(tmp_path, package, then):
    result = run_beside(tmp_path, package, f"ensure_torchvision(); {then}")
    assert result.returncode == 0, result.stderr


def test_another_failure_of_torchvision_is_not_hidden_and_nothing_is_mended(tmp_path):
    code = """
try:
    ensure_torchvision()
except RuntimeError as error:
    assert "find CUDA 99" in str(error)
    assert not hasattr(torch.ops.torchvision, "nms")
else:
    raise AssertionError("nothing was raised")
"""
    result = run_beside(tmp_path, _OTHER, code)
    assert result.returncode == 0, result.stderr


def run_beside(folder: Path, torchvision_source: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds this torchvision before any installed one."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(torchvision_source)
    (package / "extension.py").write_text("def _has_ops():\n    return False\n")
    paths = [str(folder), str(Path(rs_textseg_plugin.__path__[0]).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    start = "import torch; from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision\n"
    command = [sys.executable, "-c", start + code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
