"""A Dask client: of a scheduler that is there, or of worker processes of our own that listen on the loopback only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fastsgd.errors import InputError, RunError
from fastsgd.interrupts import without_ctrl_c

PATIENCE = 60.0  # seconds until the first worker must be there
POLL = 0.5


@contextmanager
def connected(scheduler: str | None, workers: int | None, cores: int) -> Iterator[tuple[Any, int | None]]:
    """A client, and the kernel threads of a task (None: those of its worker).

    Args:
        scheduler: address of a Dask scheduler, such as tcp://host:8786.
        workers: without a scheduler: so many processes here, which share `cores` and end with this.

    Raises:
        InputError: Dask is not installed, nobody answers, or there are no workers.
    """
    try:
        import distributed
    except ImportError:
        raise InputError("Dask is not installed; pip install 'fastsgd[cluster]'") from None
    if (scheduler is None) == (workers is None):
        raise InputError("give either the address of a scheduler or a number of workers")
    if workers is not None and workers < 1:
        raise InputError(f"workers must be >= 1, got {workers}")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        address: Any = scheduler
        if workers is not None:
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()  # which would let the signal through when it starts
            with without_ctrl_c():
                address = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1",
                        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
                    )
                )  # fmt: skip
        try:
            client = stack.enter_context(distributed.Client(address, set_as_default=False, timeout=20))
        except (OSError, ValueError, TimeoutError) as error:
            text = " ".join(str(error).split())
            raise InputError(f"no Dask scheduler answers at {scheduler}: {text}; start `dask scheduler`") from None
        _check(client, scheduler)
        yield client, None if workers is None else max(1, cores // workers)


def _check(client: Any, scheduler: str | None) -> None:
    """InputError unless workers are there and have this very software."""
    from fastsgd.cluster.task import software

    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise InputError(f"{scheduler} has no workers; start `dask worker {scheduler}` on the machines") from None
    here = software()
    for address, found in _asked(client, software).items():
        if isinstance(found, BaseException):
            text = " ".join(str(found).split())
            raise RunError(f"worker {address} cannot use fastsgd: {text}; install fastsgd {here[0]} there")
        if found != here:
            raise InputError(
                f"worker {address} has fastsgd {found[0]} with random numbers of version {found[1]}, here are {here[0]} "
                f"and {here[1]}; install the same on all machines"
            )


def _asked(client: Any, question: Callable[[], Any]) -> dict[str, Any]:
    """Answers, or exceptions, of the workers that live; one that dies meanwhile is no obstacle, its tasks go elsewhere."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answers = client.run(question, on_error="return")
        living = {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}
        if living:
            return living
        if time.monotonic() > deadline:
            raise RunError(f"no worker answers: {'; '.join(map(str, answers.values())) or 'all have gone'}")
        time.sleep(POLL)
