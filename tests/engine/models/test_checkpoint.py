"""Checkpoint files as people have them: whole, damaged, foreign, and dangerous."""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import tiny_clip, tiny_sam

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.checkpoint import (
    load_state_dict,
    peek_keys_and_shapes,
    read_metadata,
    shapes_of,
)
from rs_textseg_plugin.engine.models.kinds import checkpoint_role, require_role
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

DATA = Path(__file__).parents[2] / "data"
WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1, 2], dtype=torch.float16)}


def save(content: object, path: Path, **options) -> Path:
    torch.save(content, path, **options)
    return path


def save_safetensors(path: Path, metadata: dict[str, str] | None = None) -> Path:
    save_file(WEIGHTS, path, metadata)
    return path


def torchscript_archive(path: Path) -> Path:
    """As OpenAI publishes CLIP: a TorchScript archive with three numbers among its weights."""
    return Path(shutil.copyfile(DATA / "openai_layout.pt", path))


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: save(WEIGHTS, folder / "a.pth"),
        lambda folder: save(WEIGHTS, folder / "a.bin", _use_new_zipfile_serialization=False),
        lambda folder: save_safetensors(folder / "a.safetensors"),
        lambda folder: save({"state_dict": WEIGHTS, "epoch": 3}, folder / "a.ckpt"),
        lambda folder: save({"model": WEIGHTS, "lr": 0.1}, folder / "a.pt"),
        lambda folder: save({f"module.{key}": value for key, value in WEIGHTS.items()}, folder / "a.pth"),
        lambda folder: save({**WEIGHTS, "iteration": 7}, folder / "a.pth"),
    ],
    ids=["zip", "before torch 1.6", "safetensors", "state_dict", "model", "module.", "with a number"],
)
def test_the_weights_come_back_as_they_were_saved(write, tmp_path):
    path = write(tmp_path)
    state = load_state_dict(path)
    assert state.keys() == WEIGHTS.keys()
    for key, value in WEIGHTS.items():
        assert torch.equal(state[key], value)
        assert state[key].dtype == value.dtype
    assert peek_keys_and_shapes(path) == {"a.weight": (2, 3), "a.bias": (2,)}


def test_what_training_scripts_keep_beside_the_weights_does_not_hide_them(tmp_path):
    """Everything here is known to torch's own reader of weights."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    weights = {
        **model.state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "half": torch.zeros(2, dtype=torch.bfloat16),
        "eighth": torch.zeros(4).to(torch.float8_e4m3fn),
        "complex": torch.zeros(2, dtype=torch.complex64),
        "view": torch.arange(12.0).reshape(3, 4).t()[1:],
        "none": torch.zeros(0, 5),
        "one": torch.tensor(True),
    }
    beside = {
        "optimizer": optimizer.state_dict(), "size": torch.Size([1, 2]), "dtype": torch.float16, "names": ["a", ("b",)],
        "device": torch.device("cpu"), "large": 2**70, "rate": 1e-3, "words": {"x", "y"}, "none": None,
        "counts": Counter("aab"),
    }  # fmt: skip
    path = save({"state_dict": OrderedDict(weights), **beside}, tmp_path / "run.ckpt")
    state = load_state_dict(path)
    assert list(state) == list(weights)
    assert peek_keys_and_shapes(path) == shapes_of(weights) == shapes_of(state)


def test_an_archive_as_openai_publishes_clip_gives_its_weights_without_the_numbers(tmp_path):
    path = torchscript_archive(tmp_path / "ViT.pt")
    wanted = {
        "logit_scale": torch.tensor(2.5),
        "visual.proj": torch.arange(12.0).reshape(3, 4).t().half(),
        "visual.mean": torch.tensor([0.5, 0.25]),
        "visual.layers.0.weight": torch.arange(6.0).reshape(3, 2),
        "visual.layers.1.weight": torch.arange(6.0).reshape(2, 3) + 1,
    }
    state = load_state_dict(path)
    assert state.keys() == wanted.keys()  # neither the numbers nor visual.mask, which is no weight
    for key, value in wanted.items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value)
    assert peek_keys_and_shapes(path) == shapes_of(wanted)


def test_a_safetensors_header_is_read(tmp_path):
    assert read_metadata(save_safetensors(tmp_path / "a.safetensors", {"sam_config": "{}"})) == {"sam_config": "{}"}
    assert read_metadata(save_safetensors(tmp_path / "b.safetensors")) == {}
    assert read_metadata(save(WEIGHTS, tmp_path / "c.pth")) == {}


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
@pytest.mark.parametrize(
    "write",
    [
        lambda folder: save(tiny_sam().state_dict(), folder / "a.pth"),
        lambda folder: save(WEIGHTS, folder / "a.bin", _use_new_zipfile_serialization=False),
        lambda folder: save_safetensors(folder / "a.safetensors"),
        lambda folder: torchscript_archive(folder / "a.pt"),
    ],
    ids=["zip", "before torch 1.6", "safetensors", "torchscript"],
)
def test_a_file_that_was_cut_off_is_called_damaged(write, share, tmp_path):
    path = cut(write(tmp_path), share)
    for read in (load_state_dict, peek_keys_and_shapes):
        with pytest.raises(ModelError, match="is damaged or cut off: fetch it again") as failure:
            read(path)
        assert str(path) in str(failure.value)
        assert_one_line(failure.value)


def assert_one_line(error: ModelError) -> None:
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("use_zip", [True, False])
def test_wherever_a_file_is_cut_off_it_is_refused_in_words(use_zip, tmp_path):
    path = save(WEIGHTS, tmp_path / "a.bin", _use_new_zipfile_serialization=use_zip)
    content = path.read_bytes()
    for length in range(4, len(content) - 1, 3):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            load_state_dict(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("use_zip", [True, False])
def test_wherever_bytes_are_changed_the_file_is_read_or_refused_in_words(use_zip, tmp_path):
    path = save(WEIGHTS, tmp_path / "a.bin", _use_new_zipfile_serialization=use_zip)
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            load_state_dict(path)
        except ModelError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("random.pth", bytes(range(7, 207)) * 40, "is not a checkpoint .it begins with"),
        ("page.pth", b"<!DOCTYPE html><html>Sign in", "is not a checkpoint .it begins with b'<!DO'.: fetch it again"),
        ("note.pth", b"Not found", "is not a checkpoint"),
        ("empty.pth", b"", "is empty .0 bytes.: fetch it again"),
        ("random.safetensors", bytes(range(7, 207)) * 40, "is damaged or cut off"),
        ("empty.safetensors", b"", "is empty"),
        ("other.zip", b"PK\x03\x04 and then something else", "is damaged or cut off"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(name, content, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (load_state_dict, peek_keys_and_shapes):
        with pytest.raises(ModelError, match=words) as failure:
            read(path)
        assert_one_line(failure.value)


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors"])
def test_a_missing_file_is_named(name, tmp_path):
    for read in (load_state_dict, peek_keys_and_shapes):
        with pytest.raises(ModelError, match=r"There is no checkpoint .*none"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["folder.pth", "folder.safetensors"])
def test_a_folder_is_named(name, tmp_path):
    (tmp_path / name).mkdir()
    for read in (load_state_dict, peek_keys_and_shapes):
        with pytest.raises(ModelError, match="is a folder, not a checkpoint"):
            read(tmp_path / name)


class Dangerous:
    """Unpickling it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("use_zip", [True, False])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(use_zip, tmp_path):
    trace = tmp_path / "it_ran"
    path = save({**WEIGHTS, "x": Dangerous(trace)}, tmp_path / "a.pth", _use_new_zipfile_serialization=use_zip)
    for read in (load_state_dict, peek_keys_and_shapes):
        with pytest.raises(ModelError, match=r"mkdir\), which may run code .* take a .safetensors file") as failure:
            read(path)
        assert_one_line(failure.value)
    assert not trace.exists()


