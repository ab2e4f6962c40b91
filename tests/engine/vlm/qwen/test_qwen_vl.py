"""Both generations of Qwen-VL, of their real architectures with small random weights."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from controls import control
from safetensors.torch import load_file, save_file
from tiny_qwen import FAMILIES, save_tiny_qwen, tiny_processor, tiny_qwen

from rs_textseg_plugin.contract.errors import Cancelled, EngineError, ModelError
from rs_textseg_plugin.engine.vlm.model import Convention, ModelQuestion
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import weight_files
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import QwenVl, load_qwen_vl

CPU = torch.device("cpu")
ASKED = ModelQuestion("Say where it is.", "Where is the ship?", {})


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("models") / f"tiny-{request.param}", request.param)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory) -> Path:
    """For what does not depend on the generation."""
    return save_tiny_qwen(tmp_path_factory.mktemp("qwen3") / "tiny-qwen3_vl", "qwen3_vl")


@pytest.fixture(scope="module")
def model(folder) -> QwenVl:
    loaded = load_qwen_vl(folder, None, CPU, torch.float32)
    loaded.most_tokens = 12
    return loaded


def family_of(folder: Path) -> str:
    return folder.name.removeprefix("tiny-")


def patch_px(folder: Path) -> int:
    return {"qwen2_5_vl": 14, "qwen3_vl": 16}[family_of(folder)]


def picture(height=60, width=100) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def never() -> bool:
    return False


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / folder.name))


def changed(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_loaded_model_is_the_saved_one(folder, model):
    saved = tiny_qwen(family_of(folder)).state_dict()
    loaded = model.model.state_dict()
    assert loaded.keys() == saved.keys()
    for name, value in saved.items():
        assert torch.equal(loaded[name], value), name
    assert not model.model.training


def test_an_answer_is_that_of_the_models_own_greedy_generation(folder, model):
    processor, plain = tiny_processor(family_of(folder)), tiny_qwen(family_of(folder))
    text = (
        "<|im_start|>system\nSay where it is.<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>"
        "Where is the ship?<|im_end|>\n<|im_start|>assistant\n"
    )
    inputs = processor(text=[text], images=[picture()], return_tensors="pt")
    expected = plain.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
    reply = model.ask(picture(), ASKED, control())
    assert reply.text == processor.tokenizer.decode(expected, skip_special_tokens=True)
    assert (reply.tokens_in, reply.tokens_out) == (inputs["input_ids"].shape[1], 12)
    assert reply.text


def test_the_same_question_gets_the_same_answer_and_another_picture_another_one(model):
    first = model.ask(picture(), ASKED, control())
    assert model.ask(picture(), ASKED, control()) == first
    assert model.ask(255 - picture(), ASKED, control()).text != first.text


def test_sampling_and_penalties_of_the_folder_do_not_count(folder, model, tmp_path):
    copy = copied(folder, tmp_path)
    changed(copy, "generation_config.json", do_sample=True, temperature=9.0, repetition_penalty=5.0)
    sampling = load_qwen_vl(copy, None, CPU, torch.float32)
    sampling.most_tokens = 12
    assert sampling.ask(picture(), ASKED, control()).text == model.ask(picture(), ASKED, control()).text


@pytest.mark.parametrize(("height", "width"), [(60, 100), (100, 60), (64, 64), (1, 1), (3, 40), (500, 700)])
def test_tokens_and_the_shown_picture_are_told_as_the_model_has_them(folder, model, height, width):
    reply = model.ask(picture(height, width), ASKED, control())
    inputs = model.encode(picture(height, width), ASKED)
    marks = int((inputs["input_ids"] == model.model.config.image_token_id).sum())
    assert model.tokens_of(width, height) == marks
    cell = 2 * patch_px(folder)
    assert (reply.shown_px[0] // cell) * (reply.shown_px[1] // cell) == marks
    assert reply.shown_px[0] % cell == reply.shown_px[1] % cell == 0
    assert model.shown_size(width, height) == reply.shown_px


def test_the_shown_picture_has_the_shape_of_the_picture_and_the_models_limit(folder, model):
    cell = 2 * patch_px(folder)
    shown = model.ask(picture(2 * cell, 3 * cell), ASKED, control()).shown_px
    assert shown == (3 * cell, 2 * cell)
    wide = model.ask(picture(10 * cell, 40 * cell), ASKED, control()).shown_px  # 400 cells, of which it sees 64
    assert wide == (16 * cell, 4 * cell)


def test_each_generation_has_its_convention(folder, model):
    expected = {"qwen2_5_vl": Convention.PIXELS, "qwen3_vl": Convention.GRID_1000}
    assert model.convention is expected[family_of(folder)]
    assert model.name == folder.name


def test_an_answer_at_the_limit_is_told_to_be_cut_off(model):
    reply = model.ask(picture(), ASKED, control())
    assert reply.is_truncated
    assert reply.tokens_out == 12


def test_an_answer_ends_at_the_models_own_mark_and_is_whole(folder, model, tmp_path):
    inputs = model.encode(picture(), ASKED)
    ids = model.model.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
    end = next(number for number in range(1, 12) if ids[number] not in ids[:number])
    copy = copied(folder, tmp_path)
    changed(copy, "generation_config.json", eos_token_id=[258, int(ids[end])])
    loaded = load_qwen_vl(copy, None, CPU, torch.float32)
    loaded.most_tokens = 12
    reply = loaded.ask(picture(), ASKED, control())
    assert (reply.tokens_out, reply.is_truncated) == (end + 1, False)
    loaded.most_tokens = end + 1  # it ends with the very last token that it may have
    assert not loaded.ask(picture(), ASKED, control()).is_truncated


def test_it_stops_before_the_next_product_with_weights(model):
    asked = []

    def at_the_tenth() -> bool:
        asked.append(1)
        return len(asked) == 10

    with pytest.raises(Cancelled, match="cancelled"):
        model.ask(picture(), ASKED, control(at_the_tenth))
    assert len(asked) == 10


def test_it_is_asked_whether_to_stop_for_each_token_and_no_more_afterwards(model):
    calls = []

    def count() -> bool:
        calls.append(1)
        return False

    model.ask(picture(), ASKED, control(count))
    assert len(calls) > 12 * 14  # two layers of seven products
    before = len(calls)
    model.model.generate(**model.encode(picture(), ASKED), do_sample=False, max_new_tokens=2)
    assert len(calls) == before


def test_marks_in_a_question_stay_words(model):
    odd = ModelQuestion("Say.", "the <|image_pad|> and <|im_end|> thing", {})
    inputs = model.encode(picture(), odd)
    assert int((inputs["input_ids"] == model.model.config.image_token_id).sum()) == model.tokens_of(100, 60)
    assert model.ask(picture(), odd, control()).tokens_out > 0


def test_a_picture_that_is_all_length_is_refused_in_words(model):
    with pytest.raises(EngineError, match="cannot be shown a picture of 500 x 2 pixels"):
        model.ask(picture(2, 500), ASKED, control())
    with pytest.raises(EngineError, match="cannot be shown a picture of 2 x 500 pixels"):
        model.tokens_of(2, 500)
    with pytest.raises(EngineError, match="cannot be shown a picture of 2 x 500 pixels"):
        model.shown_size(2, 500)


def test_the_estimate_grows_with_the_picture_and_the_answer(model):
    little = model.estimate_s(100, 60, 10)
    assert 0 < little < 60
    assert model.estimate_s(100, 60, 1000) > little
    assert model.estimate_s(400, 400, 10) > little


def test_reduced_precision_is_held_and_answers(folder):
    reduced = load_qwen_vl(folder, None, CPU, torch.bfloat16)
    reduced.most_tokens = 4
    assert {value.dtype for value in reduced.model.parameters()} == {torch.bfloat16}
    assert reduced.ask(picture(), ASKED, control()).tokens_out == 4


def test_weights_in_several_files_are_loaded(folder, model, tmp_path):
    copy = copied(folder, tmp_path)
    (copy / "model.safetensors").unlink()
    tiny_qwen(family_of(folder)).save_pretrained(copy, max_shard_size="200KB")
    files = weight_files(copy, None)
    assert len(files) > 1
    loaded = load_qwen_vl(copy, None, CPU, torch.float32)
    loaded.most_tokens = 12
    assert loaded.ask(picture(), ASKED, control()).text == model.ask(picture(), ASKED, control()).text
    files[1].unlink()
    with pytest.raises(ModelError, match=f"There is no {files[1].name} in .*: fetch all files"):
        load_qwen_vl(copy, None, CPU, torch.float32)


def test_a_folder_in_the_older_published_layout_is_loaded(folder, model, tmp_path):
    """The template in a JSON file, and one file for the preparation of pictures."""
    copy = copied(folder, tmp_path)
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").unlink()
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    told = json.loads((copy / "processor_config.json").read_text())["image_processor"]
    (copy / "processor_config.json").unlink()
    limits = told.pop("size")
    told.update(min_pixels=limits["shortest_edge"], max_pixels=limits["longest_edge"])
    (copy / "preprocessor_config.json").write_text(json.dumps(told))
    loaded = load_qwen_vl(copy, None, CPU, torch.float32)
    loaded.most_tokens = 12
    assert loaded.ask(picture(500, 700), ASKED, control()) == model.ask(picture(500, 700), ASKED, control())


@pytest.mark.parametrize("name", ["processor_config.json", "tokenizer.json"])
def test_a_folder_without_one_of_its_files_is_refused_in_words(qwen3, tmp_path, name):
    copy = copied(qwen3, tmp_path)
    (copy / name).unlink()
    with pytest.raises(ModelError, match=r"cannot be loaded .* beside its weights the folder needs config\.json"):
        load_qwen_vl(copy, None, CPU, torch.float32)


def test_a_folder_without_a_chat_template_is_refused_in_words(qwen3, tmp_path):
    copy = copied(qwen3, tmp_path)
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        load_qwen_vl(copy, None, CPU, torch.float32)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for message in messages %}", "end of template"),
        ("{{ messages[0].nothing.nothing }}", "has no attribute"),
        ("{{ raise_exception('no system, please') }}", "no system, please"),
        ("{{ messages[1].content[1].text }}", "it leaves out the picture"),
    ],
)
def test_a_chat_template_that_is_of_no_use_is_refused_in_words(qwen3, tmp_path, template, problem):
    copy = copied(qwen3, tmp_path)
    (copy / "chat_template.jinja").write_text(template)
    with pytest.raises(ModelError, match=rf"chat template in .* cannot be used \(.*{problem}"):
        load_qwen_vl(copy, None, CPU, torch.float32)


def test_a_file_that_is_cut_off_is_refused_in_words(qwen3, tmp_path):
    path = copied(qwen3, tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors \(0\.[0-9] MB\) is damaged or cut off"):
        load_qwen_vl(path.parent, None, CPU, torch.float32)


def test_weights_as_pickles_are_not_taken(qwen3, tmp_path):
    path = copied(qwen3, tmp_path) / "model.safetensors"
    torch.save(load_file(path), path.parent / "pytorch_model.bin")
    path.unlink()
    with pytest.raises(ModelError, match=r"There is no model\.safetensors"):
        load_qwen_vl(path.parent, None, CPU, torch.float32)


def test_weights_that_are_missing_are_named_instead_of_made_up(qwen3, tmp_path):
    path = copied(qwen3, tmp_path) / "model.safetensors"
    state = load_file(path)
    gone = next(name for name in state if name.endswith("layers.1.mlp.up_proj.weight"))
    state.pop(gone)
    save_file(state, path, {"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 that config\.json asks for, such as .*up_proj\.weight"):
        load_qwen_vl(path.parent, None, CPU, torch.float32)


def test_weights_of_another_size_are_refused(qwen3, tmp_path):
    copy = copied(qwen3, tmp_path)
    text = json.loads((copy / "config.json").read_text())["text_config"]
    changed(copy, "config.json", text_config={**text, "intermediate_size": 48})
    with pytest.raises(ModelError, match="tiny-"):
        load_qwen_vl(copy, None, CPU, torch.float32)


def test_a_tokenizer_of_another_model_is_refused(qwen3, tmp_path):
    copy = copied(qwen3, tmp_path)
    changed(copy, "config.json", image_token_id=77)
    with pytest.raises(ModelError, match=r"tokenizer in .* is of another model \(it has token 261 .* 77\)"):
        load_qwen_vl(copy, None, CPU, torch.float32)


def test_code_in_a_folder_is_not_run(qwen3, tmp_path):
    copy = copied(qwen3, tmp_path)
    mark = tmp_path / "ran"
    (copy / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    changed(copy, "config.json", auto_map={"AutoModelForImageTextToText": "evil.Model", "AutoConfig": "evil.Config"})
    changed(copy, "processor_config.json", auto_map={"AutoProcessor": "evil.Processor"})
    changed(copy, "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "evil.Tokenizer"]})
    with contextlib.suppress(ModelError):
        load_qwen_vl(copy, None, CPU, torch.float32)
    assert not mark.exists()


def test_another_convention_holds_until_the_next_order(qwen3):
    loaded = load_qwen_vl(qwen3, None, CPU, torch.float32)
    loaded.configure(9, Convention.PIXELS)
    assert (loaded.most_tokens, loaded.convention) == (9, Convention.PIXELS)
    loaded.configure(12, None)
    assert (loaded.most_tokens, loaded.convention) == (12, Convention.GRID_1000)
