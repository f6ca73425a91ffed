"""Calls of a user's code that may never end: in a thread of their own, so that Ctrl-C and a limit of time work.

Compiled code cannot be stopped: what is given up goes on in its thread until the process ends. Plain Python is stopped.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class TooLong(Exception):
    """A call has not ended in time; `line`: where in a file plain Python was, None of compiled code."""

    def __init__(self, line: int | None):
        super().__init__("too long")
        self.line = line


class _Stopped(SystemExit):
    """Ends a thread without a word."""


def patiently(call: Callable[[], Value], seconds: float | None = None, file: str | None = None) -> Value:
    """call(), or its exception. Raises TooLong after so many seconds (None: no limit); file: whose lines are told."""
    import numba

    found: list[Value] = []
    failed: list[BaseException] = []
    threads = numba.get_num_threads()  # kept by thread

    def work() -> None:
        try:
            numba.set_num_threads(threads)
            found.append(call())
        except BaseException as error:  # the caller's
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    finally:
        line = _line(thread, file)
        if thread.is_alive() and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Stopped))
    if failed and not isinstance(failed[0], _Stopped):
        raise failed[0]
    if found:
        return found[0]
    raise TooLong(line)


def _line(thread: threading.Thread, file: str | None) -> int | None:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return None if frame is None else frame.f_lineno
