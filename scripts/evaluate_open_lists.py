#!/usr/bin/env python3
"""Asks lists of 1 to 14 classes in three ways, and tells what an open list costs on scenes whose truth is known.

    scripts/evaluate_open_lists.py SCENES --models FOLDER --out REPORT_FOLDER [--pipelines sam-clip segearth-ov ...]

open       the list as it is typed: what competes with it is left to the product
closed     the same with closed_list=true: nothing else competes
negatives  closed, with all other known words as typed negatives

Lists, words and the half of the words that counts as unknown stand in scripts/open_lists.json. "Half" is measured with
a copy of the model set that does not list the unknown words, and with negatives that do not name them. The cost is the
mean IoU of the better of closed and negatives, less that of open. The report goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluate import pixel_m2, read_result, run_scene
from evaluation_report import aligned, short
from metrics import confusion, false_px, pixel_scores
from stage import ROOT
from truth_scenes import ClassNumbers, TruthScene, find_scenes, read_truth

sys.path.insert(0, str(ROOT))

from rs_textseg_plugin.contract.catalog import MANIFEST, set_folder
from rs_textseg_plugin.contract.errors import ModelError, TextSegError
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.engine.service import Engine

LISTS = Path(__file__).with_name("open_lists.json")
PIPELINES = ("sam-clip", "segearth-ov", "surgery-sam", "text2seg")
WAYS = ("open", "closed", "negatives")


@dataclass(frozen=True)
class Question:
    """A class list as it is asked.

    Attributes:
        classes: the list.
        way: one of `WAYS`.
        known: ``whole`` or ``half``, how much of the vocabulary is known.
    """

    classes: tuple[str, ...]
    way: str
    known: str

    def text(self, known_words: Sequence[str]) -> str:
        """Return it as it is typed."""
        others = [f"-{word}" for word in known_words if word not in self.classes and self.way == "negatives"]
        return ", ".join([*self.classes, *others])


@dataclass(frozen=True)
class Answered:
    """What came of a question on a scene.

    Attributes:
        pipeline, scene: names.
        question: as asked.
        counts: the confusion matrix, see `metrics.confusion`.
        absent_m2: ground that was given to classes which the scene does not hold.
        seconds: the run took.
    """

    pipeline: str
    scene: str
    question: Question
    counts: list[list[int]]
    absent_m2: float
    seconds: float

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others."""
        return self.pipeline, self.scene, self.question

    @classmethod
    def from_json(cls, line: str) -> Answered:
        """Read it from a line of the log."""
        data = json.loads(line)
        asked = data["question"]
        return cls(**{**data, "question": Question(tuple(asked["classes"]), asked["way"], asked["known"])})


def questions(lists: Sequence[Sequence[str]]) -> list[Question]:
    """Return every way of asking every list; a closed list is the same whatever else is known."""
    ways = [("open", "whole"), ("open", "half"), ("closed", "whole"), ("negatives", "whole"), ("negatives", "half")]
    return [Question(tuple(classes), way, known) for classes in lists for way, known in ways]


def ask_all(
    scenes: Sequence[TruthScene], pipelines: Sequence[str], words: dict[str, Any], models: dict[str, str], log: Path
) -> list[Answered]:
    """Ask what the log does not hold yet; return all answers. What a method saw of a scene is kept while it is asked.

    Args:
        scenes: with truth.
        pipelines: names of methods.
        words: the content of `LISTS`.
        models: the model set for the whole vocabulary and for half of it.
        log: one answer a line.

    Raises:
        TextSegError: a run failed, or a truth does not fit.
    """
    done = [Answered.from_json(line) for line in log.read_text().splitlines()] if log.is_file() else []
    known = {answer.key for answer in done}
    words_of = {"whole": words["vocabulary"], "half": [w for w in words["vocabulary"] if w not in words["unknown"]]}
    for pipeline in pipelines:
        for scene in scenes:
            engine = Engine()
            for question in questions(words["lists"]):
                if (pipeline, scene.name, question) in known:
                    continue
                text = question.text(words_of[question.known])
                done.append(ask(scene, pipeline, question, text, models[question.known], engine))
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(done[-1])) + "\n")
                print(f"{pipeline} {scene.name} {question.way} {question.known} {text}", file=sys.stderr, flush=True)
    return done


