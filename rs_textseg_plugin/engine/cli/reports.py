"""Events of a run as lines: JSON for programs, progress and a table for people."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from rs_textseg_plugin.contract.events import Event, Failed, Finished, Progress, Warned
from rs_textseg_plugin.contract.wire import RunEvent, encode


class Report(Protocol):
    """What shows events."""

    def show(self, event: Event) -> None:
        """Show an event."""


class Stream:
    """A stream that may lose its reader, as in ``| head -1``: what cannot be written any more is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._has_reader = True

    def write(self, text: str) -> None:
        """Write a text now, as long as somebody reads."""
        if self._has_reader:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # the pipe is broken, the disk behind it full, or the stream closed
                self._has_reader = False


class JsonReport:
    """Events as the worker would send them."""

    def __init__(self, out: TextIO) -> None:
        self._out = Stream(out)

    def show(self, event: Event) -> None:
        """Write an event as a line of JSON."""
        self._out.write(encode(RunEvent("segment", event)))


class TextReport:
    """Progress on stderr, the table of classes on stdout."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._err = Stream(out), Stream(sys.stderr)

    def show(self, event: Event) -> None:
        """Print what people need of an event."""
        if isinstance(event, Progress):
            self._show_progress(event)
        elif isinstance(event, Warned):
            self._err.write(f"Note: {event.message}\n")
        elif isinstance(event, Finished):
            self._out.write(f"{summary(event)}\n")
        elif isinstance(event, Failed):
            self._err.write("".join(f"{text}\n" for text in (event.details, event.message) if text))

    def _show_progress(self, event: Progress) -> None:
        """One line that is written over on a terminal, one line each in a log."""
        line, end = progress_line(event), "\n"
        if sys.stderr.isatty():
            line, end = f"{line:70}", "\n" if event.fraction >= 1 else "\r"
        self._err.write(f"{line}{end}")


def progress_line(event: Progress) -> str:
    """Return progress in one line: share, stage, tiles, time left."""
    tiles = f", tile {event.tiles_done} of {event.tiles_total}" if event.tiles_total else ""
    left = f", about {_duration(event.seconds_left)} left" if event.seconds_left else ""
    return f"{event.fraction:4.0%} {event.stage}{tiles}{left}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def summary(event: Finished) -> str:
    """Return the table of classes and where the results lie."""
    width = max(5, *(len(row.name) for row in event.classes))
    lines = [f"{'class':{width}}  polygons     area m2  mean score"]
    lines += [
        f"{row.name:{width}}  {row.count:8d}  {row.area_m2:10.1f}  {row.mean_score:10.3f}" for row in event.classes
    ]
    lines.append(f"{event.seconds:.1f} s on {event.device}")
    if event.is_demo:
        lines.append("Made with the demo models: for trying the product, not for maps.")
    paths = (
        event.path, event.label_raster, event.score_raster, event.class_scores, event.map_picture, event.clicks,
    )  # fmt: skip
    lines.append("Written: " + ", ".join(path for path in paths if path))
    return "\n".join(lines)