def test_a_plain_pickle_is_refused_and_does_not_run(tmp_path):
    trace = tmp_path / "it_ran"
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({"x": Dangerous(trace)}))
    with pytest.raises(ModelError, match="is a plain Python pickle, which may run code"):
        load_state_dict(path)
    assert not trace.exists()


def test_settings_beside_the_weights_are_refused_by_their_name(tmp_path):
    path = save({"model": WEIGHTS, "args": argparse.Namespace(lr=1)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"holds more than weights \(argparse\.Namespace\)"):
        load_state_dict(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3, "lr": 0.1}, "holds no weights but the keys epoch, lr"),
        ({}, "holds no weights but nothing"),
        ([torch.zeros(2)], "holds a list, not named weights"),
        (torch.zeros(2), "holds a Tensor, not named weights"),
    ],
)
def test_a_file_without_named_weights_is_foreign(content, words, tmp_path):
    with pytest.raises(ModelError, match=words):
        load_state_dict(save(content, tmp_path / "a.pth"))


def resnet_shapes() -> dict[str, tuple[int, ...]]:
    ensure_torchvision()
    from torchvision.models import resnet18

    with torch.device("meta"):
        return shapes_of(resnet18().state_dict())


def test_the_role_is_told_from_the_keys():
    assert checkpoint_role(shapes_of(tiny_sam().state_dict())) == "sam"
    assert checkpoint_role(shapes_of(tiny_clip().state_dict())) == "clip"
    assert checkpoint_role({"visual.trunk.x": (1,), "text.transformer.y": (1,)}) == "clip"
    assert checkpoint_role(resnet_shapes()) is None
    assert checkpoint_role({"visual.proj": (1, 2)}) is None  # an image tower without text
    assert checkpoint_role({}) is None


@pytest.mark.parametrize(
    ("shapes", "role", "words"),
    [
        (
            resnet_shapes,
            "sam",
            "resnet.pth is not a SAM checkpoint, it holds the keys conv1.weight, .*, .*, ...: choose",
        ),
        (resnet_shapes, "clip", "is not a CLIP checkpoint, it holds the keys conv1.weight"),
        (lambda: shapes_of(tiny_sam().state_dict()), "clip", "is not a CLIP checkpoint, it holds a SAM model"),
    ],
)
def test_a_checkpoint_of_another_role_is_refused_with_what_it_holds(shapes, role, words):
    with pytest.raises(ModelError, match=words):
        require_role(shapes(), role, Path("resnet.pth"))


def test_a_checkpoint_of_the_right_role_passes():
    shapes = shapes_of(tiny_sam().state_dict())
    assert checkpoint_role(shapes) == "sam"
    require_role(shapes, "sam", Path("sam.pth"))
