#!/usr/bin/env python3
"""The one check command: format, lint, types, import arrows, and the plugin site's security gate.

Prints one line a step, with the output of those that failed, and ends with 1 if any did.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stage import ROOT, stage


@dataclass(frozen=True)
class Step:
    """One check: its name, and a function that returns what is wrong; empty if nothing."""

    name: str
    find_problems: Callable[[], str]


def python_module(*arguments: str) -> Callable[[], str]:
    """Return a check that runs ``python -m ...`` at the repository's root and fails with its exit status."""

    def run() -> str:
        result = _run_module(*arguments)
        return result.stdout + result.stderr if result.returncode else ""

    return run


def _run_module(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}  # no display is needed, nor used where there is one
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def find_bandit_problems(folder: Path) -> str:
    """Return what Bandit says about a folder, of any severity and whether or not it was waved through in the source.

    B404, the mere import of subprocess, is the only rule that the plugin site switches off and that still exists.
    """
    result = _run_module(
        "bandit", "--quiet", "--recursive", "--skip", "B404", "--ignore-nosec", "--format", "json", str(folder)
    )
    try:
        report = json.loads(result.stdout)
    except ValueError:
        return f"Bandit gave no report: {result.stdout}{result.stderr}"
    unread = [f"{error['filename']}: {error['reason']}" for error in report["errors"]]
    found = [
        f"{Path(entry['filename']).relative_to(folder)}:{entry['line_number']} {entry['test_id']} {entry['issue_text']}"
        for entry in report["results"]
    ]
    return "\n".join(unread + found)


def find_secrets(folder: Path) -> str:
    """Return what detect-secrets takes for a secret in a folder, whether or not it was waved through in the source.

    Its exit status is 0 whatever it finds, and it passes over everything outside its working directory in silence.
    """
    no_exceptions = ("--disable-filter", "detect_secrets.filters.allowlist.is_line_allowlisted")
    result = _run_module("detect_secrets", "scan", "--all-files", *no_exceptions, ".", folder=folder)
    try:
        report = json.loads(result.stdout)
    except ValueError:
        return f"detect-secrets gave no report: {result.stdout}{result.stderr}"
    return "\n".join(
        f"{name}:{entry['line_number']} {entry['type']}"
        for name, entries in report["results"].items()
        for entry in entries
    )


def over_staged_copy(find_problems: Callable[[Path], str]) -> Callable[[], str]:
    """Return a check that looks at what would be in the zip."""

    def run() -> str:
        with tempfile.TemporaryDirectory() as folder:
            return find_problems(stage(Path(folder)))

    return run


STEPS = (
    Step("format", python_module("ruff", "format", "--check")),
    Step("lint", python_module("ruff", "check", "--output-format", "concise")),
    Step("types", python_module("mypy", "--no-error-summary")),
    Step("architecture", python_module("pytest", "-q", "--no-header", "tests/architecture")),
    Step("bandit", over_staged_copy(find_bandit_problems)),
    Step("secrets", over_staged_copy(find_secrets)),
)


def run_steps(steps: Sequence[Step]) -> int:
    """Run all steps, print how each went, and return the number of those that failed."""
    failed = 0
    for step in steps:
        start_s = time.monotonic()
        problems = step.find_problems().strip()
        print(f"{'failed' if problems else 'ok':<8}{step.name:<14}{time.monotonic() - start_s:5.1f} s", flush=True)
        if problems:
            failed += 1
            print("    " + problems.replace("\n", "\n    "), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if run_steps(STEPS) else 0)
