"""What the lock holds, and that it names the wheels that pip would take; `packaging` is what pip itself asks."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags, mac_platforms, sys_tags
from packaging.utils import parse_wheel_filename

from rs_textseg_plugin.contract import folders
from rs_textseg_plugin.contract.errors import EngineUnavailable
from rs_textseg_plugin.contract.folders import package_file
from rs_textseg_plugin.runtime.install.lock import (
    REQUIREMENTS,
    WHEELS,
    Target,
    canonical,
    fit_of,
    holds,
    read_lock,
    read_pins,
)
from stage import ROOT

LINUX = Target((3, 11), "linux", "x86_64", (2, 36))
TARGETS = [
    replace(target, python=python)
    for python in ((3, 11), (3, 12), (3, 13), (3, 14))
    for target in (
        LINUX,
        Target((3, 11), "linux", "x86_64", (2, 28)),
        Target((3, 11), "linux", "arm64", (2, 39)),
        Target((3, 11), "win32", "x86_64"),
        Target((3, 11), "darwin", "arm64", (0, 0), (14, 5)),
        Target((3, 11), "darwin", "arm64", (0, 0), (26, 1)),
    )
]
OLD_NAMES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
FILE_NAMES = [
    f"some-1.0-{tags}.whl"
    for tags in (
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux_2_27_x86_64.manylinux_2_31_x86_64",
        "cp311-cp311-manylinux2014_x86_64",
        "cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64",
        "cp311-cp311-manylinux_2_40_x86_64",
        "cp311-cp311-musllinux_1_2_x86_64",
        "cp311-cp311-win_amd64",
        "cp311-cp311-win32",
        "cp311-cp311-macosx_11_0_arm64",
        "cp311-cp311-macosx_14_0_arm64",
        "cp311-cp311-macosx_14_3_arm64",
        "cp311-cp311-macosx_15_0_arm64",
        "cp311-cp311-macosx_10_9_universal2",
        "cp311-cp311-macosx_11_0_universal2",
        "cp311-cp311-macosx_10_9_x86_64",
        "cp311-abi3-win_amd64",
        "cp38-abi3-win_amd64",
        "cp310-abi3-win_amd64",
        "cp312-abi3-win_amd64",
        "cp38-abi3-manylinux1_x86_64",
        "cp38-cp38-win_amd64",
        "cp313-cp313t-win_amd64",
        "cp314-cp314t-manylinux_2_28_x86_64",
        "cp311-none-win_amd64",
        "cp310-none-win_amd64",
        "cp311-none-any",
        "cp310-none-any",
        "py3-none-win_amd64",
        "py311-none-any",
        "py312-none-any",
        "py310-none-any",
        "py3-none-any",
        "py2.py3-none-any",
        "py2-none-any",
        "pp311-pypy311_pp73-win_amd64",
        "cp311-cp311-any",
    )
]


@pytest.fixture(scope="module")
def lock():
    return read_lock()


def tags_of(target):
    """Return the tags that `packaging` supports on a target, the best first."""
    if target.system == "linux":
        machine = {"arm64": "aarch64"}.get(target.processor, target.processor)
        oldest = 5 if machine == "x86_64" else 17
        versions = range(target.libc[1], oldest - 1, -1)
        names = [name for v in versions for name in (f"manylinux_2_{v}", OLD_NAMES.get(v)) if name]
        platforms = [f"{name}_{machine}" for name in names]
    elif target.system == "darwin":
        platforms = list(mac_platforms(target.system_version, target.processor))
    else:
        platforms = ["win_amd64"]
    interpreter = f"cp{target.python[0]}{target.python[1]}"
    tags = [
        *cpython_tags(target.python, [interpreter], platforms),
        *compatible_tags(target.python, interpreter, platforms),
    ]
    return {tag: rank for rank, tag in enumerate(tags)}


def rank_of(file_name, tags):
    """Return the place of a wheel's best tag; None: it is not supported."""
    return min((tags[tag] for tag in parse_wheel_filename(file_name)[3] if tag in tags), default=None)


def wrong_choices(lock, target, tags):
    """Return the wheels that are not the best of their package's files."""
    wrong = []
    for wheel in lock.wheels(target):
        ranks = [rank_of(file.file_name, tags) for file in lock.files[wheel.name, wheel.version]]
        if rank_of(wheel.file_name, tags) != min(rank for rank in ranks if rank is not None):
            wrong.append(wheel.file_name)
    return wrong


def test_for_the_python_that_runs_the_wheels_are_those_that_pip_would_take(lock):
    processor = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    major, minor = (int(part) for part in platform.libc_ver()[1].split("."))
    target = Target(sys.version_info[:2], "linux", processor, (major, minor))
    tags = {tag: rank for rank, tag in enumerate(sys_tags())}
    assert wrong_choices(lock, target, tags) == []
    assert len(lock.wheels(target)) == len(lock.pins) + 2 - sum(not pin.is_for(target) for pin in lock.pins)


