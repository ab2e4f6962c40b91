from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from published_layouts import write_open_clip
from tiny_detector import write_tiny_detector
from tiny_models import open_clip, tiny_clip, tiny_sam
from tiny_qwen import save_tiny_adapter, save_tiny_qwen
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.catalog import ModelFile
from rs_textseg_plugin.engine.loading.files import Checkpoint, resolve_set, verified
from rs_textseg_plugin.engine.loading.model_cache import ModelCache

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
    cache = ModelCache()
    first_sam, first_clip = cache.get(sam, CPU, torch.float32), cache.get(clip, CPU, torch.float32)
    shutil.rmtree(folder)  # a second load would fail
    assert cache.get(sam, CPU, torch.float32) is first_sam
    assert cache.get(clip, CPU, torch.float32) is first_clip


def test_a_copy_of_the_same_weights_elsewhere_is_the_same_model(tiny_models, tmp_path):
    here = checkpoints_in(tiny_models)
    there = checkpoints_in(Path(shutil.copytree(tiny_models, tmp_path / "copy")))
    cache = ModelCache()
    assert cache.get(here[0], CPU, torch.float32) is cache.get(there[0], CPU, torch.float32)
    assert cache.get(here[1], CPU, torch.float32) is cache.get(there[1], CPU, torch.float32)


def test_a_detector_is_loaded_once_and_another_makes_room(tmp_path):
    paths = [write_tiny_detector(tmp_path / f"{seed}", seed) for seed in (1, 2)]
    checkpoints = [verified(ModelFile("detector", path.name), path.parent) for path in paths]
    cache = ModelCache()
    first = cache.get(checkpoints[0], CPU, torch.float32)
    shutil.rmtree(tmp_path / "1")  # a second load would fail
    assert cache.get(checkpoints[0], CPU, torch.bfloat16) is first
    assert first.dtype == torch.bfloat16
    gone = weakref.ref(first)
    del first
    cache.get(checkpoints[1], CPU, torch.float32)
    gc.collect()
    assert gone() is None


def test_a_vision_language_model_is_loaded_once_and_another_makes_room(tmp_path):
    folders = [save_tiny_qwen(tmp_path / str(seed), "qwen3_vl", seed) for seed in (1, 2)]
    cache = ModelCache()
    first = cache.get_vlm(folders[0], None, CPU, torch.float32)
    (folders[0] / "config.json").unlink()  # a second load would fail
    assert cache.get_vlm(folders[0], None, CPU, torch.float32) is first
    gone = weakref.ref(first)
    del first
    cache.get_vlm(folders[1], None, CPU, torch.float32)
    gc.collect()
    assert gone() is None


def test_another_adapter_precision_or_file_is_another_vision_language_model(tmp_path):
    folder, adapter = save_tiny_qwen(tmp_path / "vlm", "qwen3_vl"), save_tiny_adapter(tmp_path / "lora", "qwen3_vl")
    cache = ModelCache()
    plain = cache.get_vlm(folder, None, CPU, torch.float32)
    assert cache.get_vlm(folder, adapter, CPU, torch.float32).name == "vlm+lora"
    reduced = cache.get_vlm(folder, None, CPU, torch.bfloat16)
    assert (plain.model.dtype, reduced.model.dtype) == (torch.float32, torch.bfloat16)
    exact = cache.get_vlm(folder, None, CPU, torch.float32)
    assert torch.equal(exact.model.lm_head.weight, plain.model.lm_head.weight)
    reduced = cache.get_vlm(folder, None, CPU, torch.bfloat16)
    save_tiny_qwen(folder, "qwen3_vl", 3)
    assert cache.get_vlm(folder, None, CPU, torch.bfloat16) is not reduced


def test_an_upsampler_is_loaded_once_and_another_makes_room(tmp_path):
    checkpoints = []
    for seed in (1, 2):
        torch.save(published_state(8, seed=seed), tmp_path / f"{seed}.ckpt")
        checkpoints.append(verified(ModelFile("upsampler", f"{seed}.ckpt"), tmp_path))
    cache = ModelCache()
    first = cache.get(checkpoints[0], CPU, torch.float32)
    assert cache.get(checkpoints[0], CPU, torch.bfloat16) is first
    assert first.dtype == torch.bfloat16
    assert cache.get(checkpoints[1], CPU, torch.float32) is not first
    assert cache.get(checkpoints[0], CPU, torch.float32) is not first


def test_another_set_makes_room(tiny_models, other_models):
    cache = ModelCache()
    sam, clip = checkpoints_in(tiny_models)
    gone = [weakref.ref(cache.get(sam, CPU, torch.float32)), weakref.ref(cache.get(clip, CPU, torch.float32))]
    other_sam, other_clip = checkpoints_in(other_models)
    held = [cache.get(other_sam, CPU, torch.float32), cache.get(other_clip, CPU, torch.float32)]
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    weights = held[0].sam.state_dict()["mask_decoder.iou_token.weight"]
    assert torch.equal(weights, tiny_sam(1).state_dict()["mask_decoder.iou_token.weight"])


def test_another_sam_leaves_the_clip_where_it_is(tiny_models, other_models):
    cache = ModelCache()
    sam, clip = checkpoints_in(tiny_models)
    kept = cache.get(clip, CPU, torch.float32)
    cache.get(sam, CPU, torch.float32)
    cache.get(checkpoints_in(other_models)[0], CPU, torch.float32)
    assert cache.get(clip, CPU, torch.float32) is kept


def test_the_same_weights_in_another_architecture_are_another_model(tmp_path):
    architecture, path, digest = "ViT-S-32-alt", tmp_path / "small.pt", "0" * 64
    torch.save(open_clip.create_model(architecture).state_dict(), path)
    cache = ModelCache()
    told = cache.get(Checkpoint("clip", path, "", digest), CPU, torch.float32)
    named = cache.get(Checkpoint("clip", path, architecture, digest), CPU, torch.float32)
    assert named is not told
    assert told.model.visual.transformer.layers == named.model.visual.transformer.layers


def test_a_configuration_that_is_put_beside_a_checkpoint_makes_another_model_of_it(tmp_path):
    folder = write_open_clip(tmp_path / "clip", quick_gelu=True)
    config = (folder / "open_clip_config.json").rename(tmp_path / "later.json")
    cache, before = ModelCache(), resolve_set(str(folder), ("clip",))
    guessed = cache.get(before.checkpoints["clip"], CPU, torch.float32)
    config.rename(folder / "open_clip_config.json")
    after = resolve_set(str(folder), ("clip",))
    settled = cache.get(after.checkpoints["clip"], CPU, torch.float32)
    assert before.identity != after.identity
    assert settled is not guessed
    assert "QuickGELU" in str(settled.model.visual)
    assert "QuickGELU" not in str(guessed.model.visual)


def test_a_model_from_the_cache_has_the_device_and_precision_that_are_asked_for(tiny_models):
    cache = ModelCache()
    sam, clip = checkpoints_in(tiny_models)
    for dtype in (torch.float32, torch.bfloat16, torch.float32):
        for model in (cache.get(sam, CPU, dtype), cache.get(clip, CPU, dtype)):
            assert (model.device, model.dtype) == (CPU, dtype)
