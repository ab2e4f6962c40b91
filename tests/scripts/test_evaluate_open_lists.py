"""The command that asks a list in three ways: a tiny run with planted answers, and its figures."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from evaluate_open_lists import Answered, Question, ask_all, half_of, questions, rows
from rs_textseg_plugin.contract.catalog import shipped_home
from rs_textseg_plugin.contract.errors import SceneError
from truth_scenes import TruthScene


def answered(way: str, known: str, right: int, wrong: int, absent_m2: float = 0.0) -> Answered:
    counts = [[0, wrong], [wrong, right]]
    return Answered("sam-clip", "scene", Question(("road",), way, known), counts, absent_m2, 1.0)


def test_the_cost_is_what_an_open_list_lacks_of_the_better_of_the_two_others():
    answers = [
        answered("open", "whole", 60, 20), answered("open", "half", 50, 25, 7.0), answered("closed", "whole", 20, 40),
        answered("negatives", "whole", 80, 10), answered("negatives", "half", 10, 45),
    ]  # fmt: skip
    whole, half = rows(answers)
    assert (whole["open"], whole["negatives"], whole["closed"]) == (0.6, 0.8, 0.2)
    assert whole["cost"] == pytest.approx(0.2)
    assert (half["known"], half["closed"], half["absent_m2_open"]) == ("half", 0.2, 7.0)
    assert half["cost"] == pytest.approx(0.2 - 0.5)


def test_negatives_name_the_known_words_that_were_not_asked_for():
    asked = questions([["road", "ship"]])
    assert len(asked) == len(set(asked)) == 5
    texts = {(question.way, question.known): question.text(["road", "tree"]) for question in asked}
    assert texts["open", "half"] == texts["closed", "whole"] == "road, ship"
    assert texts["negatives", "half"] == "road, ship, -tree"


def test_half_of_a_set_knows_no_unknown_word_and_is_else_the_same(tmp_path):
    half = half_of("demo", ["ship", "road"], tmp_path / "half")
    words = json.loads((tmp_path / "half" / "models.json").read_text())["words"]
    whole = json.loads((shipped_home() / "demo" / "models.json").read_text())["words"]
    assert words == [word for word in whole if word not in ("ship", "road")]
    assert (tmp_path / "half" / "sam_demo.safetensors").is_file()
    assert half == str(tmp_path / "half")


def test_an_answer_that_is_in_the_log_is_not_asked_for_again(tmp_path):
    words = {"vocabulary": ["road"], "unknown": [], "lists": [["road"]]}
    log = tmp_path / "answers.jsonl"
    known = [Answered("sam-clip", "0", question, [[0, 1], [1, 3]], 0.0, 1.0) for question in questions(words["lists"])]
    log.write_text("".join(json.dumps(asdict(answer)) + "\n" for answer in known))
    nowhere = TruthScene("0", tmp_path, tmp_path, tmp_path, {})  # which could not be run
    models = {"whole": "demo", "half": "demo"}
    assert ask_all([nowhere], ["sam-clip"], words, models, log) == known
    log.write_text("\n".join(log.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(SceneError):
        ask_all([nowhere], ["sam-clip"], words, models, log)
