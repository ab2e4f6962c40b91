"""What the test command runs, and when it fails; set-up, checks and pytest are stand-ins that note their arguments."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from stage import ROOT

RINGS = ("contract", "engine", "runtime", "host", "gui", "algorithms")
PYTHON = """#!/bin/sh
echo "$*" >>"{log}"
case "$*" in
    *check.py) echo "ok      lint"; exit {check_status} ;;
    *) exit {pytest_status} ;;
esac
"""


@pytest.fixture
def run(tmp_path):
    """Run the script in a folder of its own; the value is its exit status, its output, and pytest's arguments."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "test.sh", tmp_path / "scripts")
    write_script(tmp_path / "scripts" / "setup.sh", "#!/bin/sh\n")
    log = tmp_path / "log"

    def start(*arguments: str, check_status: int = 0, pytest_status: int = 0) -> tuple[int, str, list[str]]:
        log.unlink(missing_ok=True)
        python = PYTHON.format(log=log, check_status=check_status, pytest_status=pytest_status)
        write_script(tmp_path / ".venv" / "bin" / "python", python)
        command = [str(tmp_path / "scripts" / "test.sh"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        (told,) = [line.split()[2:] for line in log.read_text().splitlines() if line.startswith("-m pytest")]
        return done.returncode, done.stdout, told

    return start


def write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def test_without_an_argument_pytest_runs_everything_and_the_checks_are_shown(run):
    assert run() == (0, "ok      lint\n", [])


def test_arguments_go_to_pytest_with_and_without_the_choice(run):
    assert run("tests/contract", "-k", "grid")[2] == ["tests/contract", "-k", "grid"]
    chosen = run("--quick")[2]
    assert run("--quick", "-x")[2] == [*chosen, "-x"]


def test_the_quick_choice_exists_takes_part_in_every_ring_and_names_nothing_twice(run):
    chosen = run("--quick")[2]
    files = [path.partition("::") for path in chosen]
    assert [path for path, *_ in files if not (ROOT / path).exists()] == []
    assert all(f"def {name}(" in (ROOT / path).read_text() for path, _, name in files if name)
    assert {path.split("/")[1] for path in chosen} >= set(RINGS)
    assert len(set(chosen)) == len(chosen)


def test_it_fails_where_the_checks_or_the_tests_do(run):
    assert [run(check_status=check, pytest_status=test)[0] for check, test in ((0, 1), (1, 0), (1, 1))] == [1, 1, 1]
    assert run(check_status=1)[1] == "ok      lint\n"
