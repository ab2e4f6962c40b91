#!/usr/bin/env python3
"""Trains SimFeatUp, the upsampler of segearth-ov, for any CLIP with a ViT on rasters that nobody has labelled.

    scripts/train_upsampler.py RASTER_OR_FOLDER... --models SET_OR_FOLDER --out upsampler.safetensors --work FOLDER
                               [--minutes 30] [--layout simfeatup|jbu] [--crop-px 224] [--batch 4]
                               [--attention self-self] [--features last-block|penultimate] [--resolution METRES]
                               [--start near-bicubic|published]

An upsampler belongs to the CLIP that it was trained for: put the file that is written beside that CLIP, and
segearth-ov takes it. FOLDER keeps a log, and the state of every other minute: the same command goes on where it was
stopped, with more --minutes also after it was done. In the log, ``rec``, ``img`` and ``error`` are those of fixed
pictures, and ``rec_bilinear`` and so on those of bilinear upsampling: while an error is not below the bilinear one,
the upsampler is not worth its time.

The published recipe took 16,000 pictures of 224 px and two GPUs; see scripts/upsampling/recipe.py for what is the
same here. On one CPU core, take crops of 8 x 8 to 14 x 14 patches and two at once: with 128 channels and patches of
8 px, a step of ``--crop-px 64 --batch 2`` takes about two seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from stage import ROOT

sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.contract.errors import InputError, OutputError, RecipeError, TextSegError
from rs_textseg_plugin.contract.scene import Scene, Stretch
from rs_textseg_plugin.contract.tables.shared import ATTENTIONS
from rs_textseg_plugin.engine.compute.device import choose_device
from rs_textseg_plugin.engine.loading.files import Checkpoint, resolve_set
from rs_textseg_plugin.engine.models.clip import ClipModel, load_clip
from rs_textseg_plugin.engine.models.kinds import UPSAMPLER_PREFIX
from rs_textseg_plugin.engine.models.upsampler import load_upsampler
from upsampling.features import LAST_BLOCK, PENULTIMATE, Featurizer
from upsampling.pictures import PictureSource, find_rasters
from upsampling.recipe import NEAR_BICUBIC, PUBLISHED, RADII, UpsamplerTraining
from work_folder import require_same_training, require_writable

_FEWEST_PATCHES = 2  # on a side of a picture


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    asked = build_parser().parse_args(arguments)
    torch.set_num_threads(asked.threads)
    try:
        train(asked)
    except TextSegError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"{asked.out} ({asked.out.stat().st_size / 1e6:.2f} MB)")
    return 0


def train(asked: argparse.Namespace) -> None:
    """Train as asked and write the checkpoint.

    Raises:
        InputError: something that was asked for cannot be had; nothing was trained.
    """
    require_places(asked.out, asked.work)
    rasters = find_rasters(asked.places)
    found = resolve_set(asked.models, ("clip",)).checkpoints["clip"]
    clip = load_clip(found.path, found.architecture, choose_device(asked.device), torch.float32)
    featurizer = Featurizer(clip, asked.features, asked.attention)
    size_px = picture_size(asked.crop_px, clip, featurizer.patch_px)
    facts = describe(asked, found)
    require_same_training(asked.work / "upsampler.json", facts)
    with PictureSource(rasters, scene_of(asked), size_px) as source:
        training = UpsamplerTraining(
            source, featurizer, asked.layout, asked.work, asked.minutes, size_px, max(1, asked.batch), asked.start
        )
        training.run()
    export(training.parts.upsampler, asked.out, facts)


def require_places(out: Path, work: Path) -> None:
    """Check both places before hours are spent.

    Raises:
        OutputError: one of them cannot be written, or the file would not be read as what it is.
    """
    if out.suffix.lower() != ".safetensors":
        raise OutputError(f"--out {out} is no .safetensors file: give it that ending, by which it is read.")
    if out.is_dir():
        raise OutputError(f"--out {out} is a folder: name a file in it.")
    require_writable({"--out": out.absolute().parent, "--work": work})


def picture_size(crop_px: int, clip: ClipModel, patch_px: int) -> int:
    """Return the side of the pictures: as asked, or that of the CLIP's own pictures.

    Raises:
        RecipeError: it does not hold whole patches, or too few.
    """
    size_px = crop_px or clip.picture_px
    if size_px % patch_px or size_px < _FEWEST_PATCHES * patch_px:
        near_px = max(_FEWEST_PATCHES, round(size_px / patch_px)) * patch_px
        raise RecipeError(
            f"--crop-px {size_px} does not fit the patches of {patch_px} px of the CLIP {clip.name}: "
            f"take a multiple of at least {_FEWEST_PATCHES * patch_px}, for example {near_px}."
        )
    return size_px


def describe(asked: argparse.Namespace, clip: Checkpoint) -> dict[str, str]:
    """Return what an upsampler belongs to; written into it, and compared before a training goes on."""
    facts = {"clip": clip.path.name, "clip_sha256": clip.sha256, "layout": asked.layout, "features": asked.features}
    return facts | ({"attention": asked.attention} if asked.features == LAST_BLOCK else {})


def scene_of(asked: argparse.Namespace) -> Scene:
    """Return how rasters are read."""
    try:
        bands = tuple(int(number) for number in asked.bands.split(","))
    except ValueError:
        raise InputError(f"--bands {asked.bands!r} are no numbers: give for example 1,2,3.") from None
    return Scene("", bands, Stretch.parse(asked.stretch), ground_resolution_m=asked.resolution)


def export(network: nn.Module, out: Path, facts: dict[str, str]) -> None:
    """Write an upsampler under the names of the published checkpoint, and read it as the product does."""
    state = {UPSAMPLER_PREFIX + name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    unfinished = out.with_suffix(".part")
    save_file(state, unfinished, facts)
    unfinished.chmod(0o644)  # safetensors keeps what it writes to itself
    unfinished.replace(out)
    load_upsampler(out, torch.device("cpu"), torch.float32)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", type=Path, metavar="RASTER_OR_FOLDER")
    parser.add_argument("--models", required=True, help="a model set or a folder with a CLIP")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="keeps state and log")
    parser.add_argument("--minutes", type=float, default=30, help="in all, over all runs (default: %(default)s)")
    parser.add_argument("--layout", choices=list(RADII), default="simfeatup", help="(default: %(default)s)")
    parser.add_argument("--crop-px", type=int, default=0, help="side of the pictures (default: that of the CLIP's own)")
    parser.add_argument("--batch", type=int, default=4, help="pictures in a step (default: %(default)s)")
    parser.add_argument("--attention", choices=list(ATTENTIONS), default="self-self", help="(default: %(default)s)")
    parser.add_argument("--features", choices=[LAST_BLOCK, PENULTIMATE], default=LAST_BLOCK, help="what is upsampled")
    parser.add_argument("--start", choices=[NEAR_BICUBIC, PUBLISHED], default=NEAR_BICUBIC, help="first weights")
    parser.add_argument("--bands", default="1,2,3", help="red, green and blue band, or one band for grey")
    parser.add_argument("--stretch", default="auto", help="auto, none, percentile:2:98 or range:0:4000")
    parser.add_argument("--resolution", type=float, metavar="METRES", help="working pixel size on the ground")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(default: all cores)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
