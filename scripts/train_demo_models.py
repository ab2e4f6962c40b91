#!/usr/bin/env python3
"""Trains the demo models on drawn scenes: a CLIP, a SAM, a detector and an upsampler; writes them with their manifest.

    scripts/train_demo_models.py WORK_FOLDER [--steps scenes clip sam detector export upsampler]
                                 [--clip-minutes 110] [--sam-minutes 150] [--detector-minutes 80]
                                 [--upsampler-minutes 18] [--from resources/demo]

WORK_FOLDER keeps scenes, states and logs: the command goes on where it was stopped. The trainings of CLIP and SAM can
run beside each other, which uses two cores best: one command with ``--steps clip --threads 1``, and after some minutes
one with ``--steps sam --threads 1``. The detector starts from the SAM that is there, so it comes after. ``export``
writes resources/demo and the picture of the curves; ``upsampler`` then trains one for the CLIP that was written, and
adds it. ``--from`` goes on from weights that were written before, at a lower rate and with full windows only, so
that a later training adds to what is there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from stage import ROOT

sys.path.insert(0, str(ROOT))

import make_scenes
import train_upsampler
from training.attention import fast_attention_for_training
from training.clip_training import ClipTraining
from training.detector_training import DetectorTraining
from training.export import UPSAMPLER_FILE, draw_curves, export, exported, sam_weights, trained, write_manifest
from training.loop import TrainingStuck
from training.sam_training import SamTraining
from training.scene_store import TRAINING_SEEDS, VALIDATION_SEEDS, SceneStore

STEPS = ("scenes", "clip", "sam", "detector", "export", "upsampler")
DEMO, CURVES = ROOT / "resources" / "demo", ROOT / "docs" / "images" / "demo_training.png"
_VALIDATION_SCENES = 40
UPSAMPLER_SEEDS = "5000-5159"


def main() -> int:
    """Run the command; return 1 if a training missed one of its gates."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    start = exported(arguments.start) if arguments.start else {}
    try:
        if {"scenes", "clip", "sam", "detector"} & set(arguments.steps):
            train(arguments, start, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    except TrainingStuck as error:
        print(error, file=sys.stderr)
        return 1
    if "export" in arguments.steps:
        for path in (*export(arguments.folder, arguments.out, start), draw_curves(arguments.folder, CURVES)):
            print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return add_upsampler(arguments) if "upsampler" in arguments.steps else 0


def train(arguments: argparse.Namespace, start: Mapping[str, Mapping[str, Tensor]], device: torch.device) -> None:
    """Draw and train what was asked for; SAM starts from CLIP, and the detector from SAM, where that is at hand."""
    folder = arguments.folder
    scenes = SceneStore(folder / "scenes", arguments.scenes, TRAINING_SEEDS)
    validation = SceneStore(folder / "validation", _VALIDATION_SCENES, VALIDATION_SEEDS)
    if "scenes" in arguments.steps:
        for store in (validation, scenes):
            store.fill(os.cpu_count() or 1)
    with fast_attention_for_training():
        if "clip" in arguments.steps:
            ClipTraining(scenes, validation, folder, arguments.clip_minutes, device, start.get("clip")).run()
        if "sam" in arguments.steps:
            trunk = trained(folder, "clip")
            SamTraining(scenes, validation, folder, arguments.sam_minutes, device, trunk, start.get("sam")).run()
        if "detector" in arguments.steps:
            state = trained(folder, "sam")
            sam = None if state is None else sam_weights(state)
            minutes = arguments.detector_minutes
            DetectorTraining(scenes, validation, folder, minutes, device, sam, start.get("detector")).run()


def add_upsampler(arguments: argparse.Namespace) -> int:
    """Train an upsampler for the CLIP in the set on drawn scenes of its own; return the commands' exit status."""
    rasters, out = arguments.folder / "upsampler_scenes", arguments.out / UPSAMPLER_FILE
    if not rasters.is_dir() and make_scenes.main([str(rasters), "--seeds", UPSAMPLER_SEEDS, "--size", "512"]):
        return 1
    models = ["--models", str(arguments.out), "--out", str(out), "--work", str(arguments.folder / "upsampler")]
    how = ["--minutes", str(arguments.upsampler_minutes), "--threads", str(arguments.threads)]
    status = train_upsampler.main([str(rasters), *models, *how, "--crop-px", "96", "--batch", "2"])
    write_manifest(arguments.out)
    return status


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="WORK_FOLDER")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--out", type=Path, default=DEMO, help="folder of the model set (default: %(default)s)")
    parser.add_argument("--from", dest="start", type=Path, metavar="FOLDER", help="a model set to go on from")
    parser.add_argument("--scenes", type=int, default=3000, help="to draw for the training (default: %(default)s)")
    parser.add_argument("--clip-minutes", type=float, default=110, help="(default: %(default)s)")
    parser.add_argument("--sam-minutes", type=float, default=150, help="(default: %(default)s)")
    parser.add_argument("--detector-minutes", type=float, default=80, help="(default: %(default)s)")
    parser.add_argument("--upsampler-minutes", type=float, default=18, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(default: all cores)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
