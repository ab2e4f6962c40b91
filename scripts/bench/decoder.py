"""SAM's mask decoder as re-associated here against segment_anything's, on real shapes with random weights.

Both decode the same points of one image, in turns, in one process; the masks must agree to 1e-4 of their range.

    python scripts/bench/decoder.py [--points 64] [--repeats 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.engine.models.point_decoder import decode_prompts  # noqa: E402
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision  # noqa: E402

ensure_torchvision()

from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer  # noqa: E402

GRID = 64  # SAM's embedding of a 1024 px tile
GATE = 1.4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    reference, ours, rejecting = contenders(options.points)
    error = relative_error(reference()[0], ours()[0])
    times = interleaved({"reference": reference, "ours": ours, "ours, all rated low": rejecting}, options.repeats)
    for name, seconds in times.items():
        print(f"{name:20} min {min(seconds):7.3f} s  median {statistics.median(seconds):7.3f} s")
    ratio = min(times["reference"]) / min(times["ours"])
    print(f"ratio of minima {ratio:.2f} (gate {GATE}), largest difference {error:.1e} of the range")
    if options.json:
        options.json.write_text(json.dumps({"times": times, "ratio": ratio, "error": error}, indent=2) + "\n")
    return 0 if ratio >= GATE and error <= 1e-4 else 1


def contenders(points: int) -> tuple[Callable[[], tuple[Tensor, Tensor]], ...]:
    """Return the reference, ours, and ours where no mask is worth drawing, on the same input."""
    torch.manual_seed(0)
    decoder = MaskDecoder(transformer_dim=256, transformer=TwoWayTransformer(2, 256, 8, 2048)).eval()
    prompts = PromptEncoder(256, (GRID, GRID), (16 * GRID, 16 * GRID), 16)
    image = torch.randn(1, 256, GRID, GRID)
    labels = torch.ones(points, 1, dtype=torch.int)
    with torch.inference_mode():
        sparse, dense = prompts(points=(torch.rand(points, 1, 2) * 16 * GRID, labels), boxes=None, masks=None)
        positions = prompts.get_dense_pe()

    def reference() -> tuple[Tensor, Tensor]:
        arguments: dict[str, Any] = {
            "image_embeddings": image,
            "image_pe": positions,
            "sparse_prompt_embeddings": sparse,
            "dense_prompt_embeddings": dense,
        }
        masks, ratings = decoder(**arguments, multimask_output=True)
        return masks, ratings

    def ours(min_rating: float | None = None) -> tuple[Tensor, Tensor]:
        return decode_prompts(decoder, image, positions, sparse, dense, min_rating)

    return reference, ours, lambda: ours(1e9)


def relative_error(expected: Tensor, found: Tensor) -> float:
    return float((expected - found).abs().max() / expected.abs().max())


def interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time the calls in turns, so that whatever else the machine does hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    return times


if __name__ == "__main__":
    with torch.inference_mode():
        sys.exit(main())
