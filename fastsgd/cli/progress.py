"""Progress of a simulation on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
from types import TracebackType
from typing import Any, TextIO

LINE_EVERY = 5.0


def span(seconds: float) -> str:
    """A duration as H:MM:SS."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def rate(per_second: float) -> str:
    """A speed with an SI prefix, in replicate-steps per second."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= factor:
            return f"{per_second / factor:.3g} {prefix} replicate-steps/s"
    return f"{per_second:.3g} replicate-steps/s"


class Progress:
    """A context manager whose `update(done, total, seconds)` an engine may call as often as it likes.

    The speed and the time left count from the first call, so that work done before a resume does not flatter them.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream if stream is not None else sys.stderr
        self._started = False
        self._first = (0, 0.0)
        self._last_line = float("-inf")
        self._bar: Any = None
        self._task: Any = None
        self._prefix = ""
        self._ended = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int, seconds: float, ended: bool | None = None) -> None:
        """`done` of `total` replicate-steps, `seconds` after the start; `ended` by default once all are done."""
        ended = done >= total if ended is None else ended
        if not self._started:
            self._started, self._first = True, (done, seconds)
            if self.stream.isatty():
                self._start_bar(total)
        elapsed = seconds - self._first[1]
        speed = (done - self._first[0]) / elapsed if elapsed > 0 else 0.0
        left = (total - done) / speed if speed > 0 else None
        if self._bar is not None:
            ahead = span(left) if left is not None else "?"
            self._bar.update(
                self._task, completed=done, total=total, speed=rate(speed), left=ahead, prefix=self._prefix
            )
        elif seconds - self._last_line >= LINE_EVERY or (ended and not self._ended):
            self._last_line, self._ended = seconds, ended
            ahead = f", {span(left)} left" if left is not None and done < total else ""
            speed_text = f", {rate(speed)}" if speed > 0 else ""
            text = f"{done / max(total, 1):.1%} after {span(seconds)}{speed_text}{ahead}"
            print(f"{self._prefix}, {text}" if self._prefix else text, file=self.stream, flush=True)

    def sweep(self, status: Any) -> None:
        """The same for a sweep's `Status`, with its cells counted."""
        failed = f", {status.failed} failed" if status.failed else ""
        self._prefix = f"{status.finished}/{status.cells} cells{failed}"
        ended = status.finished + status.failed >= status.cells
        self.update(status.done, status.total, status.seconds, ended)

    def runs(self, status: Any) -> None:
        """The same for the runs of a reproduction."""
        failed = f", {status.failed} failed" if status.failed else ""
        self._prefix = f"{status.finished}/{status.cells} runs{failed}"
        if status.total:
            ended = status.finished + status.failed >= status.cells
            self.update(status.done, status.total, status.seconds, ended)

    def note(self, text: str) -> None:
        """One remark, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self.stream, flush=True)

    def _start_bar(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        after = TextColumn("{task.fields[prefix]}  {task.fields[speed]}  {task.fields[left]} left")
        columns = (BarColumn(), TaskProgressColumn(), after)
        self._bar = Bar(*columns, console=Console(file=self.stream), transient=True)
        self._task = self._bar.add_task("", total=total, speed="", left="?", prefix="")
        self._bar.start()
