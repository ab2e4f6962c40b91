"""The lock is what uv found, less what the engine's environment never takes."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
import tomllib

from make_lock import TORCH, in_groups, make_lock, needed_pins, project_text, read_files, resolve
from rs_textseg_plugin.runtime.install.lock import Pin, read_lock, read_pins

LINUX, MAC = ("manylinux_2_28_x86_64", "manylinux_2_17_aarch64.manylinux2014_aarch64"), "macosx_11_0_arm64"
LEFT_OUT = (
    "cp311-cp311-musllinux_1_2_x86_64",
    "cp311-cp311-manylinux_2_28_i686",
    "cp311-cp311-manylinux_2_31_riscv64",
    "cp311-cp311-win32",
    "cp311-cp311-win_arm64",
    "cp311-cp311-macosx_10_9_x86_64",
    "cp313-cp313t-win_amd64",
    "cp310-cp310-win_amd64",
    "pp311-pypy311_pp73-win_amd64",
    "cp312-cp312-pyodide_2024_0_wasm32",
)
NEWER = "cp311-cp311-manylinux_2_39_x86_64"  # a better one for newer systems, beside the one for old ones
PINS = """\
colorama==0.4.6 ; sys_platform == 'win32'
cuda-bindings==13.5.0 ; sys_platform == 'linux'
hf-xet==1.8.0 ; platform_machine == 'AMD64' or platform_machine == 'aarch64' or platform_machine == 'arm64' or \
platform_machine == 'x86_64'
jsfetch==1.0 ; sys_platform == 'emscripten'
numpy==2.4.6
nvidia-cublas==13.1.1.3 ; sys_platform == 'linux'
torch==2.13.0
torchvision==0.28.0
triton==3.7.1 ; sys_platform == 'linux'
"""


def digest_of(file_name):
    return hashlib.sha256(file_name.encode()).hexdigest()


def package_text(name, version, tags, size=", size = 1000"):
    """Return a package as uv's lock has it, with a source package and these wheels."""
    names = [f"{name.replace('-', '_')}-{version}-{tag}.whl" for tag in tags]
    url = "https://files.example.org/packages/ab/cd"
    wheels = "\n".join(f'{{ url = "{url}/{n}", hash = "sha256:{digest_of(n)}"{size} }},' for n in names)
    sdist = f'{{ url = "{url}/{name}.tar.gz", hash = "sha256:{"f" * 64}", size = 5 }}'
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\nsdist = {sdist}\nwheels = [\n{wheels}\n]\n'


def numpy_tags(pythons=(311, 312, 313, 314)):
    places = (*LINUX, "win_amd64", MAC)
    return [*(f"cp{python}-cp{python}-{place}" for python in pythons for place in places), NEWER, *LEFT_OUT]


def lock_text(tags=()):
    """Return uv's lock of the packages in `PINS`, where numpy has wheels with these tags."""
    texts = ["version = 1\n"]
    for pin in read_pins(PINS):
        of_this = (tags or numpy_tags()) if pin.name == "numpy" else ["py3-none-any"]
        texts.append(package_text(pin.name, pin.version, of_this))
    return "\n".join(texts)


def test_uv_is_asked_for_the_requirements_on_every_system_with_torch_as_pinned():
    project = tomllib.loads(project_text("# Why\ntorch>=2.6\n\nattrs>=24  # for rasterio\n"))
    assert project["project"]["dependencies"] == ["torch>=2.6", "attrs>=24"]
    assert project["project"]["requires-python"] == ">=3.11,<3.15"
    assert project["tool"]["uv"]["constraint-dependencies"] == ["torch==2.13.0", "torchvision==0.28.0"]
    assert project["tool"]["uv"]["required-environments"] == [
        "sys_platform == 'linux' and platform_machine == 'x86_64'",
        "sys_platform == 'linux' and platform_machine == 'aarch64'",
        "sys_platform == 'win32' and platform_machine == 'AMD64'",
        "sys_platform == 'darwin' and platform_machine == 'arm64'",
    ]