def ask(scene: TruthScene, pipeline: str, question: Question, text: str, models: str, engine: Engine) -> Answered:
    """Ask one question of one scene."""
    query = parse_class_list(text)
    recipe = Recipe(pipeline, models, {} if question.way == "open" else {"closed_list": True})
    with tempfile.TemporaryDirectory() as folder:
        result = run_scene(scene, query, recipe, Path(folder), engine)
        classes = ClassNumbers(query)
        truth, grid = read_truth(scene, classes)
        counts = confusion(truth, read_result(result, scene, grid), len(classes.names))
    absent_m2 = float(false_px(counts).sum() * pixel_m2(grid))
    return Answered(pipeline, scene.name, question, counts.tolist(), absent_m2, result.seconds)


def rows(answers: Sequence[Answered]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each method, list and half, over all scenes."""
    for pipeline in dict.fromkeys(answer.pipeline for answer in answers):
        for classes in dict.fromkeys(answer.question.classes for answer in answers):
            for known in ("whole", "half"):
                asked = [a for a in answers if a.pipeline == pipeline and a.question.classes == classes]
                of_way = {way: [a for a in asked if a.question == _question(classes, way, known)] for way in WAYS}
                iou = {way: _mean_iou(found) for way, found in of_way.items()}
                yield {
                    "pipeline": pipeline,
                    "classes": len(classes),
                    "known": known,
                    **iou,
                    "cost": max(iou["closed"], iou["negatives"]) - iou["open"],
                    **{f"absent_m2_{way}": sum(answer.absent_m2 for answer in found) for way, found in of_way.items()},
                }


def _question(classes: tuple[str, ...], way: str, known: str) -> Question:
    return Question(classes, way, "whole" if way == "closed" else known)


def _mean_iou(answers: Sequence[Answered]) -> float:
    return pixel_scores(np.sum([np.array(answer.counts) for answer in answers], axis=0)).mean_iou


def as_table(figures: Sequence[dict[str, Any]]) -> str:
    """Return the figures for a terminal."""
    ious, areas = (*WAYS, "cost"), tuple(f"absent_m2_{way}" for way in WAYS)
    lines = [("method", "classes", "known", *WAYS, "cost", *(f"absent m2 {way}" for way in WAYS))]
    lines += [
        (
            row["pipeline"],
            str(row["classes"]),
            row["known"],
            *(short(row[name]) for name in ious),
            *(f"{row[name]:.0f}" for name in areas),
        )
        for row in figures
    ]
    return "\n".join(aligned(lines))


def half_of(models: str, unknown: Sequence[str], folder: Path) -> str:
    """Return a copy of a model set whose own words lack the unknown ones; the set itself where it lists no words.

    Raises:
        ModelError: there is no such set.
    """
    source = Path(models) if Path(models).is_dir() else set_folder(models)
    if source is None:
        raise ModelError(f"There is no model set and no folder {models!r}: name one that is here.")
    manifest = json.loads((source / MANIFEST).read_text(encoding="utf-8")) if (source / MANIFEST).is_file() else {}
    if "words" not in manifest:
        return models
    shutil.copytree(source, folder, dirs_exist_ok=True)
    manifest["words"] = [word for word in manifest["words"] if word.split("|")[0] not in unknown]
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return str(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; return 0, or the exit status of what went wrong (2 for bad input)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, metavar="SCENES", help="a folder of scenes with truth")
    parser.add_argument("--models", required=True, help="a model set or a folder with checkpoints")
    parser.add_argument("--pipelines", nargs="+", default=PIPELINES)
    parser.add_argument("--lists", type=Path, default=LISTS, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT_FOLDER")
    options = parser.parse_args(arguments)
    words = json.loads(options.lists.read_text(encoding="utf-8"))
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        models = {"whole": options.models, "half": half_of(options.models, words["unknown"], options.out / "half_set")}
        log = options.out / "answers.jsonl"
        figures = list(rows(ask_all(find_scenes(options.scenes), options.pipelines, words, models, log)))
    except TextSegError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    (options.out / "open_lists.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(as_table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