def test_on_every_system_and_python_the_wheels_are_those_that_pip_would_take(lock, subtests):
    for target in TARGETS:
        with subtests.test(str(target)):
            assert wrong_choices(lock, target, tags_of(target)) == []


def test_wheels_of_any_kind_are_told_apart_and_ordered_as_pip_does(subtests):
    old = [replace(LINUX, libc=(2, minor)) for minor in (4, 5, 11, 12, 16, 17)]
    for target in (*TARGETS, *old, Target((3, 11), "darwin", "arm64", (0, 0), (11, 0))):
        tags = tags_of(target)
        with subtests.test(str(target)):
            ranks = {name: rank_of(name, tags) for name in FILE_NAMES}
            fits = {name: fit_of(name, target) for name in FILE_NAMES}
            assert [name for name in FILE_NAMES if (ranks[name] is None) != (fits[name] is None)] == []
            pairs = product([name for name in FILE_NAMES if fits[name]], repeat=2)
            assert [(a, b) for a, b in pairs if (fits[a] < fits[b]) != (ranks[a] < ranks[b])] == []


def test_every_package_has_a_wheel_for_every_python_of_the_lock_on_every_system(lock):
    assert [target for target in TARGETS if target.python in lock.pythons and not lock.download_bytes(target)] == []
    assert lock.pythons == tuple(sorted(lock.pythons))
    assert (3, 11) in lock.pythons


def test_the_download_is_the_size_of_the_wheels_with_torch_before_the_others(lock):
    wheels = lock.wheels(LINUX)
    assert [(wheel.name, wheel.version) for wheel in wheels[:2]] == list(lock.torch.items())
    assert sum(wheel.size_bytes for wheel in wheels) == lock.download_bytes(LINUX)
    assert 200e6 < lock.download_bytes(LINUX) < 2e9


def test_a_package_of_one_system_comes_on_that_system_only(lock):
    windows = Target((3, 12), "win32", "x86_64")
    assert {wheel.name for wheel in lock.wheels(windows)} - {wheel.name for wheel in lock.wheels(LINUX)} == {"colorama"}