def test_the_table_holds_the_wheels_of_the_systems_and_nothing_else():
    told = json.loads(make_lock(lock_text(), PINS)[1])
    assert told["pythons"] == ["3.11", "3.12", "3.13", "3.14"]
    assert told["torch"] == TORCH
    numpy = {name for name in told["wheels"] if name.startswith("numpy")}
    assert numpy == {f"numpy-2.4.6-{tag}.whl" for tag in numpy_tags() if tag not in LEFT_OUT}
    assert {name.split("-")[0] for name in told["wheels"]} == {"colorama", "hf_xet", "numpy", "torch", "torchvision"}
    name = f"numpy-2.4.6-{NEWER}.whl"
    assert told["wheels"][name] == {"sha256": in_groups(digest_of(name)), "size_bytes": 1000}


def test_pip_gets_a_pin_with_its_marker_and_the_digests_of_the_wheels_in_the_table():
    pins, wheels = make_lock(lock_text(), PINS)
    assert [(pin.name, pin.marker) for pin in read_pins(pins)] == [
        ("colorama", "sys_platform == 'win32'"),
        ("hf-xet", ""),
        ("numpy", ""),
    ]
    told = json.loads(wheels)["wheels"]
    digests = sorted(about["sha256"].replace(" ", "") for name, about in told.items() if not name.startswith("torch"))
    assert sorted(line.split(":")[1].split()[0] for line in pins.splitlines() if "--hash" in line) == digests
    assert "f" * 64 not in pins
    assert "example" not in pins + wheels


def test_the_same_wheels_in_another_order_give_the_same_bytes():
    assert make_lock(lock_text(numpy_tags()), PINS) == make_lock(lock_text(numpy_tags()[::-1]), PINS)


def test_a_python_without_all_wheels_is_left_out_and_told(capsys):
    tags = [tag for tag in numpy_tags() if tag != "cp314-cp314-win_amd64"]
    pins, wheels = make_lock(lock_text(tags), PINS)
    assert json.loads(wheels)["pythons"] == ["3.11", "3.12", "3.13"]
    assert "3.11 to 3.13" in pins
    assert "cp314" not in wheels
    assert "numpy 2.4.6 has no wheel for Python 3.14 on Windows (x86_64)\n" in capsys.readouterr().out


def test_no_python_with_all_wheels_is_an_error():
    with pytest.raises(ValueError, match="No Python has wheels of all packages"):
        make_lock(lock_text([tag for tag in numpy_tags() if "macosx" not in tag]), PINS)


def test_a_wheel_without_a_size_is_an_error():
    with pytest.raises(ValueError, match=r"no size for a-1-py3-none-any\.whl: take another one with --index"):
        read_files(package_text("a", "1", ["py3-none-any"], size=""))


def test_what_no_system_needs_and_what_is_for_cuda_is_left_out():
    kept = needed_pins([Pin("a", "1", "sys_platform == 'sunos5'"), Pin("nvidia-x", "1"), Pin("c", "1"), Pin("b", "1")])
    assert [pin.name for pin in kept] == ["b", "c"]


def test_a_digest_is_written_in_groups_of_eight():
    assert in_groups("0123456789abcdef0123") == "01234567 89abcdef 0123"


def test_uv_is_run_without_the_settings_of_who_runs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    program = tmp_path / "uv"
    program.write_text(f"""#!{sys.executable}
import os, pathlib, sys
assert not [name for name in os.environ if name.startswith("UV_")], "a setting reached uv"
assert "--no-config" in sys.argv
kind = sys.argv[1]
name = {{"lock": "uv.lock", "export": "pins.txt"}}[kind]
pathlib.Path(name).write_text(kind + " of " + pathlib.Path("pyproject.toml").read_text())
""")
    program.chmod(0o755)
    before = set(Path.cwd().iterdir())
    lock, pins = resolve(str(program), "attrs>=24\n")
    assert lock.startswith("lock of [project]")
    assert pins.startswith("export of [project]")
    assert "attrs>=24" in lock
    assert set(Path.cwd().iterdir()) == before


def test_the_lock_in_the_repository_was_made_by_this_script():
    lock = read_lock()
    assert lock.torch == TORCH
    assert "Written by scripts/make_lock.py" in Path(lock.requirements).read_text(encoding="utf-8")
