"""LoRA tuning of both generations of Qwen-VL, at a small size, on drawn pictures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from controls import control
from tiny_qwen import FAMILIES, save_tiny_qwen
from tuning_data import picture_of, square

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.engine.vlm.model import ModelQuestion
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import QwenVl, load_qwen_vl
from training.loop import Training, read_log
from tuning.lora_training import NAME, Lesson, LoraTraining, Settings, encode, lessons_of

CPU = torch.device("cpu")
ASKED = ModelQuestion("You click.", "Where?", {})
QUICK = Settings(epochs=3, rank=4, batch=2, rate=2e-2)


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return save_tiny_qwen(tmp_path_factory.mktemp("models") / request.param, request.param)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    return save_tiny_qwen(tmp_path_factory.mktemp("models") / "tiny", "qwen3_vl")


def loaded(folder, adapter=None) -> QwenVl:
    model = load_qwen_vl(folder, adapter, CPU, torch.float32)
    model.most_tokens = 12
    return model


def lesson(number: int) -> Lesson:
    mask = square(2 + 4 * number, 8, 12, 32, 48)
    return Lesson(picture_of(mask, number), ASKED, f'{{"instances": [{number}]}}')


def trained(folder, work, settings=QUICK) -> LoraTraining:
    training = LoraTraining(loaded(folder), 4, lesson, work, settings)
    training.run()
    return training


def test_the_loss_falls_and_only_the_adapter_changes(folder, tmp_path):
    before = {name: value.clone() for name, value in loaded(folder).model.state_dict().items()}
    training = LoraTraining(loaded(folder), 4, lesson, tmp_path, Settings(epochs=6, rank=4, batch=2, rate=2e-2))
    with torch.no_grad():
        first = float(np.mean([training.loss(lesson(number)).item() for number in range(4)]))
    training.run()
    with torch.no_grad():
        last = float(np.mean([training.loss(lesson(number)).item() for number in range(4)]))
    assert last < 0.7 * first
    first_steps, last_steps = (line["loss"] for line in read_log(tmp_path, NAME))
    assert last_steps < first_steps
    after = training.tuned.base_model.model.state_dict()
    kept = {name.replace(".base_layer", ""): value for name, value in after.items() if "lora_" not in name}
    assert kept.keys() == before.keys()
    assert all(torch.equal(kept[name], value) for name, value in before.items())


def test_the_loss_is_the_cross_entropy_of_the_answers_tokens(folder):
    model = loaded(folder)
    inputs = encode(model, lesson(1))
    answer = [*model.processor.tokenizer('{"instances": [1]}')["input_ids"], model.processor.tokenizer.eos_token_id]
    assert inputs["input_ids"][0, -len(answer) :].tolist() == answer
    assert inputs["labels"][0].tolist() == [-100] * (inputs["labels"].shape[1] - len(answer)) + answer
    with torch.no_grad():
        told = model.model(**inputs)
        chances = told.logits[0].log_softmax(dim=-1)
    first = inputs["input_ids"].shape[1] - len(answer)
    expected = -np.mean([chances[first + place - 1, token].item() for place, token in enumerate(answer)])
    assert told.loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_question_of_a_lesson_is_fed_as_it_is_when_the_model_is_asked(folder):
    model = loaded(folder)
    taught, asked = encode(model, lesson(2)), model.encode(lesson(2).picture, ASKED)
    length = asked["input_ids"].shape[1]
    for name, value in asked.items():
        part = taught[name][:, :length] if value.shape == asked["input_ids"].shape else taught[name]
        assert torch.equal(part, value), name


def test_a_new_adapter_changes_nothing_until_it_is_trained(qwen3, tmp_path):
    plain = loaded(qwen3).ask(lesson(0).picture, ASKED, control())
    model = loaded(qwen3)
    LoraTraining(model, 4, lesson, tmp_path, QUICK)
    model.model.eval()
    assert model.ask(lesson(0).picture, ASKED, control()) == plain


def test_only_the_language_models_projections_are_trained(folder, tmp_path):
    training = LoraTraining(loaded(folder), 4, lesson, tmp_path, QUICK)
    names = [name for name, value in training.tuned.named_parameters() if value.requires_grad]
    assert len(names) == 2 * 7 * 2  # layers, projections, both factors
    assert all("language_model.layers" in name and "lora_" in name for name in names)
    assert {value.shape[0] for name, value in training.tuned.named_parameters() if "lora_A" in name} == {4}


def test_the_saved_adapter_is_the_trained_one_and_changes_the_answer(folder, tmp_path):
    training = trained(folder, tmp_path / "work")
    training.save_adapter(tmp_path / "adapter")
    picture = lesson(0).picture
    tuned = loaded(folder, tmp_path / "adapter").ask(picture, ASKED, control())
    assert tuned.text != loaded(folder).ask(picture, ASKED, control()).text
    training._model.model.eval()
    assert training._model.ask(picture, ASKED, control()).text == tuned.text
    config = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert json.loads(config)["base_model_name_or_path"] == folder.name
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert card.startswith(f"# LoRA adapter for {folder.name}\n")
    assert "on 4 questions: epochs 3, rank 4, batch 2" in card
    assert str(folder) not in config + card


def test_what_was_learned_is_answered_word_for_word_and_ends_there(folder, tmp_path):
    model = loaded(folder)
    wanted = lesson(1)
    LoraTraining(model, 1, lambda number: wanted, tmp_path, Settings(epochs=60, rank=8, batch=1, rate=2e-2)).run()
    model.most_tokens = 40
    reply = model.ask(wanted.picture, ASKED, control())
    assert (reply.text, reply.is_truncated) == ('{"instances": [1]}', False)


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(qwen3, tmp_path, monkeypatch):
    whole = trained(qwen3, tmp_path / "whole")
    monkeypatch.setattr("training.loop._SAVE_EVERY_S", -1.0)  # after every step
    read: list[int] = []

    def failing(number: int) -> Lesson:
        read.append(number)
        if len(read) > 4:
            raise SceneError("gone")
        return lesson(number)

    with pytest.raises(SceneError, match="gone"):
        LoraTraining(loaded(qwen3), 4, failing, tmp_path / "parts", QUICK).run()
    second = LoraTraining(loaded(qwen3), 4, lesson, tmp_path / "parts", QUICK)
    assert second.training.resumed
    assert second.training.steps == 2
    second.run()
    assert second.training.steps == whole.training.steps == 6
    expected = whole.training.model.state_dict()
    for name, value in second.training.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)


def test_a_training_that_is_done_takes_no_further_step(qwen3, tmp_path):
    first = trained(qwen3, tmp_path).training.model.state_dict()
    again = LoraTraining(loaded(qwen3), 4, lambda number: pytest.fail("a lesson was read"), tmp_path, QUICK)
    again.run()
    assert all(torch.equal(value, first[name]) for name, value in again.training.model.state_dict().items())


def test_memory_can_be_saved_without_another_result(qwen3, tmp_path):
    one, other = (
        trained(qwen3, tmp_path / str(saves), Settings(epochs=1, rank=4, batch=2, rate=2e-2, saves_memory=saves))
        for saves in (False, True)
    )
    expected = one.training.model.state_dict()
    for name, value in other.training.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5)


def test_a_base_in_reduced_precision_is_tuned_with_an_exact_adapter(qwen3, tmp_path):
    model = load_qwen_vl(qwen3, None, CPU, torch.bfloat16)
    training = LoraTraining(model, 4, lesson, tmp_path, Settings(epochs=1, rank=4, batch=2))
    training.run()
    types = {value.requires_grad: value.dtype for value in training.tuned.parameters()}
    assert types == {True: torch.float32, False: torch.bfloat16}
    assert read_log(tmp_path, NAME)[-1]["loss"] > 0


def test_every_question_comes_up_once_an_epoch_in_an_order_that_stays():
    taken = [number for step in range(15) for number in lessons_of(step, 4, 20)]
    epochs = [taken[:20], taken[20:40], taken[40:]]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert lessons_of(7, 4, 20) == taken[28:32]


def test_a_training_by_steps_ends_after_them_and_slows_down(tmp_path):
    training = Training("line", tmp_path, torch.nn.Linear(2, 1), 0.1, math.inf, warm_up_steps=1, most_steps=5)
    rates = []
    for _ in training.run():
        rates.append(training.optimizer.param_groups[0]["lr"])
    assert training.steps == len(rates) == 5
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], training.fraction) == (pytest.approx(0.1), 1.0)
    assert list(Training("line", tmp_path, torch.nn.Linear(2, 1), 0.1, math.inf, most_steps=5).run()) == []
