#!/usr/bin/env python3
"""Tunes a Qwen-VL to answer with the clicks that have SAM draw what a phrase means, and measures how well it does.

    scripts/tune_vlm.py LAYOUT DATA... --vlm FOLDER --models SET_OR_FOLDER --out ADAPTER --work FOLDER [--epochs 3]
    scripts/tune_vlm.py LAYOUT DATA... --vlm FOLDER --models SET_OR_FOLDER --work FOLDER --evaluate-only
                        [--adapter ADAPTER]

LAYOUT and DATA are one of

    rrsis-d FOLDER                 see scripts/tuning/rrsis_d.py
    earthreason FOLDER             see scripts/tuning/earth_reason.py
    table FILE.csv                 pictures and masks of your own, see scripts/tuning/mask_table.py
    polygons RASTER LAYER          polygons of your own, with words in --text-column, see scripts/tuning/own_polygons.py

First the clicks are made with SAM (once; they are kept in the --work folder), then the adapter is trained, then it is
measured on the split of --evaluate-on. A run that was stopped goes on with the same command. The recipe is the
published one as far as it is known (scripts/tuning/lora_training.py): Qwen3-VL-2B, rank 32, three epochs, six clicks;
it took four large GPUs there. The log in the --work folder has the loss; scores.json has gIoU, cIoU, P@0.5 and how
often nothing was found where nothing is (scripts/tuning/scoring.py).

The adapter is used with ``--pipeline vlm-sam --param vlm=FOLDER --param adapter=ADAPTER`` and with the parameters that
this command prints at its end: it answers what it was trained to be asked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from stage import ROOT

sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.contract.errors import InputError, SceneError, TextSegError
from rs_textseg_plugin.contract.scene import Scene, Stretch
from rs_textseg_plugin.engine.compute.device import choose_device, choose_dtype
from rs_textseg_plugin.engine.loading.files import Checkpoint, resolve_set
from rs_textseg_plugin.engine.models.archives.digest import file_digest
from rs_textseg_plugin.engine.models.sam import SamModel, load_sam
from rs_textseg_plugin.engine.vlm.drawing import Policy
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy, ask_for
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import weight_files
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import QwenVl, load_qwen_vl
from tuning.clicks import COUNT
from tuning.earth_reason import read_earth_reason
from tuning.examples import APART, SPLITS, TRAIN, VALIDATION, WHOLE, Example, coarser
from tuning.lora_training import EPOCHS, RANK, Lesson, LoraTraining, Settings
from tuning.mask_table import read_mask_table
from tuning.own_polygons import PolygonData, read_polygons
from tuning.rrsis_d import read_rrsis_d
from tuning.scoring import Examiner, Scores
from tuning.targets import TargetStore, answer_text, make_target
from work_folder import require_same_training, require_writable

RRSIS_D, EARTH_REASON, TABLE, POLYGONS = "rrsis-d", "earthreason", "table", "polygons"
_PLACES = {RRSIS_D: 1, EARTH_REASON: 1, TABLE: 1, POLYGONS: 2}
_PROMPTS = {
    "points": Policy(False, True, True),
    "box": Policy(True, False, True),
    "box-and-points": Policy(True, True, True),
}
_MOST_THINGS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    asked = build_parser().parse_args(arguments)
    torch.set_num_threads(asked.threads)
    try:
        run(asked)
    except TextSegError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


def run(asked: argparse.Namespace) -> None:
    """Tune and measure as asked.

    Raises:
        InputError: something that was asked for cannot be had.
    """
    require_sensible(asked)
    sam = resolve_set(asked.models, ("sam",)).checkpoints["sam"]
    device = choose_device(asked.device)
    drawing = load_sam(sam.path, device, torch.float32)
    if asked.evaluate_only:
        model = load_qwen_vl(asked.vlm, asked.adapter, device, choose_dtype(asked.precision, device))
    else:
        model = tune(asked, sam, drawing, device)
    model.most_tokens = asked.max_tokens
    report(evaluate(asked, model, drawing), asked)


def tune(asked: argparse.Namespace, sam: Checkpoint, drawing: SamModel, device: torch.device) -> QwenVl:
    """Train an adapter and write it; return the model with it.

    Raises:
        InputError: data, model or folder cannot be had, or the folder holds another training.
    """
    examples = examples_of(asked, TRAIN)
    require_same_training(asked.work / "tuning.json", describe(asked, sam, examples))
    store = TargetStore(asked.work / "targets.jsonl")
    store.make(
        examples,
        partial(make_target, sam=drawing, longest_px=asked.view_px, clicks=asked.clicks, most_instances=_MOST_THINGS),
    )
    reached = sum(store[example.key].iou for example in examples) / len(examples)
    print(f"{len(examples)} questions; SAM draws what their clicks mean with a mean IoU of {reached:.3f}.")
    model = load_qwen_vl(asked.vlm, None, device, choose_dtype(asked.precision, device))
    school = School(model, examples, store, click_policy(asked), asked.view_px)
    settings = Settings(asked.epochs, asked.rank, asked.batch, asked.rate, asked.saves_memory)
    training = LoraTraining(model, len(examples), school.lesson, asked.work, settings)
    training.run()
    training.save_adapter(asked.out)
    return model


@dataclass(frozen=True)
class School:
    """Makes lessons of examples.

    Attributes:
        model: that is taught.
        examples: in order.
        store: their answers.
        clicks: what the model is asked for.
        longest_px: long side of a picture as the model is shown it.
    """

    model: QwenVl
    examples: Sequence[Example]
    store: TargetStore
    clicks: ClickPolicy
    longest_px: int

    def lesson(self, number: int) -> Lesson:
        """Return the question of a number, with its answer as the model should give it.

        Raises:
            SceneError: see `Example`.
        """
        example = self.examples[number]
        rgb = coarser(example.read(), self.longest_px).rgb
        size = rgb.shape[1], rgb.shape[0]
        shown, convention = self.model.shown_size(*size), self.model.convention
        wanted = self.store[example.key].instances
        asked = ask_for(example.phrase, shown, convention, self.clicks)
        return Lesson(rgb, asked, answer_text(wanted, convention, shown, size, self.clicks))


def evaluate(asked: argparse.Namespace, model: QwenVl, drawing: SamModel) -> Scores | None:
    """Return how well a model does on the split that was asked for; None: nothing was to be measured."""
    examples = examples_of(asked, asked.evaluate_on)
    if asked.evaluate_count is not None:
        examples = examples[: asked.evaluate_count]
    if not examples:
        return None
    return Examiner(model, drawing, click_policy(asked), _PROMPTS[asked.prompts], asked.view_px).examine(examples)


def report(scores: Scores | None, asked: argparse.Namespace) -> None:
    """Print and keep the scores, and say how the adapter is used."""
    if scores is None:
        print(f"Nothing was measured: there is no question in the split {asked.evaluate_on!r}, or none was asked for.")
    else:
        print(f"{asked.evaluate_on}: {scores}")
        (asked.work / "scores.json").write_text(json.dumps(asdict(scores), indent=2) + "\n", encoding="utf-8")
    if not asked.evaluate_only:
        print(
            f"Use the adapter with: --pipeline vlm-sam --param vlm={asked.vlm} --param adapter={asked.out} --param "
            f"inside_points={asked.clicks} --param outside_points={asked.clicks} --param prompts={asked.prompts} "
            f"--param view_px={asked.view_px}"
        )


def examples_of(asked: argparse.Namespace, split: str) -> list[Example]:
    """Return the questions of a split.

    Raises:
        SceneError: the data is not there, or not as its layout says; or there is nothing to train with.
    """
    place = asked.data[0]
    regions = asked.regions or (APART if asked.layout == EARTH_REASON else WHOLE)
    if asked.layout == RRSIS_D:
        found = read_rrsis_d(place, split, regions)
    elif asked.layout == EARTH_REASON:
        found = read_earth_reason(place, split, regions)
    elif asked.layout == TABLE:
        found = read_mask_table(place, split, regions, asked.held_out)
    else:
        found = read_polygons(polygon_data(asked), split)
    if split == TRAIN and not found:
        raise SceneError(f"There is no question in the split {TRAIN!r} of {place}: give more data.")
    return found


def polygon_data(asked: argparse.Namespace) -> PolygonData:
    try:
        bands = tuple(int(number) for number in asked.bands.split(","))
    except ValueError:
        raise InputError(f"--bands {asked.bands!r} are no numbers: give for example 1,2,3.") from None
    raster, layer = asked.data
    scene = Scene(str(raster), bands, Stretch.parse(asked.stretch), ground_resolution_m=asked.resolution)
    return PolygonData(scene, layer, asked.text_column, asked.view_px, asked.held_out, asked.empty_share)


def click_policy(asked: argparse.Namespace) -> ClickPolicy:
    """Return what the model is asked for: how many of the clicks say "beside" is told by each object."""
    return ClickPolicy(asked.clicks, asked.clicks, _MOST_THINGS)


def require_sensible(asked: argparse.Namespace) -> None:
    """Check what was asked for before anything is loaded.

    Raises:
        InputError: an option is missing or out of its range.
        OutputError: a folder cannot be written.
    """
    if len(asked.data) != _PLACES[asked.layout]:
        raise InputError(f"The layout {asked.layout} takes {_PLACES[asked.layout]} places, not {len(asked.data)}.")
    if asked.layout == POLYGONS and not asked.text_column:
        raise InputError("The layout polygons needs --text-column: the layer's column with the words.")
    if not asked.evaluate_only and asked.out is None:
        raise InputError("--out is missing: name the folder that the adapter is written to.")
    if asked.adapter is not None and not asked.evaluate_only:
        raise InputError("--adapter is measured with --evaluate-only: a training makes an adapter of its own.")
    for name, least in (("epochs", 0.0), ("rank", 1), ("batch", 1), ("clicks", 1), ("view_px", 64)):
        if getattr(asked, name) < least:
            option = name.replace("_", "-")
            raise InputError(f"--{option} {getattr(asked, name)} is too little: give at least {least}.")
    folders = {"--out": asked.out, "--work": asked.work}
    require_writable({option: folder for option, folder in folders.items() if folder is not None})


def describe(asked: argparse.Namespace, sam: Checkpoint, examples: Sequence[Example]) -> dict[str, str]:
    """Return what a training depends on, in words that can be compared."""
    facts = {
        "vlm": " ".join(file_digest(path)[:16] for path in weight_files(asked.vlm, None)),
        "sam": sam.sha256[:16],
        "questions": hashlib.sha256("\n".join(example.key for example in examples).encode()).hexdigest()[:16],
    }
    names = ("layout", "regions", "clicks", "view_px", "epochs", "rank", "batch", "rate")
    return facts | {name: str(getattr(asked, name)) for name in names}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", choices=list(_PLACES))
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--vlm", type=Path, required=True, metavar="FOLDER", help="a Qwen2.5-VL or Qwen3-VL")
    parser.add_argument("--models", required=True, help="a model set or a folder with a SAM")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="keeps clicks, state, log, scores")
    parser.add_argument("--out", type=Path, metavar="ADAPTER", help="the folder that the adapter is written to")
    parser.add_argument("--evaluate-only", action="store_true", help="train nothing")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="an adapter to be measured (--evaluate-only)")
    _add_recipe(parser)
    _add_data(parser)
    parser.add_argument("--evaluate-on", choices=SPLITS, default=VALIDATION, help="split (default: %(default)s)")
    parser.add_argument("--evaluate-count", type=int, metavar="N", help="the first N questions (default: all; 0: none)")
    parser.add_argument("--prompts", choices=list(_PROMPTS), default="points", help="what SAM gets (default: points)")
    parser.add_argument("--max-tokens", type=int, default=1024, help="of an answer (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--precision", default="auto", help="of the base model: auto, fp32 or bf16")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(default: all cores)")
    return parser


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recipe", "published: 3 epochs, rank 32, 6 clicks; the rest is ours")
    group.add_argument("--epochs", type=float, default=EPOCHS, help="(default: %(default)s)")
    group.add_argument("--rank", type=int, default=RANK, help="of the adapter (default: %(default)s)")
    group.add_argument("--batch", type=int, default=Settings.batch, help="questions in a step (default: %(default)s)")
    group.add_argument("--rate", type=float, default=Settings.rate, help="learning rate (default: %(default)s)")
    group.add_argument("--clicks", type=int, default=COUNT, help="for each thing, at most (default: %(default)s)")
    group.add_argument(
        "--view-px", type=int, default=1024, help="long side of a picture, at most (default: %(default)s)"
    )
    group.add_argument("--saves-memory", action="store_true", help="compute activations twice in place of keeping them")


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--regions",
        choices=[WHOLE, APART],
        help="whether a mask is one thing or each of its regions is (default: apart for earthreason, else whole)",
    )
    group.add_argument("--held-out", type=float, default=0.1, help="share for val, and as much for test (own data)")
    group.add_argument("--text-column", default="", help="the layer's column with the words (polygons)")
    group.add_argument(
        "--empty-share", type=float, default=0.1, help="views also asked for what is not there (polygons)"
    )
    group.add_argument("--bands", default="1,2,3", help="red, green and blue band, or one band for grey (polygons)")
    group.add_argument("--stretch", default="auto", help="auto, none, percentile:2:98 or range:0:4000 (polygons)")
    group.add_argument("--resolution", type=float, metavar="METRES", help="working pixel size on the ground (polygons)")


if __name__ == "__main__":
    sys.exit(main())
