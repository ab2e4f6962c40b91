from __future__ import annotations

import gc
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_detector import write_tiny_detector
from tiny_models import open_clip, tiny_clip, tiny_sam
from tiny_qwen import save_tiny_adapter, save_tiny_qwen
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.catalog import ModelFile
from rs_textseg_plugin.engine.loading.files import Checkpoint, resolve_set, verified
from rs_textseg_plugin.engine.loading.model_cache import ModelShelf, ObservationCache

CPU = torch.device("cpu")


def checkpoints_in(folder: Path) -> tuple[Checkpoint, Checkpoint]:
    found = resolve_set(str(folder), ("sam", "clip")).checkpoints
    return found["sam"], found["clip"]


@pytest.fixture(scope="module")
def other_models(tmp_path_factory) -> Path:
    """The same architectures with other weights."""
    folder = tmp_path_factory.mktemp("other_models")
    torch.save(tiny_sam(1).state_dict(), folder / "sam_other.pth")
    torch.save(tiny_clip(1).state_dict(), folder / "clip_other.pt")
    return folder


def test_a_model_is_loaded_once(tiny_models, tmp_path):
    folder = Path(shutil.copytree(tiny_models, tmp_path / "set"))
    sam, clip = checkpoints_in(folder)
    shelf = ModelShelf()
    first_sam, first_clip = shelf.sam(sam, CPU, torch.float32), shelf.clip(clip, CPU, torch.float32)
    shutil.rmtree(folder)  # a second load would fail
    assert shelf.sam(sam, CPU, torch.float32) is first_sam
    assert shelf.clip(clip, CPU, torch.float32) is first_clip


def test_a_copy_of_the_same_weights_elsewhere_is_the_same_model(tiny_models, tmp_path):
    here = checkpoints_in(tiny_models)
    there = checkpoints_in(Path(shutil.copytree(tiny_models, tmp_path / "copy")))
    shelf = ModelShelf()
    assert shelf.sam(here[0], CPU, torch.float32) is shelf.sam(there[0], CPU, torch.float32)
    assert shelf.clip(here[1], CPU, torch.float32) is shelf.clip(there[1], CPU, torch.float32)


def test_a_detector_is_loaded_once_and_another_makes_room(tmp_path):
    paths = [write_tiny_detector(tmp_path / f"{seed}", seed) for seed in (1, 2)]
    checkpoints = [verified(path, ModelFile("detector", path.name)) for path in paths]
    shelf = ModelShelf()
    first = shelf.detector(checkpoints[0], CPU, torch.float32)
    shutil.rmtree(tmp_path / "1")  # a second load would fail
    assert shelf.detector(checkpoints[0], CPU, torch.bfloat16) is first
    assert first.dtype == torch.bfloat16
    gone = weakref.ref(first)
    del first
    shelf.detector(checkpoints[1], CPU, torch.float32)
    gc.collect()
    assert gone() is None


def test_a_vision_language_model_is_loaded_once_and_another_makes_room(tmp_path):
    folders = [save_tiny_qwen(tmp_path / str(seed), "qwen3_vl", seed) for seed in (1, 2)]
    shelf = ModelShelf()
    first = shelf.vlm(folders[0], None, CPU, torch.float32)
    (folders[0] / "config.json").unlink()  # a second load would fail
    assert shelf.vlm(folders[0], None, CPU, torch.float32) is first
    gone = weakref.ref(first)
    del first
    shelf.vlm(folders[1], None, CPU, torch.float32)
    gc.collect()
    assert gone() is None


def test_another_adapter_precision_or_file_is_another_vision_language_model(tmp_path):
    folder, adapter = save_tiny_qwen(tmp_path / "vlm", "qwen3_vl"), save_tiny_adapter(tmp_path / "lora", "qwen3_vl")
    shelf = ModelShelf()
    plain = shelf.vlm(folder, None, CPU, torch.float32)
    assert shelf.vlm(folder, adapter, CPU, torch.float32).name == "vlm+lora"
    reduced = shelf.vlm(folder, None, CPU, torch.bfloat16)
    assert (plain.model.dtype, reduced.model.dtype) == (torch.float32, torch.bfloat16)
    exact = shelf.vlm(folder, None, CPU, torch.float32)
    assert torch.equal(exact.model.lm_head.weight, plain.model.lm_head.weight)
    reduced = shelf.vlm(folder, None, CPU, torch.bfloat16)
    save_tiny_qwen(folder, "qwen3_vl", 3)
    assert shelf.vlm(folder, None, CPU, torch.bfloat16) is not reduced


def test_an_upsampler_is_loaded_once_and_another_makes_room(tmp_path):
    checkpoints = []
    for seed in (1, 2):
        torch.save(published_state(8, seed=seed), tmp_path / f"{seed}.ckpt")
        checkpoints.append(verified(tmp_path / f"{seed}.ckpt", ModelFile("upsampler", f"{seed}.ckpt")))
    shelf = ModelShelf()
    first = shelf.upsampler(checkpoints[0], CPU, torch.float32)
    assert shelf.upsampler(checkpoints[0], CPU, torch.bfloat16) is first
    assert first.dtype == torch.bfloat16
    assert shelf.upsampler(checkpoints[1], CPU, torch.float32) is not first
    assert shelf.upsampler(checkpoints[0], CPU, torch.float32) is not first


