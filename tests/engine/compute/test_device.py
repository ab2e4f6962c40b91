from __future__ import annotations

import pytest
import torch

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.engine.compute.device import Budget, choose_device, choose_dtype, describe, is_memory_error


def test_memory_is_given_up_in_steps_batch_then_tiles_then_the_device():
    budget = Budget(torch.device("cuda"), smallest_batch_divisor=4)
    seen = []
    while budget.shrink():
        seen.append((budget.batch(64), budget.tiles_in_flight, budget.device.type))
    assert seen[:4] == [(32, 3, "cuda"), (16, 3, "cuda"), (16, 1, "cuda"), (64, 3, "cpu")]
    assert seen[4:] == [(32, 3, "cpu"), (16, 3, "cpu"), (16, 1, "cpu")]
    assert len(budget.notes) == len(seen)
    assert "the CPU was used" in budget.notes[3]


def test_a_batch_is_never_empty():
    assert Budget(torch.device("cpu"), batch_divisor=64).batch(20) == 1


def test_memory_errors_are_told_from_other_errors():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60)
    assert is_memory_error(refused.value)
    assert is_memory_error(MemoryError())
    assert is_memory_error(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_memory_error(RuntimeError("shape mismatch"))
    assert not is_memory_error(ValueError("out of memory"))


@pytest.mark.parametrize("wanted", ["tpu9", "cuda:99", "cuda"])
def test_a_device_that_is_not_there_is_refused_in_words(wanted):
    if wanted == "cuda" and torch.cuda.is_available():
        assert choose_device(wanted).type == "cuda"
        return
    with pytest.raises(RecipeError, match=wanted):
        choose_device(wanted)


def test_auto_takes_fp32_on_the_cpu():
    cpu = choose_device("cpu")
    assert choose_dtype("auto", cpu) == torch.float32
    assert choose_dtype("bf16", cpu) == torch.bfloat16
    assert describe(cpu, torch.float32).startswith("CPU with ")
    with pytest.raises(RecipeError, match="fp8"):
        choose_dtype("fp8", cpu)
