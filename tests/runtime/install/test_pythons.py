from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from rs_textseg_plugin.runtime.install.machine import Machine, this_machine
from rs_textseg_plugin.runtime.install.pythons import ask, candidates, find_pythons, why_unfit

MACHINE = this_machine()
GOOD = {
    "path": "/usr/bin/python3.11",
    "bits": 64,
    "processor": "x86_64",
    "is_cpython": True,
    "is_final": True,
    "has_gil": True,
    "has_ssl": True,
}
LINUX, WINDOWS, MAC = Machine("linux", "x86_64"), Machine("win32", "x86_64"), Machine("darwin", "arm64")


def test_the_python_behind_a_virtual_environment_is_found(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    found = ask(tmp_path / "venv" / "bin" / "python", MACHINE)
    assert found.version == sys.version_info[:2]
    assert Path(os.path.realpath(found.path)) == Path(os.path.realpath(sys.executable))
    assert found.prefix == Path(sys.base_prefix)


def test_only_the_wanted_versions_are_found_each_folder_once():
    here = (sys.version_info.major, sys.version_info.minor)
    found = find_pythons([(3, 99), here], MACHINE)
    assert found
    assert {python.version for python in found} == {here}
    assert len({python.prefix for python in found}) == len(found)
    assert find_pythons([(3, 99)], MACHINE) == []


def test_what_is_no_python_or_does_not_start_is_passed_over(tmp_path):
    program = tmp_path / "python3"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    assert ask(program, MACHINE) is None
    assert ask(tmp_path / "nothing", MACHINE) is None


@pytest.mark.parametrize(
    ("machine", "changes", "bundle", "reason"),
    [
        (WINDOWS, {"path": r"C:\Users\a\AppData\Local\Microsoft\WindowsApps\python.exe"}, None, "Store"),
        (
            WINDOWS,
            {"path": r"c:\program files\qgis 3.40\apps\Python312\python.exe"},
            PureWindowsPath(r"C:\Program Files\QGIS 3.40"),
            "QGIS's own",
        ),
        (MAC, {"path": "/usr/bin/python3", "processor": "arm64"}, None, "Apple"),
        (MAC, {"path": "/usr/local/bin/python3"}, None, "another processor"),
        (LINUX, {"bits": 32}, None, "another processor"),
        (LINUX, {"is_cpython": False}, None, "no packages"),
        (LINUX, {"is_final": False}, None, "no packages"),
        (LINUX, {"has_gil": False}, None, "no packages"),
        (LINUX, {"has_ssl": False}, None, "https"),
    ],
)
def test_a_python_that_is_no_base_is_told_by_its_reason(machine, changes, bundle, reason):
    assert why_unfit(GOOD, LINUX, None) == ""
    assert reason in why_unfit({**GOOD, **changes}, machine, bundle)


def test_older_versions_are_looked_for_first_and_on_a_mac_homebrews():
    paths = list(candidates([(3, 11), (3, 13)], "darwin", {"PATH": "/opt/tools"}))
    assert paths[:2] == [Path("/opt/homebrew/bin/python3.11"), Path("/opt/homebrew/bin/python3.13")]
    named = [path for path in paths if path.parent == Path("/opt/tools")]
    assert [path.name for path in named] == ["python3.11", "python3.13", "python3"]
