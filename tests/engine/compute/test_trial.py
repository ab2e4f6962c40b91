"""Devices that are offered and do not compute. The machine of these tests has no GPU: torch itself says what fails."""

from __future__ import annotations

import warnings

import pytest
import torch

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.engine.compute import trial
from rs_textseg_plugin.engine.compute.device import choose_device
from rs_textseg_plugin.engine.compute.trial import find_device, why_unusable


@pytest.fixture
def offered(monkeypatch):
    """Let torch offer a GPU of a kind, whether there is one or not."""
    forget = (trial.why_unusable, trial._why_cuda_is_not_offered)
    for function in forget:
        function.cache_clear()
    yield lambda backend: monkeypatch.setattr(backend, "is_available", lambda: True)
    for function in forget:
        function.cache_clear()


def fails_with(monkeypatch, words):
    def fail(device):
        raise RuntimeError(words)

    monkeypatch.setattr(trial, "_operations", fail)


def test_the_processor_computes_and_a_device_without_numbers_does_not():
    assert why_unusable(torch.device("cpu")) == ""
    assert why_unusable(torch.device("meta"))


def test_auto_takes_the_cpu_where_an_offered_gpu_does_not_compute_and_says_why(offered, monkeypatch):
    offered(torch.backends.mps)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device, note = find_device()
    assert device.type == "cpu"
    assert note.startswith("The GPU was not used (")
    assert "mps" in note.lower()
    assert choose_device("auto").type == "cpu"


@pytest.mark.filterwarnings("ignore:CUDA initialization")  # the real one warns once a process
def test_a_driver_that_is_too_old_for_torch_to_offer_the_gpu_is_told(offered, monkeypatch):
    def warn():
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old (found 11040).", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warn)
    assert "update the driver" in find_device()[1]


def test_auto_says_nothing_where_no_gpu_is_offered():
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert (find_device()[0].type == "cpu") != has_gpu
    assert find_device()[1] == ""


def test_a_device_that_was_named_and_does_not_compute_is_refused_with_the_reason(offered, monkeypatch):
    offered(torch.backends.mps)
    fails_with(monkeypatch, "The operator 'aten::x' is not currently implemented for the MPS device.\nMore words")
    with pytest.raises(
        RecipeError, match=r"'mps' does not compute \(The operator 'aten::x' is not .* MPS device\): choo"
    ):
        choose_device("mps")


def test_what_fails_is_told_with_its_cure(offered, monkeypatch, subtests):
    rows = (
        ("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors", "has no code for"),
        ("CUDA driver version is insufficient for CUDA runtime version", "update the driver"),
        ("The NVIDIA driver on your system is too old (found version 11040).", "update the driver"),
        ("CUDA out of memory. Tried to allocate 2 MiB", "close other programs"),
    )
    for words, cure in rows:
        with subtests.test(words):
            fails_with(monkeypatch, words)
            why_unusable.cache_clear()
            assert cure in why_unusable(torch.device("cpu"))


def test_wrong_numbers_are_a_reason_too(offered, monkeypatch):
    numbers = iter([torch.zeros(2), torch.ones(2)])
    monkeypatch.setattr(trial, "_operations", lambda device: next(numbers))
    assert why_unusable(torch.device("cpu")) == "it computes wrong numbers"
