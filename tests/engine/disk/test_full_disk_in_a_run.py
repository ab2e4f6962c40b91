"""A disk that is full anywhere in a run: one sentence, and what lay there before is as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "full_disk_runs.py"
# Sizes at which old code ended in a traceback or delivered a damaged file, in bytes; the script does the whole range.
SIZES = (4_000, 20_000, 40_000, 70_000, 100_000, 150_000, 210_000, 330_000, 500_000)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, tiny_models) -> list[dict[str, str]]:
    """What each run said, and what is wrong with its files."""
    folder = tmp_path_factory.mktemp("full")
    command = [sys.executable, str(SCRIPT), str(folder), "--models", str(tiny_models), "--sizes", *map(str, SIZES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_size_of_a_disk_ends_in_a_traceback_or_a_broken_file(outcomes, subtests):
    assert len(outcomes) == 2 * len(SIZES)
    for outcome in outcomes:
        with subtests.test(format=outcome["format"], size=outcome["size"]):
            assert outcome["broken"] == []
            assert outcome["error"] in ("", "EngineError", "OutputError"), outcome["words"]


def test_small_disks_are_told_and_large_ones_suffice(outcomes):
    assert {outcome["error"] for outcome in outcomes if outcome["size"] <= 40_000} <= {"EngineError", "OutputError"}
    assert [outcome["error"] for outcome in outcomes if outcome["size"] == SIZES[-1]] == ["", ""]
    for outcome in outcomes:
        assert not outcome["error"] or "free some space" in outcome["words"]
