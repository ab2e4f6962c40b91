"""The whole installation, with real tools and small real wheels in place of torch and its company."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from small_disk import files_end_at

from rs_textseg_plugin.contract.errors import Cancelled, EngineError, EngineUnavailable
from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER
from rs_textseg_plugin.runtime.environment import interpreter_in
from rs_textseg_plugin.runtime.install.installation import install, plan_installation
from rs_textseg_plugin.runtime.install.lock import read_lock
from rs_textseg_plugin.runtime.install.marker import read_marker, why_stale
from rs_textseg_plugin.runtime.install.sources import PackageSources
from rs_textseg_plugin.runtime.install.turn import Turn

IMPORTS = ("-c", "import torch, torchvision, small; print('Tested on', torch.where)")


def write_wheel(folder: Path, name: str, version: str, code: str) -> Path:
    """Write a wheel of one module, with its record."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        file: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for file, text in files.items()
    }
    rows = [f"{file},sha256={digests[file]},{len(text)}" for file, text in files.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{about}/RECORD": "\n".join([*rows, f"{about}/RECORD,,"]) + "\n"}.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    write_wheel(folder, "torch", "2.13.0+cpu", "where = 'the CPU'\n")
    write_wheel(folder, "torchvision", "0.28.0", "")
    write_wheel(folder, "small", "1.0", "")
    return folder


@pytest.fixture
def plan(tmp_path, wheels, monkeypatch):
    """A plan for the small wheels, in a folder with a space and letters that are not ASCII; uv is at hand."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    digest = hashlib.sha256((wheels / "small-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    requirements = tmp_path / "lock.txt"
    requirements.write_text(f"small==1.0 --hash=sha256:{digest}\n")
    plan = plan_installation(tmp_path / "Ümlaut and space" / "engine-env", "cpu")
    lock = replace(read_lock(), requirements=requirements, torch={"torch": "2.13.0", "torchvision": "0.28.0"})
    sources = PackageSources.from_folder(wheels)
    return replace(plan, lock=lock, sources=sources, download_bytes=10_000, self_test=IMPORTS)


def never():
    return False


def beside(plan):
    return {path.name for path in plan.folder.parent.iterdir()}


def test_an_environment_is_made_tested_and_marked_and_nothing_else_stays(plan):
    stages = []
    marker = install(plan, lambda progress: stages.append(progress.stage), never)
    assert list(dict.fromkeys(stages))[-4:] == [
        "Making the environment",
        "Downloading PyTorch",
        "Downloading the other packages",
        "Testing the engine",
    ]
    assert marker == read_marker(plan.folder)
    assert (marker.torch, marker.device) == ("2.13.0+cpu", "Tested on the CPU")
    assert beside(plan) == {"engine-env", "engine-env.lock"}
    asked = [interpreter_in(plan.folder), "-I", "-c", "import sys, small; print(sys.prefix)"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(told) == plan.folder


def test_without_uv_venv_and_pip_do_it(plan, monkeypatch):
    monkeypatch.setattr("rs_textseg_plugin.runtime.install.installation.uv_at_hand", lambda search: ())
    marker = install(plan, lambda _: None, never)
    assert marker == read_marker(plan.folder)
    assert (plan.folder / "bin" / "pip").exists()  # uv makes environments without


def test_an_environment_that_works_stays_where_a_new_one_fails_its_test(plan):
    before = install(plan, lambda _: None, never)
    broken = replace(plan, self_test=("-c", "raise OSError('[WinError 126] c10.dll')"))
    with pytest.raises(EngineError, match=r"Visual C\+\+ Redistributable"):
        install(broken, lambda _: None, never)
    assert read_marker(plan.folder) == before
    assert interpreter_in(plan.folder).is_file()
    install(plan, lambda _: None, never)
    assert beside(plan) == {"engine-env", "engine-env.lock"}


def test_a_package_of_another_digest_is_refused(plan, wheels):
    write_wheel(wheels, "small", "1.0", "print('not what was locked')")
    with pytest.raises(EngineError, match="The packages could not be installed"):
        install(plan, lambda _: None, never)
    assert not plan.folder.exists()


def test_a_build_of_torch_that_no_source_has_is_told_with_the_way_out(plan, wheels):
    (wheels / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    with pytest.raises(EngineError, match=r"torch 2\.13\.0 could not be installed .* name it with --wheels"):
        install(plan, lambda _: None, never)


def test_a_user_who_gives_up_is_obeyed_and_the_next_try_goes_on(plan):
    stages = []
    with pytest.raises(Cancelled):
        install(plan, lambda progress: stages.append(progress.stage), lambda: "Downloading PyTorch" in stages)
    assert not plan.folder.exists()
    assert "engine-env.growing" in beside(plan)
    install(plan, lambda _: None, never)
    assert beside(plan) == {"engine-env", "engine-env.lock"}


KILLED = """
import pickle, sys, time
sys.path.insert(0, sys.argv[2])
from rs_textseg_plugin.runtime.install.installation import install

def report(progress):
    if progress.stage == "Downloading PyTorch":
        print("now", flush=True)
        time.sleep(60)

install(pickle.load(open(sys.argv[1], "rb")), report, lambda: False)
"""


def test_an_installation_that_is_killed_in_the_middle_costs_nothing(plan, tmp_path):
    before = install(plan, lambda _: None, never)
    (tmp_path / "plan").write_bytes(pickle.dumps(plan))
    command = [sys.executable, "-c", KILLED, tmp_path / "plan", str(PACKAGE_FOLDER.parent)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert killed.stdout.readline() == b"now\n"
    killed.kill()
    killed.wait()
    assert read_marker(plan.folder) == before
    assert "engine-env.growing" in beside(plan)
    install(plan, lambda _: None, never)
    assert beside(plan) == {"engine-env", "engine-env.lock"}


def test_a_disk_that_runs_full_is_told_in_words(plan, wheels, monkeypatch):
    monkeypatch.setattr("rs_textseg_plugin.runtime.install.installation.uv_at_hand", lambda search: ())
    write_wheel(wheels, "torch", "2.13.0+cpu", f"large = {'x' * 8_000_000!r}\n")
    with files_end_at(5_000_000), pytest.raises(EngineError, match=r"The disk is full .* free some space there"):
        install(plan, lambda _: None, never)
    assert not plan.folder.exists()


def test_an_index_that_stands_still_is_given_up_in_words(plan):
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and never answers
        sources = PackageSources(index=f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        with pytest.raises(EngineError, match=r"stood still for 3 s .* Look at the network"):
            install(replace(plan, sources=sources, silence_s=3.0), lambda _: None, never)


def test_a_network_that_is_not_there_is_told_with_the_way_out(plan, monkeypatch):
    monkeypatch.setattr("rs_textseg_plugin.runtime.install.torch_build.INDEX", "http://127.0.0.1:9/whl/")
    sources = PackageSources(index="http://127.0.0.1:9/simple")
    with pytest.raises(EngineError, match=r"torch 2\.13\.0 could not be installed .* name it with --wheels"):
        install(replace(plan, sources=sources), lambda _: None, never)


def test_no_room_is_told_before_anything_is_done(plan):
    with pytest.raises(EngineError, match=r"needs [\d.]+ GB on the disk .* free some space"):
        install(replace(plan, download_bytes=10**15), lambda _: None, never)
    assert beside(plan) == {"engine-env.lock"}


def test_a_second_installation_at_the_same_time_is_refused(plan):
    plan.folder.parent.mkdir(parents=True)
    with Turn(plan.folder.with_name("engine-env.lock")), pytest.raises(EngineUnavailable, match="another QGIS"):
        install(plan, lambda _: None, never)


def test_a_folder_that_cannot_be_written_is_told_in_words(plan, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(EngineError, match="choose another folder"):
        install(replace(plan, folder=file / "engine-env"), lambda _: None, never)


def test_what_no_longer_fits_is_stale_and_what_was_made_by_hand_is_not(plan, tmp_path):
    marker = install(plan, lambda _: None, never)
    processor = plan.machine.processor
    assert why_stale(plan.folder, plan.lock.digest, processor) == ""
    assert "another version" in why_stale(plan.folder, "another", processor)
    assert "another processor" in why_stale(plan.folder, plan.lock.digest, "arm64")
    replace(marker, base=str(tmp_path / "gone")).write(plan.folder)
    assert "is gone" in why_stale(plan.folder, plan.lock.digest, processor)
    (plan.folder / "rs_textseg_engine.json").unlink()
    assert why_stale(plan.folder, "another", processor) == ""


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "rs_textseg_plugin.runtime", *map(str, arguments)],
        cwd=PACKAGE_FOLDER.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_says_what_is_there_asks_before_it_does_anything_and_removes_what_it_made(plan):
    told = command("status", "--folder", plan.folder)
    assert (told.returncode, "is not installed" in told.stdout) == (1, True)
    asked = command("install", "--folder", plan.folder)
    assert asked.returncode == 1
    assert "Download: " in asked.stdout
    assert "--yes" in asked.stdout
    assert not plan.folder.parent.exists()
    marker = install(plan, lambda _: None, never)
    told = command("status", "--folder", plan.folder)
    assert (told.returncode, "torch 2.13.0+cpu" in told.stdout) == (0, True)
    replace(marker, lock="another").write(plan.folder)
    assert command("status", "--folder", plan.folder).returncode == 1
    assert command("remove", "--folder", plan.folder, "--yes").returncode == 0
    assert beside(plan) == set()


def test_a_folder_that_another_made_is_not_removed(tmp_path):
    (tmp_path / "mine").mkdir()
    told = command("remove", "--folder", tmp_path / "mine", "--yes")
    assert told.returncode == 2
    assert (tmp_path / "mine").is_dir()


def test_the_wheels_folder_that_is_not_there_is_named(tmp_path):
    told = command("install", "--folder", tmp_path / "e", "--wheels", tmp_path / "nowhere")
    assert told.returncode == 1
    assert "nowhere" in told.stderr


def test_the_marker_holds_what_the_environment_was_made_from(plan):
    install(plan, lambda _: None, never)
    told = json.loads((plan.folder / "rs_textseg_engine.json").read_text())
    assert set(told) == {"lock", "python", "processor", "base", "torch", "device"}
