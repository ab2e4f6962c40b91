#!/usr/bin/env python3
"""Draws aerial scenes with the truth for every pixel: scene.tif, labels.tif and truth.gpkg in a folder for each seed.

scripts/make_scenes.py FOLDER --seeds 0-19 --size 1024 [--kind harbour] [--resolution 0.25] [--collar] [--sixteen-bit]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stage import ROOT

sys.path.insert(0, str(ROOT))

from scenes.drawing import draw
from scenes.files import write
from scenes.kinds import KINDS


def parse_seeds(text: str) -> list[int]:
    """Read seeds: numbers and ranges, separated by commas, such as ``0-4,7``.

    Raises:
        argparse.ArgumentTypeError: that is no such list.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()) or part.strip().endswith("-"):
            raise argparse.ArgumentTypeError(f"{part!r} is no seed and no range: write, for example, 0-4,7.")
        seeds += range(int(first), int(last or first) + 1)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} holds no seed: write the smaller number of a range first.")
    return seeds


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draws aerial scenes with the truth for every pixel.")
    parser.add_argument("folder", type=Path, help="where to make a folder for each seed")
    parser.add_argument("--seeds", type=parse_seeds, default=[0], help="such as 0-19 or 3,5,8 (default: 0)")
    parser.add_argument("--size", type=int, default=1024, help="side in pixels (default: %(default)s)")
    parser.add_argument("--kind", choices=list(KINDS), help="(default: one after the other)")
    parser.add_argument("--resolution", type=float, default=0.25, help="metres a pixel (default: %(default)s)")
    parser.add_argument("--collar", action="store_true", help="surround the pictures with undeclared black")
    parser.add_argument("--sixteen-bit", action="store_true", help="write the pictures as uint16")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run the command; return 2 if a scene of that size or resolution cannot be drawn."""
    arguments = parse_arguments(words)
    for seed in arguments.seeds:
        try:
            scene = draw(seed, arguments.size, arguments.resolution, arguments.kind)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        folder = arguments.folder / f"{seed:04d}_{scene.kind}"
        print(write(folder, scene, arguments.collar, arguments.sixteen_bit))
    return 0


if __name__ == "__main__":
    sys.exit(main())
