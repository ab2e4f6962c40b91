"""What every way to reach an engine offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rs_textseg_plugin.contract.events import Event, Failed
from rs_textseg_plugin.contract.request import Request

BUSY = Failed(
    "EngineUnavailable",
    "The engine is busy with another query: wait until it has ended, or cancel it, and run again.",
)


class EngineClient(Protocol):
    """One engine, one run at a time."""

    def run(self, request: Request) -> Iterator[Event]:
        """Yield the events of a run; the last one is `Finished` or `Failed`.

        Failures are events, never exceptions. Leaving the iterator early cancels the run. While a run is under
        way, another one gets `BUSY` and nothing else.
        """
        ...

    def cancel(self) -> None:
        """Stop the current run from any thread; nothing happens where there is none.

        The running iterator then ends with ``Failed(kind="Cancelled")``, or with `Finished` where the results
        were already written when the engine heard of it.
        """
        ...

    def close(self) -> None:
        """End the engine, a run under way included; can be called twice and from any thread."""
        ...
