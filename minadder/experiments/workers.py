"""Trainings side by side, each in a process of its own with one thread."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], processes: int
) -> Generator[Result, None, None]:
    """Yield what the function gives for each job, in the order in which they end.

    When it is not asked to the end, as after Ctrl-C or an error, the processes end at once: close it, as
    `contextlib.closing` does, to be sure of the moment.

    Parameters
    ----------
    function
        A function of a module, so that another process finds it.
    jobs
        Its arguments.
    processes
        How many at a time. One, or one job, runs in this process.
    """
    if min(processes, len(jobs)) <= 1:
        yield from map(function, jobs)
        return
    import joblib

    with joblib.parallel_config("loky", n_jobs=min(processes, len(jobs)), inner_max_num_threads=1):
        parallel = joblib.Parallel(return_as="generator_unordered", pre_dispatch="all", batch_size=1)
        with ctrl_c_waits():
            results = parallel(joblib.delayed(in_worker)(os.getpid(), function, job) for job in jobs)
        try:
            for result in results:  # noqa: UP028  (`yield from` would close it first: see below)
                yield result
        finally:  # closed, joblib would warn of what it cancels; a generator that has ended throws the same back
            with suppress(KeyboardInterrupt):
                results.throw(KeyboardInterrupt())


WATCH = 0.1
"""Seconds between two looks whether the process that waits for the results is still there."""


def in_worker(parent: int, function: Callable[[Job], Result], job: Job) -> Result:
    """Run a job in a process that leaves Ctrl-C to the one that started it, and ends when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    done = threading.Event()
    threading.Thread(target=end_with, args=(parent, done), daemon=True).start()
    try:
        return function(job)
    finally:
        done.set()


def end_with(parent: int, done: threading.Event) -> None:
    """End this process if its parent ends before the job is done, as after `kill -9`: nobody waits for the result."""
    while not done.wait(WATCH):
        if os.getppid() != parent:
            os._exit(1)


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back for a moment, and from processes that are started here: they would all tell of it.

    A terminal sends it to every process. The one that waits for the results ends the others. The tracker that joblib
    starts with its first process would let Ctrl-C through again, so it is started before.
    """
    from joblib.externals.loky.backend import resource_tracker

    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