def test_another_set_makes_room(tiny_models, other_models):
    shelf = ModelShelf()
    sam, clip = checkpoints_in(tiny_models)
    gone = [weakref.ref(shelf.sam(sam, CPU, torch.float32)), weakref.ref(shelf.clip(clip, CPU, torch.float32))]
    other_sam, other_clip = checkpoints_in(other_models)
    held = [shelf.sam(other_sam, CPU, torch.float32), shelf.clip(other_clip, CPU, torch.float32)]
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    weights = held[0].sam.state_dict()["mask_decoder.iou_token.weight"]
    assert torch.equal(weights, tiny_sam(1).state_dict()["mask_decoder.iou_token.weight"])


def test_another_sam_leaves_the_clip_where_it_is(tiny_models, other_models):
    shelf = ModelShelf()
    sam, clip = checkpoints_in(tiny_models)
    kept = shelf.clip(clip, CPU, torch.float32)
    shelf.sam(sam, CPU, torch.float32)
    shelf.sam(checkpoints_in(other_models)[0], CPU, torch.float32)
    assert shelf.clip(clip, CPU, torch.float32) is kept


def test_the_same_weights_in_another_architecture_are_another_model(tmp_path):
    architecture, path, digest = "ViT-S-32-alt", tmp_path / "small.pt", "0" * 64
    torch.save(open_clip.create_model(architecture).state_dict(), path)
    shelf = ModelShelf()
    told = shelf.clip(Checkpoint("clip", path, "", digest), CPU, torch.float32)
    named = shelf.clip(Checkpoint("clip", path, architecture, digest), CPU, torch.float32)
    assert named is not told
    assert told.model.visual.transformer.layers == named.model.visual.transformer.layers


def test_a_model_from_the_shelf_has_the_device_and_precision_that_are_asked_for(tiny_models):
    shelf = ModelShelf()
    sam, clip = checkpoints_in(tiny_models)
    for dtype in (torch.float32, torch.bfloat16, torch.float32):
        for model in (shelf.sam(sam, CPU, dtype), shelf.clip(clip, CPU, dtype)):
            assert (model.device, model.dtype) == (CPU, dtype)


@dataclass(frozen=True, eq=False)
class Seen:
    values: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


def seen(size_bytes: int) -> Seen:
    return Seen(np.zeros(size_bytes, np.uint8))


def is_held(cache: ObservationCache, key: object, size_bytes: int) -> bool:
    """Whether nothing is made for that key; what is not held is held afterwards."""
    made = []

    def make() -> Seen:
        made.append(key)
        return seen(size_bytes)

    cache.get_or_make(key, make)
    return not made


def test_an_observation_is_made_once():
    cache = ObservationCache(100)
    first = cache.get_or_make("a", lambda: seen(10))
    assert cache.get_or_make("a", lambda: seen(10)) is first
    assert cache.get_or_make("b", lambda: seen(10)) is not first


def test_the_observation_used_longest_ago_is_dropped_when_the_bytes_are_spent():
    cache = ObservationCache(100)
    for key in "abc":
        cache.get_or_make(key, lambda: seen(30))
    assert is_held(cache, "a", 30)  # so b is now the oldest
    cache.get_or_make("d", lambda: seen(30))
    assert [is_held(cache, key, 30) for key in "acd"] == [True, True, True]
    assert not is_held(cache, "b", 30)


def test_a_cache_that_is_just_full_drops_nothing():
    cache = ObservationCache(90)
    for key in "abc":
        cache.get_or_make(key, lambda: seen(30))
    assert [is_held(cache, key, 30) for key in "abc"] == [True, True, True]


def test_one_large_observation_drops_as_many_as_it_needs():
    cache = ObservationCache(100)
    for key in "abcd":
        cache.get_or_make(key, lambda: seen(25))
    cache.get_or_make("large", lambda: seen(60))
    assert [is_held(cache, key, 25) for key in ("d", "large")] == [True, True]
    assert not is_held(cache, "c", 25)


def test_dropped_bytes_are_free_again():
    cache = ObservationCache(100)
    for number in range(20):
        cache.get_or_make(number, lambda: seen(50))
    assert [is_held(cache, key, 50) for key in (18, 19)] == [True, True]


def test_an_observation_larger_than_the_cache_is_held_until_the_next_one():
    cache = ObservationCache(100)
    cache.get_or_make("large", lambda: seen(500))
    assert is_held(cache, "large", 500)
    cache.get_or_make("small", lambda: seen(10))
    assert is_held(cache, "small", 10)
    assert not is_held(cache, "large", 500)


def test_what_failed_to_be_made_is_not_held():
    cache = ObservationCache(100)

    def fail() -> Seen:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        cache.get_or_make("a", fail)
    assert not is_held(cache, "a", 10)
    assert is_held(cache, "a", 10)
