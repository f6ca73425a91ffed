"""Calls of a user's code that may never end: in a thread of their own, so that Ctrl-C and a limit of time work.

Compiled code cannot be stopped: what is given up goes on in its thread until the process ends (`left_behind` tells). Plain
Python is stopped.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fastsgd.errors import InputError, NotEnding

Value = TypeVar("Value")

VARIABLE = "FASTSGD_PATIENCE"
_TICK = 0.25  # seconds between looks at a call
_SECONDS, _FACTOR = 60.0, 20.0  # a call has no end if it takes longer than both, the latter times what it should


def _folders() -> tuple[str, ...]:
    """Of code that calls a kernel: fastsgd and its kernels, and nothing that is installed beside them, such as a compiler."""
    kernels = importlib.util.find_spec("fastsgd.kernels")
    assert kernels is not None and kernels.origin is not None
    return tuple(str(folder) + os.sep for folder in (Path(__file__).parents[1], Path(kernels.origin).parent))


_OURS = _folders()


class TooLong(Exception):
    """A call has not ended in time; `line`: where in a file plain Python was, None of compiled code."""

    def __init__(self, line: int | None):
        super().__init__("too long")
        self.line = line


class _Stopped(SystemExit):
    """Ends a thread without a word."""


@dataclass
class _Call:
    call: Callable[[], Any]
    threads: int
    ended: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: BaseException | None = None


class _Helper:
    """A thread that makes calls, one at a time, until it is given up."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._gone = False
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def begin(self, call: _Call) -> None:
        self._calls.put(call)

    def _work(self) -> None:
        import numba

        while not self._gone:
            call = self._calls.get()
            try:
                numba.set_num_threads(call.threads)  # kept by thread
                call.value = call.call()
            except BaseException as error:  # the caller's
                call.error = error
            call.ended.set()
            del call

    def give_up(self) -> None:
        """End the thread, at once if it is in plain Python."""
        self._gone = True
        _abandoned.append(self.thread)
        if self.thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(_Stopped))

    def line(self, file: str | None) -> int | None:
        frame = sys._current_frames().get(self.thread.ident or 0)
        while frame is not None and frame.f_code.co_filename != file:
            frame = frame.f_back
        return None if frame is None else frame.f_lineno

    def in_kernel(self) -> bool:
        """Whether the innermost Python is ours, which waits for a kernel, and not a compiler."""
        frame = sys._current_frames().get(self.thread.ident or 0)
        return frame is not None and frame.f_code.co_filename.startswith(_OURS)


_idle: list[_Helper] = []
_abandoned: list[threading.Thread] = []


def left_behind() -> bool:
    """Whether a call that was given up is still going on: such a process must end by `os._exit`."""
    return any(thread.is_alive() for thread in _abandoned)


def patiently(call: Callable[[], Value], seconds: float | None = None, file: str | None = None) -> Value:
    """call(), or its exception. Raises TooLong after so many seconds (None: no limit); file: whose lines are told."""
    return _called(call, lambda ended, helper: ended.wait(seconds), file)


def _called(
    call: Callable[[], Value], wait: Callable[[threading.Event, _Helper], bool], file: str | None = None
) -> Value:
    """call() in a helper's thread. wait: whether it has ended; if not, it is given up."""
    import numba

    try:
        helper = _idle.pop()
    except IndexError:
        helper = _Helper()
    asked, line = _Call(call, numba.get_num_threads()), None
    try:  # a Ctrl-C may come as soon as the call has begun
        helper.begin(asked)
        wait(asked.ended, helper)
    finally:
        if asked.ended.is_set():
            _idle.append(helper)
        else:
            line = helper.line(file)
            helper.give_up()
    if not asked.ended.is_set() or isinstance(asked.error, _Stopped):
        raise TooLong(line)
    if asked.error is not None:
        raise asked.error
    found: Value = asked.value
    return found


class Guard:
    """Calls of compiled code that has a user's functions in it; what takes far longer than it should is given up.

    Time counts while both the clock and the processor's time of this process go on, and not while something is compiled.

    Attributes:
        seconds: of a unit of work, as measured last; None: not yet, and no limit.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None

    def __call__(self, call: Callable[[], Value], work: float, what: str = "a call") -> Value:
        """call(), or its exception. Raises NotEnding.

        work: how much there is to do, in units that calls have in common; what: of the message, before "has not ended".
        """
        forecast = None if self.seconds is None else self.seconds * work
        limit = float("inf") if forecast is None else max(_patience(), _FACTOR * forecast)
        begun, compiling, counted = time.monotonic(), 0.0, 0.0

        def wait(ended: threading.Event, helper: _Helper) -> bool:
            nonlocal compiling, counted
            now, used = time.monotonic(), time.process_time()
            while not ended.wait(min(_TICK, limit)):
                before, before_used = now, used
                now, used = time.monotonic(), time.process_time()
                if helper.in_kernel():
                    counted += min(now - before, used - before_used)
                else:
                    compiling += now - before
                if counted > limit:
                    return False
            return True

        try:
            found = _called(call, wait)
        except TooLong:
            raise NotEnding(
                f"{what} has not ended after {counted:.3g} s, where {forecast:.2g} s were expected; see if a loop in it has no "
                f"end there ({VARIABLE}=SECONDS waits longer)"
            ) from None
        self.seconds = max(time.monotonic() - begun - compiling, 1e-9) / max(work, 1.0)
        return found


def _patience() -> float:
    """Seconds that every call may take, by the environment."""
    said = os.environ.get(VARIABLE, "").strip()
    try:
        seconds = float(said or _SECONDS)
    except ValueError:
        seconds = 0.0
    if not seconds > 0.0:
        raise InputError(f"{VARIABLE} must be a number of seconds > 0, got {said!r}; set it to one or unset it")
    return seconds
