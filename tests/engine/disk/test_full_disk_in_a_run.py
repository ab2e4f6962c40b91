"""A disk that is full anywhere in a run: one sentence, and what lay there before is as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "drivers" / "full_disk_runs.py"
# One for each file that can be the first to meet the end of the disk; the script's own list is the whole range.
RUNS = (
    ".gpkg:Segmenting:4000", ".gpkg:Joining tiles:500", ".gpkg:Joining tiles:140000", ".gpkg:Writing polygons:4000",
    ".gpkg:Writing polygons:32000", ".shp:Writing polygons:48000", ".shp:Writing polygons:60000",
    ".shp:Segmenting:500000",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, tiny_models) -> list[dict[str, str]]:
    """What each run said, and what is wrong with its files."""
    folder = tmp_path_factory.mktemp("full")
    command = [sys.executable, str(SCRIPT), str(folder), "--models", str(tiny_models), "--runs", *RUNS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_size_of_a_disk_ends_in_a_traceback_or_a_broken_file(outcomes, subtests):
    assert len(outcomes) == len(RUNS)
    for run, outcome in zip(RUNS, outcomes):
        with subtests.test(run):
            assert outcome["broken"] == []
            assert outcome["error"] == ("" if run.endswith(":500000") else "EngineError"), outcome["words"]
            assert not outcome["error"] or "free some space" in outcome["words"]