def test_every_requirement_is_in_the_lock_within_its_range(lock, subtests):
    versions = dict(lock.torch)
    versions.update((pin.name, pin.version) for pin in lock.pins)
    for line in package_file("requirements.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            with subtests.test(line):
                wanted = Requirement(line)
                assert versions[canonical(wanted.name)] in wanted.specifier


def test_torch_is_locked_to_what_the_tests_use(lock):
    pins = [line for line in (ROOT / "requirements-dev.txt").read_text().splitlines() if line.startswith("torch")]
    assert [f"{name}=={version}" for name, version in lock.torch.items()] == pins
    assert not {pin.name for pin in lock.pins} & {"torch", "torchvision", "triton"}
    assert [pin.name for pin in lock.pins if pin.name.startswith(("nvidia", "cuda"))] == []


def test_pip_is_given_the_digest_of_every_wheel_and_of_nothing_else(lock):
    text = lock.requirements.read_text(encoding="utf-8")
    told = [part.split(":")[1] for part in text.split() if part.startswith("--hash=sha256:")]
    assert sorted(told) == sorted(
        wheel.sha256 for files in lock.files.values() for wheel in files if wheel.name not in lock.torch
    )
    assert {len(digest) for digest in told} == {64}
    assert {(pin.name, pin.version) for pin in lock.pins} == set(lock.files) - set(lock.torch.items())


def test_no_address_and_no_folder_is_in_the_lock():
    pins, wheels = (package_file(name).read_text(encoding="utf-8") for name in (REQUIREMENTS, WHEELS))
    lines = [line for line in pins.splitlines() if not line.startswith("#")]
    assert [line for line in [*lines, *wheels.splitlines()] if "/" in line or "@" in line or "\\\\" in line] == []
    assert [word for line in lines for word in line.split() if word[0] == "-" and "--hash=sha256:" not in word] == []


def test_a_target_without_wheels_is_told_the_package_and_the_way_out(lock, subtests):
    python_39, musl = Target((3, 9), "linux", "x86_64", (2, 36)), Target((3, 11), "linux", "x86_64")
    rows = [
        (replace(LINUX, libc=(2, 17)), "Python 3.11 on Linux (x86_64, glibc 2.17): it needs glibc 2.28 or newer."),
        (musl, "Python 3.11 on Linux (x86_64): it needs glibc 2.28 or newer."),
        (python_39, "Python 3.9 on Linux (x86_64, glibc 2.36): use one of Python 3.11, "),
        (Target((3, 11), "darwin", "x86_64", (0, 0), (14, 0)), "Python 3.11 on macOS 14.0 (x86_64): use one of "),
        (Target((3, 11), "darwin", "arm64", (0, 0), (13, 6)), "(arm64): it needs macOS 14.0 or newer."),
        (Target((3, 11), "win32", "arm64"), "Python 3.11 on Windows (arm64): use one of Python 3.11, "),
    ]
    for target, words in rows:
        with subtests.test(str(target)):
            with pytest.raises(EngineUnavailable) as told:
                lock.wheels(target)
            assert str(told.value).startswith("torch 2.13.0 has no wheel for Python 3.")
            assert words in str(told.value)


MARKERS = (
    "python_full_version < '3.12'",
    "python_full_version >= '3.12.0'",
    "python_version > '3.9'",
    "python_version == '3.11'",
    "python_version != '3.11' and sys_platform != 'emscripten'",
    "python_version <= '3.11' or python_version >= \"3.14\"",
    "sys_platform == 'linux' or sys_platform == 'win32' and python_version < '3.13'",
    "(sys_platform == 'linux' or sys_platform == 'win32') and python_version < '3.13'",
    "((platform_machine == 'aarch64') or (platform_machine == 'arm64' and sys_platform == 'darwin'))",
    "platform_machine == 'AMD64' or platform_machine == 'x86_64'",
    "implementation_name == 'cpython' and platform_python_implementation != 'PyPy'",
)


def test_markers_hold_where_pip_says_so(subtests):
    for marker, target in product(MARKERS, TARGETS):
        with subtests.test(f"{marker}, {target}"):
            full = {**target.variables, "python_full_version": f"{target.variables['python_version']}.7"}
            assert holds(marker, target.variables) == Marker(marker).evaluate(full)


def test_a_marker_that_cannot_be_decided_is_an_error(subtests):
    for marker in (
        "python_full_version >= '3.12.4'",
        "python_full_version == '3.12'",
        "python_version == '3.*'",
        "python_version in '3.11 3.12'",
        "sys_platform < 'linux'",
        "extra == 'all'",
        "'3.12' > python_version",
        "(sys_platform == 'linux'",
        "sys_platform == 'linux')",
        "sys_platform == 'linux' and",
        "and sys_platform == 'linux'",
        "sys_platform == 'linux' sys_platform == 'linux'",
        "()",
        " ",
    ):
        with subtests.test(marker), pytest.raises(ValueError, match="is not understood"):
            holds(marker, LINUX.variables)


def test_pins_are_read_with_their_markers_over_lines_that_go_on():
    hashes = " \\\n    --hash=sha256:00 \\\n    --hash=sha256:11"
    text = f"# all\nSome_Name==1.0.post1 ; sys_platform == 'win32'{hashes}\nb==2\n"
    first, second = read_pins(text)
    assert (first.name, first.version, first.marker) == ("some-name", "1.0.post1", "sys_platform == 'win32'")
    assert (second.name, second.version, second.marker) == ("b", "2", "")
    with pytest.raises(ValueError, match="'b>=2' pins no version"):
        read_pins("b>=2\n")


@pytest.fixture
def own_lock(tmp_path, monkeypatch):
    """The folder of a plugin that holds nothing but a copy of the lock."""
    for name in (REQUIREMENTS, WHEELS):
        shutil.copyfile(package_file(name), tmp_path / name)
    monkeypatch.setattr(folders, "PACKAGE_FOLDER", tmp_path)
    return tmp_path


def test_another_byte_in_either_file_is_another_digest(own_lock: Path, lock):
    digests = {read_lock().digest}
    for name in (REQUIREMENTS, WHEELS):
        (own_lock / name).write_bytes((own_lock / name).read_bytes() + b"\n")
        digests.add(read_lock().digest)
    assert lock.digest in digests
    assert {len(digest) for digest in digests} == {64}
    assert len(digests) == 3


def test_the_newest_python_is_the_last_whatever_the_order_in_the_file(own_lock: Path):
    (own_lock / WHEELS).write_text('{"pythons": ["3.14", "3.9", "3.11"], "torch": {}, "wheels": {}}')
    assert read_lock().pythons == ((3, 9), (3, 11), (3, 14))


def test_a_lock_that_is_missing_or_damaged_is_told_in_one_sentence(own_lock: Path, subtests):
    whole = {name: (own_lock / name).read_bytes() for name in (REQUIREMENTS, WHEELS)}
    for name, content in (
        (WHEELS, whole[WHEELS][:-20]),
        (WHEELS, b"[]"),
        (WHEELS, b'{"pythons": [], "torch": {}, "wheels": {}}'),
        (WHEELS, b'{"pythons": ["3.11"], "torch": {}, "wheels": {"a.whl": {}}}'),
        (REQUIREMENTS, b"numpy>=2\n"),
        (REQUIREMENTS, b"numpy==2 ; os_name == 'nt'\n"),
        (REQUIREMENTS, b"\xff"),
        (REQUIREMENTS, None),
    ):
        for other, text in whole.items():
            (own_lock / other).write_bytes(text)
        (own_lock / name).unlink()
        if content is not None:
            (own_lock / name).write_bytes(content)
        with (
            subtests.test(f"{name} {content!r:.60}"),
            pytest.raises(EngineUnavailable, match="install the plugin again"),
        ):
            read_lock()
