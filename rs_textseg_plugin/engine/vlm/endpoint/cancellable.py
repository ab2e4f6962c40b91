"""Waiting for the network, and giving up on it at once when the user does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from rs_textseg_plugin.engine.compute.run_control import RunControl

T = TypeVar("T")

_ASK_AGAIN_S = 0.1
_LAST_WORDS_S = 1.0  # a cancelled connection closes within milliseconds


def run_cancellable(work: Callable[[], Coroutine[Any, Any, T]], control: RunControl) -> T:
    """Run a coroutine in an event loop of its own and return what it returns; what it raises is raised here.

    The loop lives in a daemon thread, so that it works where the caller's thread has a loop already, and so that
    nothing, not even a name server that does not answer, can keep the caller or the process waiting.

    Args:
        work: makes the coroutine; not called if the user gave up before.
        control: is asked ten times a second, from the caller's thread.

    Raises:
        Cancelled: the user has given up. The coroutine was cancelled, with its connections.
    """
    control.check()
    call = _Call(work)
    try:
        while not call.is_done_within(_ASK_AGAIN_S):
            control.check()
        return call.result()
    finally:
        call.end()


class _Call(Generic[T]):
    """A coroutine on its way."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_DaemonThreads())
        self._task = self._loop.create_task(work())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._live, name="rs-textseg-endpoint", daemon=True)
        self._thread.start()

    def is_done_within(self, seconds: float) -> bool:
        """Wait, at most so long; return whether there is a result."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """Return the coroutine's value, or raise its error."""
        return self._task.result()

    def end(self) -> None:
        """Cancel what is not done, and wait until its connections are closed."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: all is done
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_LAST_WORDS_S)

    def _live(self) -> None:
        try:
            self._loop.run_until_complete(asyncio.wait({self._task}))
            if not self._task.cancelled():
                self._task.exception()  # else asyncio prints what nobody asked for, with what was sent
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._done.set()
            self._loop.close()


class _DaemonThreads(ThreadPoolExecutor):
    """Runs what blocks (the look-up of a host's name) in threads that the end of the process does not wait for."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function in a thread of its own."""
        future: Future[T] = Future()
        threading.Thread(target=_fulfil, args=(future, fn, args, kwargs), daemon=True).start()
        return future


def _fulfil(future: Future[T], fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = fn(*args, **kwargs)
    except (OSError, ValueError) as error:  # no such name; no name at all
        future.set_exception(error)
    else:
        future.set_result(result)
