"""Finished files on their way to their targets: first all are copied beside them, then all take their places.

What cannot take its place is kept under a free name beside it: hours of computing are not thrown away at the end.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.engine.disk.full_disk import is_full

_PATIENCE_S = 5.0  # viruses' scanners and indexers let go of a file within seconds
_PAUSE_S = 0.2
_LONGEST_STEM_BYTES = 200  # of a free name; file systems allow 255 with number and suffix


@dataclass
class _Group:
    """Files that make sense only together.

    Attributes:
        given: the target as it was asked for.
        target: the same, where links are followed.
        copies: whole copies in the target's folder, and where they belong.
        stale: files of an earlier result that would be wrong beside the new one.
    """

    given: Path
    target: Path
    copies: list[tuple[Path, Path]] = field(default_factory=list)
    stale: list[Path] = field(default_factory=list)


class Placement:
    """Puts the files of one result in place of those of an earlier one.

    Files that belong together take their places all or none. A context manager: what was not committed is taken away.

    Args:
        patience_s: how long a target is waited for that another program holds, in seconds.

    Attributes:
        moved: from targets to the free names under which their files lie, after `commit`.
        notes: what to say of them.
    """

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._groups: list[_Group] = []
        self.moved: dict[Path, Path] = {}
        self.notes: list[str] = []

    def __enter__(self) -> Placement:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for group in self._groups:
            for copy, _ in group.copies:
                with suppress(OSError):
                    copy.unlink(missing_ok=True)

    def put(
        self, source: Path, target: Path, parts: Mapping[str, Path] | None = None, stale: Iterable[str] = ()
    ) -> None:
        """Copy a finished file beside its target, with what belongs to it.

        A target that is a link stays one: the file that it points to is replaced.

        Args:
            source: the file.
            target: its place.
            parts: finished files by the suffix that they have in place of the target's.
            stale: suffixes of files of an earlier result that go.

        Raises:
            OutputError: no space or no right to write there.
        """
        group = _Group(target, Path(os.path.realpath(target)))
        self._groups.append(group)
        for suffix, file in {**(parts or {}), target.suffix: source}.items():
            for place in part_paths(target, suffix):
                copy = _unused_name(place.parent)
                group.copies.append((copy, place))
                try:
                    _copy(file, copy)
                except OSError as error:
                    raise _refused(target, error) from error
        group.stale = [place for suffix in stale for place in part_paths(target, suffix)]

    def commit(self) -> None:
        """Let every file take its place, each in one step where the system can.

        Raises:
            OutputError: neither the target nor a free name beside it can be had.
        """
        for group in self._groups:
            try:
                self._replace(group)
            except OSError as error:
                free = _keep(group, error)
                self.moved[group.given] = free
                self.notes.append(
                    f"The output {group.given} could not be replaced ({error.strerror or error}), probably because "
                    f"another program holds it: the result is in {free}."
                )
        self._groups = []

    def place_of(self, target: str) -> str:
        """Return where the file for a target lies after `commit`; empty for an empty name."""
        return str(self.moved.get(Path(target), target)) if target else ""

    def _replace(self, group: _Group) -> None:
        """Let a group take its place, and wait some seconds for who holds it.

        Raises:
            OSError: it cannot; everything is as it was.
        """
        end = time.monotonic() + self._patience_s
        while True:
            try:
                return _exchange(group)
            except OSError as error:
                if is_full(error) or time.monotonic() > end:
                    raise
            time.sleep(_PAUSE_S)


def part_paths(target: Path, suffix: str) -> set[Path]:
    """Return where the part of a target with a suffix lies, links followed: its own, and the target's.

    The two differ where only some of the parts are links.
    """
    own = Path(os.path.realpath(target.with_suffix(suffix)))
    return {own, Path(os.path.realpath(target)).with_suffix(suffix)}


def _exchange(group: _Group) -> None:
    """Put all copies in place, or none.

    Raises:
        OSError: one could not; everything is as it was.
    """
    aside: list[tuple[Path, Path]] = []  # second names of earlier files, and their own
    placed: list[tuple[Path, Path]] = []
    try:
        for place in group.stale:  # first: a new database must not meet the journal of the old one
            if os.path.lexists(place):
                name = _unused_name(place.parent)
                place.rename(name)
                aside.append((name, place))
        for copy, place in group.copies:
            if os.path.lexists(place):
                aside.append((_second_name(place), place))
            copy.replace(place)
            placed.append((copy, place))
    except OSError:
        for copy, place in reversed(placed):
            place.replace(copy)
        for name, place in reversed(aside):
            name.replace(place)
            name.unlink(missing_ok=True)  # where both are one file, replacing does nothing
        raise
    for name, _ in aside:
        with suppress(OSError):
            name.unlink()


def _second_name(place: Path) -> Path:
    """Give a file another name beside it; its own stays, where the file system knows links."""
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
    name = _unused_name(place.parent)
    try:
        os.link(place, name)
    except OSError:
        place.rename(name)
    return name


def _keep(group: _Group, error: OSError) -> Path:
    """Give copies free names beside their targets; return the main one."""
    suffixes = {place.suffix for place in (*group.stale, *(place for _, place in group.copies))}
    stem = group.target.stem.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
    number = 2
    while any(os.path.lexists(group.target.with_name(f"{stem}-{number}{suffix}")) for suffix in suffixes):
        number += 1
    kept = set[Path]()
    try:
        for copy, place in group.copies:
            free = group.target.with_name(f"{stem}-{number}{place.suffix}")
            if free not in kept:
                copy.rename(free)
                kept.add(free)
    except OSError:
        for free in kept:
            free.unlink(missing_ok=True)
        raise _refused(group.given, error) from error
    return group.target.with_name(f"{stem}-{number}{group.given.suffix}")


def _copy(source: Path, copy: Path) -> None:
    """Copy a file, and have the system say so if it does not reach the disk."""
    with source.open("rb") as read, copy.open("xb") as written:
        shutil.copyfileobj(read, written, 1 << 20)
        written.flush()
        os.fsync(written.fileno())
    if copy.stat().st_size != source.stat().st_size:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(copy))


def _unused_name(folder: Path) -> Path:
    """Return a name that no other process and no other file has."""
    return folder / f".rs_textseg_{uuid.uuid4().hex}.part"


def _refused(target: Path, error: OSError) -> OutputError:
    """Turn the system's refusal into words."""
    advice = "free some space there" if is_full(error) else "close other programs that use it"
    return OutputError(
        f"The output {target} cannot be written ({error.strerror or error}): {advice}, or choose another name."
    )
