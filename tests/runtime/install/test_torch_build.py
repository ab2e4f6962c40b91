"""Which build of torch computers get."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.runtime.install.machine import Gpu, Machine, read_gpus, this_machine, why_impossible
from rs_textseg_plugin.runtime.install.torch_build import choose_build

LINUX, WINDOWS, MAC = Machine("linux", "x86_64", (2, 36)), Machine("win32", "x86_64"), Machine("darwin", "arm64")


def with_gpu(machine: Machine, driver: tuple[int, int], capability: tuple[int, int]) -> Machine:
    gpu = Gpu("RTX", driver, capability, 8 * 2**30)
    return Machine(machine.system, machine.processor, machine.libc, gpus=(gpu,))


def test_each_computer_gets_the_build_that_computes_on_what_it_has(subtests):
    rows = (
        (LINUX, "cpu", "the CPU"),
        (WINDOWS, "", "the CPU"),
        (MAC, "", "Apple's GPU"),
        (with_gpu(LINUX, (580, 65), (7, 5)), "cu130", "RTX"),
        (with_gpu(WINDOWS, (610, 0), (12, 0)), "cu130", "RTX"),
        (with_gpu(WINDOWS, (560, 94), (8, 9)), "cu126", "RTX"),
        (with_gpu(WINDOWS, (580, 0), (6, 1)), "cu126", "RTX"),
        (with_gpu(LINUX, (525, 60), (5, 0)), "cu126", "RTX"),
    )
    for machine, name, device in rows:
        with subtests.test(machine=machine):
            build = choose_build(machine)
            assert (build.name, build.device, build.note) == (name, device, "")
            assert build.index == (f"https://download.pytorch.org/whl/{name}" if name else "")


def test_a_gpu_that_no_build_can_use_leaves_the_cpu_and_the_reason(subtests):
    rows = (
        ((580, 0), (3, 5), "too old for this PyTorch"),
        ((470, 0), (8, 6), "Update the driver to version 525"),
        ((560, 0), (12, 0), "Update the driver to version 580"),
    )
    for driver, capability, words in rows:
        with subtests.test(words):
            build = choose_build(with_gpu(LINUX, driver, capability))
            assert build.name == "cpu"
            assert words in build.note


def test_the_cpu_can_be_asked_for_and_cuda_only_where_there_is_a_gpu():
    assert choose_build(with_gpu(LINUX, (580, 0), (9, 0)), "cpu").name == "cpu"
    with pytest.raises(RecipeError, match="No NVIDIA GPU was found"):
        choose_build(LINUX, "cuda")
    with pytest.raises(RecipeError, match="'tpu'"):
        choose_build(LINUX, "tpu")


def test_what_nvidias_tool_lists_is_read_and_its_complaints_are_not():
    listed = "NVIDIA GeForce RTX 4070, 560.94, 8.9, 12282\nTesla T4, 535.1, 7.5, [N/A]\nNo devices were found"
    assert read_gpus(listed) == (
        Gpu("NVIDIA GeForce RTX 4070", (560, 94), (8, 9), 12282 * 2**20),
        Gpu("Tesla T4", (535, 1), (7, 5), 0),
    )
    assert read_gpus("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") == ()


def test_computers_that_cannot_run_the_engine_are_told_so_before_any_download(subtests):
    rows = (
        (Machine("darwin", "x86_64"), "Intel processor"),
        (Machine("linux", "x86_64", (0, 0)), "musl"),
        (Machine("linux", "i686", (2, 36)), "64-bit"),
        (Machine("freebsd14", "x86_64"), "freebsd14"),
    )
    for machine, words in rows:
        with subtests.test(words):
            assert words in why_impossible(machine)
    assert [why_impossible(machine) for machine in (LINUX, WINDOWS, MAC)] == ["", "", ""]


def test_this_computer_can_run_the_engine():
    assert why_impossible(this_machine()) == ""
