"""The command line: ``python -m rs_textseg_plugin.engine segment | models | word-lists | self-test | worker``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from rs_textseg_plugin.contract.errors import TextSegError
from rs_textseg_plugin.contract.version import VERSION
from rs_textseg_plugin.engine.cli.models import add_models
from rs_textseg_plugin.engine.cli.segment import add_segment
from rs_textseg_plugin.engine.cli.self_test import add_self_test
from rs_textseg_plugin.engine.cli.word_lists import add_word_lists

_MAY_BEGIN_WITH_A_DASH = ("--text", "--phrase", "--extent", "--nodata", "--param")

# What the loader of glibc says of a library that does not fit into the memory that a process may take.
_NO_ROOM_FOR_A_LIBRARY = ("failed to map segment", "cannot map zero-fill pages", "annot allocate memory")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0 done, 2 bad input, 1 failed, 130 cancelled."""
    _open_standard_streams()
    _look_here_last()
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except TextSegError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_status
    except (ImportError, MemoryError) as error:
        if isinstance(error, ImportError) and not any(words in str(error) for words in _NO_ROOM_FOR_A_LIBRARY):
            raise
        reason = str(error).splitlines()[0] if str(error) else "no details"
        print(f"Memory ran out while the engine started ({reason}): raise the limit of memory.", file=sys.stderr)
        return 1


def _open_standard_streams() -> None:
    """Open what the program was started without; else the next file that is opened would be its standard output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY
            os.dup2(os.open(os.devnull, flags), number)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _look_here_last() -> None:
    """Let no neighbour of this package shadow a package of the engine's environment.

    Started with -m, the folder that holds this package is searched first; in a QGIS profile it holds all plugins.
    """
    here = Path(__file__).resolve().parents[2]
    if sys.path and Path(sys.path[0] or ".").resolve() == here:
        sys.path.append(sys.path.pop(0))


def _joined(arguments: Sequence[str]) -> list[str]:
    """Tie values such as ``-shadow,road`` or ``-5.2,40,-5.1,41`` to their option; argparse takes them for options."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _MAY_BEGIN_WITH_A_DASH and _has_one_dash(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _has_one_dash(argument: str) -> bool:
    return argument.startswith("-") and not argument.startswith("--")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence; the list of all options would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"The command is not understood ({message}): see '{self.prog} --help'.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m rs_textseg_plugin.engine", description="RS TextSeg's engine.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_segment(commands.add_parser("segment", help="segment a raster by text"))
    add_models(commands.add_parser("models", help="list, fetch, verify or import model sets"))
    add_word_lists(commands.add_parser("word-lists", help="list, show or save class lists under a name"))
    add_self_test(commands.add_parser("self-test", help="see whether this environment can do its work"))
    worker = commands.add_parser("worker", help="serve requests as JSON lines on stdin and stdout")
    worker.set_defaults(command=_worker)
    return parser


def _worker(_: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.worker import serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
