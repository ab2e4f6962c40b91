"""Dense maps as made here against the order of SegEarth-OV's released code, with random numbers of real sizes.

Two parts, each with a check that both give the same: joining windows of 224 px every 112 px (the released code pads
the full-resolution float32 logits of each window, one plane a word, to the whole canvas, and adds that), and one window
through SimFeatUp (the released code upsamples 512 channels before it compares them with words; its weights are made
with an unfold, and here they are applied tap by tap in place of its compiled extension, since the unfold of 512
channels would take 12 GB). The words are as many as in the published list for OpenEarthMap. What networks cost is no
part of the joining; the second question is the same window with the text-independent lengths at hand.

    python scripts/bench/dense.py [--sides 1024 2048] [--words 14] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.contract.grid import Window  # noqa: E402
from rs_textseg_plugin.contract.query import parse_class_list  # noqa: E402
from rs_textseg_plugin.contract.text.word_list import find_word_list  # noqa: E402
from rs_textseg_plugin.engine.clip.dense import sliding_windows  # noqa: E402
from rs_textseg_plugin.engine.clip.dense_upsampled import join_windows  # noqa: E402
from rs_textseg_plugin.engine.models.bilateral import Bilateral  # noqa: E402
from rs_textseg_plugin.engine.models.upsampler import Upsampler, UpsamplerNetwork  # noqa: E402

WINDOW_PX, STRIDE_PX, GRID, CHANNELS = 224, 112, 14, 512
# Ratios of minima. Joining gains with the area; below 1024 px the reference fits into a processor's cache.
JOINING_GATES, SMALL_JOINING_GATE, FIRST_GATE, REPEATED_GATE = {1024: 25.0, 2048: 100.0}, 2.0, 6.0, 25.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--words", type=int, default=published_words())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {f"joining {side} px": joining(side, options.words, options.repeats) for side in options.sides}
    results |= one_window(options.words, options.repeats)
    gates = {"first question": FIRST_GATE, "second question": REPEATED_GATE}
    gates |= {f"joining {side} px": gate for side, gate in JOINING_GATES.items()}
    passed = True
    for name, (reference_s, ours_s, error) in results.items():
        ratio, gate = reference_s / ours_s, gates.get(name, SMALL_JOINING_GATE)
        passed &= ratio >= gate and error <= 1e-4
        print(f"{name:18} reference {reference_s:8.3f} s  ours {ours_s:7.3f} s  ratio {ratio:6.1f} (gate {gate:g})  "
              f"largest difference {error:.1e}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if passed else 1


def published_words() -> int:
    """Return how many planes of logits the released code has for OpenEarthMap: one for each alias."""
    return sum(len(spec.aliases) for spec in parse_class_list(find_word_list("openearthmap").text).classes)


def fastest(actions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the shortest time of each action in seconds; they take turns."""
    times = [float("inf")] * len(actions)
    for _ in range(repeats):
        for number, action in enumerate(actions):
            started = time.perf_counter()
            action()
            times[number] = min(times[number], time.perf_counter() - started)
    return times


def joining(side_px: int, words: int, repeats: int) -> tuple[float, float, float]:
    """Return the seconds of the reference and of ours, and the largest difference; windows cost nothing here."""
    windows = sliding_windows(side_px, side_px, WINDOW_PX, STRIDE_PX)
    part = np.random.default_rng(0).normal(size=(words, WINDOW_PX, WINDOW_PX)).astype(np.float32)
    canvas = (side_px, side_px)

    def ours() -> NDArray[np.float32]:
        return join_windows(windows, (part for _ in windows), canvas, 0)

    def reference() -> Tensor:
        return padded_and_added(windows, torch.from_numpy(part), side_px)

    error = float(np.abs(ours() - reference().numpy()).max())
    reference_s, ours_s = fastest([reference, ours], repeats)
    return reference_s, ours_s, error


def padded_and_added(windows: list[Window], part: Tensor, side_px: int) -> Tensor:
    total, count = torch.zeros(len(part), side_px, side_px), torch.zeros(1, side_px, side_px)
    for window in windows:
        right, below = side_px - window.col_stop, side_px - window.row_stop
        total += F.pad(part, (window.col, right, window.row, below))
        count[(slice(None), *window.slices)] += 1
    return total / count


@torch.inference_mode()
def one_window(words: int, repeats: int) -> dict[str, tuple[float, float, float]]:
    """Return both ways' seconds and their largest difference, for a first and for a second question."""
    torch.manual_seed(0)
    model = Upsampler(UpsamplerNetwork(CHANNELS, 5, 32, is_shared=True), "random", torch.device("cpu"), torch.float32)
    features, picture = torch.randn(GRID, GRID, CHANNELS), torch.randn(3, WINDOW_PX, WINDOW_PX)
    vocabulary = F.normalize(torch.randn(words, CHANNELS), dim=-1)
    mixed = model.mixed(features)
    lengths = model.lengths(mixed.permute(2, 0, 1), picture)

    def second() -> Tensor:
        planes = model.upsample(torch.einsum("hwd,ad->ahw", mixed, vocabulary), picture)
        return (planes + (vocabulary @ model.offset)[:, None, None]) / lengths

    def first() -> Tensor:
        model.lengths(model.mixed(features).permute(2, 0, 1), picture)
        return second()

    def reference() -> Tensor:
        upsampled = features.permute(2, 0, 1)
        for step in model.network.steps:
            upsampled = tap_by_tap(step, upsampled, picture)
        upsampled = upsampled + 0.1 * model.network.fixup_proj(upsampled[None])[0]
        return torch.einsum("dhw,ad->ahw", F.normalize(upsampled, dim=0), vocabulary)

    error = float((first() - reference()).abs().max())
    reference_s, first_s, second_s = fastest([reference, first, second], repeats)
    return {"first question": (reference_s, first_s, error), "second question": (reference_s, second_s, error)}


def tap_by_tap(step: Bilateral, source: Tensor, picture: Tensor) -> Tensor:
    """One step in the released order: weights from an unfold, then a sum over shifted copies of all channels."""
    size, d = (2 * source.shape[1], 2 * source.shape[2]), 2 * step.radius + 1
    guide = F.adaptive_avg_pool2d(picture[None], size)
    keys = step.range_proj(guide)
    unfolded = F.unfold(F.pad(keys, [step.radius] * 4, mode="reflect"), d).view(1, keys.shape[1], d * d, *size)
    likeness = F.softmax(step.range_temp.exp() * torch.einsum("bcphw,bchw->bphw", unfolded, keys), dim=1)
    steps = torch.linspace(-1, 1, d)
    nearness = torch.exp(-(steps[:, None].square() + steps.square()) / (2 * step.sigma_spatial**2))
    weights = likeness * nearness.view(1, d * d, 1, 1)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-7)
    weights = (weights + 0.1 * step.fixup_proj(torch.cat([weights, guide], dim=1)))[0]
    larger = F.interpolate(source[None], size, mode="bicubic", align_corners=False)
    padded = F.pad(larger, [step.radius] * 4, mode="reflect")[0]
    total = torch.zeros_like(larger[0])
    for tap in range(d * d):
        row, col = divmod(tap, d)
        total.addcmul_(padded[:, row : row + size[0], col : col + size[1]], weights[tap])
    return total


if __name__ == "__main__":
    sys.exit(main())
