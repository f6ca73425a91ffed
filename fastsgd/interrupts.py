"""Turns SIGINT and SIGTERM into a wish to stop that the engine asks about between time segments."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from fastsgd.errors import AtOnce


class StopRequest:
    """While entered, SIGINT and SIGTERM raise KeyboardInterrupt until `saving` is set; from then on the first one only
    sets `reason`, and a second SIGINT raises AtOnce.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.saving = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = self.reason is None
        self.reason = "interrupted" if number == signal.SIGINT else "terminated"
        if not self.saving:
            raise KeyboardInterrupt
        if not first and number == signal.SIGINT:
            raise AtOnce


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Processes and threads begun meanwhile never see a terminal's Ctrl-C: who began them tells them when to stop."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
