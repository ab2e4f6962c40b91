"""The engine's environment from a terminal: ``python3 -m rs_textseg_plugin.runtime install | status | remove``.

``python3 FOLDER/rs_textseg_plugin/runtime install`` does the same from anywhere, in every shell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if not __package__:  # started by its folder, which Python then searches first
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rs_textseg_plugin.contract.errors import TextSegError
from rs_textseg_plugin.runtime.environment import interpreter_in, private_environment
from rs_textseg_plugin.runtime.install.installation import (
    InstallPlan,
    InstallProgress,
    install,
    plan_installation,
    remove_folder,
)
from rs_textseg_plugin.runtime.install.lock import read_lock
from rs_textseg_plugin.runtime.install.machine import this_machine
from rs_textseg_plugin.runtime.install.marker import read_marker, why_stale
from rs_textseg_plugin.runtime.install.torch_build import DEVICES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0 done, 1 failed or not installed, 2 bad input, 130 cancelled."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except TextSegError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("The installation was stopped; what was downloaded is kept for the next try.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m rs_textseg_plugin.runtime", description="RS TextSeg's engine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, words in (
        ("install", _install, "build the engine's environment, or build it anew"),
        ("status", _status, "say whether it is installed, and whether it fits this plugin"),
        ("remove", _remove, "remove it"),
    ):
        sub = commands.add_parser(name, help=words)
        sub.set_defaults(command=command)
        sub.add_argument("--folder", type=Path, default=private_environment(), help="(default: %(default)s)")
        if name != "status":
            sub.add_argument("--yes", action="store_true", help="do not ask")
        if name == "install":
            sub.add_argument("--device", default="auto", help=f"one of: {', '.join(DEVICES)}")
            sub.add_argument("--wheels", type=Path, help="a folder with all packages; no network is used")
    return parser


def _install(options: argparse.Namespace) -> int:
    plan = plan_installation(options.folder.absolute(), options.device, options.wheels)
    print(_in_words(plan))
    if not options.yes and not _agrees("Install it?"):
        return 1
    marker = install(plan, _Printer(), lambda: False)
    print(f"The engine is installed in {plan.folder}. {marker.device}")
    return 0


def _status(options: argparse.Namespace) -> int:
    if not interpreter_in(options.folder).is_file() and read_marker(options.folder) is None:
        print(f"The engine is not installed in {options.folder}.")
        return 1
    stale = why_stale(options.folder, read_lock().digest, this_machine().processor)
    marker = read_marker(options.folder)
    if stale:
        print(f"{stale} Install it again.")
        return 1
    about = f"torch {marker.torch}, Python {marker.python}" if marker else "made by hand"
    print(f"The engine is installed in {options.folder} ({about}).")
    return 0


def _remove(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    if read_marker(folder) is None and folder.exists():
        print(f"{folder} was not made by this plugin: remove it by hand if it is yours.", file=sys.stderr)
        return 2
    if not options.yes and not _agrees(f"Remove {folder}?"):
        return 1
    for name in (folder.name, f"{folder.name}.growing", f"{folder.name}.old"):
        remove_folder(folder.with_name(name))
    folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)
    print(f"The engine was removed from {folder}.")
    return 0


def _in_words(plan: InstallPlan) -> str:
    at_most = "at most " if plan.build.name == "cpu" else ""
    lines = [
        f"Engine: torch {plan.torch} for {plan.build.device}, with the packages of the lock",
        f"Python: {plan.base.path}",
        f"Folder: {plan.folder}",
        f"Download: {at_most}{plan.download_bytes / 1e6:.0f} MB; on disk meanwhile: {plan.disk_bytes / 1e9:.1f} GB",
    ]
    return "\n".join([*lines, plan.build.note] if plan.build.note else lines)


def _agrees(question: str) -> bool:
    if not sys.stdin.isatty():
        print(f"{question} Say --yes to do it.")
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


class _Printer:
    """Writes a line for each stage, and how far it is now and then."""

    def __init__(self) -> None:
        self._stage, self._tenth = "", -1

    def __call__(self, progress: InstallProgress) -> None:
        tenth = 10 * progress.bytes_done // max(progress.bytes_total, 1)
        if progress.stage != self._stage:
            print(f"{progress.stage} ...", flush=True)
        elif tenth != self._tenth:
            print(f"  {progress.bytes_done / 1e6:.0f} MB, {progress.bytes_per_s / 1e6:.1f} MB/s", flush=True)
        self._stage, self._tenth = progress.stage, tenth


if __name__ == "__main__":
    sys.exit(main())
