#!/usr/bin/env python3
"""Writes checkpoints in the published formats with random weights, for timing, memory and loading.

scripts/make_random_models.py FOLDER [--sam vit_b|vit_l|vit_h] [--clip ViT-B-16]
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

import torch
from torch import nn

from stage import ROOT

sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

SEED = 20
SAM_FILES = {  # the published names
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
}
MEANING = (
    "The weights are random: the files have the layout and the size of the published ones, so time and memory are "
    "real, but what is found in an image means nothing."
)


def make_sam(size: str) -> nn.Module:
    """Return segment_anything's model of that size with random weights, the same ones each time."""
    ensure_torchvision()
    from segment_anything import sam_model_registry

    torch.manual_seed(SEED)
    model: nn.Module = sam_model_registry[size](checkpoint=None)
    return model


def make_clip(architecture: str) -> nn.Module:
    """Return open_clip's model of that name with random weights, the same ones each time.

    Raises:
        ValueError: open_clip knows no such model.
    """
    ensure_torchvision()
    import open_clip

    if architecture not in open_clip.list_models():
        near = difflib.get_close_matches(architecture, open_clip.list_models(), n=8, cutoff=0.3)
        raise ValueError(f"open_clip has no model {architecture!r}: choose another, for example {', '.join(near)}.")
    torch.manual_seed(SEED)
    model: nn.Module = open_clip.create_model(architecture, pretrained=None)
    return model


def write_state(model: nn.Module, path: Path) -> Path:
    """Write a model's weights as a plain state dict and return `path`."""
    torch.save(dict(model.state_dict()), path)
    return path


def write_models(folder: Path, sam_size: str, clip_architecture: str) -> list[Path]:
    """Write both checkpoints into `folder`, which is made if need be, and return their paths.

    Raises:
        ValueError: open_clip knows no such model; nothing was written.
    """
    clip = make_clip(clip_architecture)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_state(make_sam(sam_size), folder / SAM_FILES[sam_size]),
        write_state(clip, folder / f"clip_{clip_architecture}.pt"),
    ]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Writes a folder of checkpoints with random weights. " + MEANING)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sam", choices=SAM_FILES, default="vit_b", help="size of SAM (default: %(default)s)")
    parser.add_argument("--clip", default="ViT-B-16", help="open_clip's name of the CLIP model (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        paths = write_models(arguments.folder, arguments.sam, arguments.clip)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for path in paths:
        print(f"{path} ({path.stat().st_size / 1e6:.0f} MB)")
    print(MEANING)
    return 0


if __name__ == "__main__":
    sys.exit(main())
