"""Trainings side by side, each in a process of its own with one thread."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from minadder import streams

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
    from concurrent.futures import FIRST_COMPLETED, wait

    from joblib.externals.loky import ProcessPoolExecutor

    with ctrl_c_waits(), streams.filled():
        executor = ProcessPoolExecutor(
            min(processes, len(jobs)), initializer=exec, initargs=(FIRST.format(os.getpid()), {}), env=ONE_THREAD
        )
    waiting, running = iter(jobs), set()
    try:
        with ctrl_c_waits(), streams.filled():
            running = {executor.submit(function, job) for job in islice(waiting, processes)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            with ctrl_c_waits(), streams.filled():
                running |= {executor.submit(function, job) for job in islice(waiting, len(done))}
            yield from [result.result() for result in done]
    finally:
        # shut down with a job that no process was given yet, the executor would fail with a traceback
        while not all(job.running() or job.done() for job in running):
            time.sleep(0.001)
        executor.shutdown(kill_workers=True)


LIBRARIES = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR")
ONE_THREAD = {**{f"{name}_NUM_THREADS": "1" for name in LIBRARIES}, "VECLIB_MAXIMUM_THREADS": "1"}
"""The environment in which all that NumPy and Numba may stand on uses one thread."""

WATCH = 0.1
"""Seconds between two looks whether the process that waits for the results is still there."""

FIRST = f"""
import os, signal, threading, time

signal.signal(signal.SIGINT, signal.SIG_IGN)

def wait_for(parent):
    if os.name == "nt":  # where a process keeps the number of a parent that has ended
        import _winapi

        _winapi.WaitForSingleObject(_winapi.OpenProcess(_winapi.SYNCHRONIZE, False, parent), _winapi.INFINITE)
        return
    while os.getppid() == parent:
        time.sleep({WATCH})

def end_with(parent):
    try:
        wait_for(parent)
    finally:
        os._exit(1)

threading.Thread(target=end_with, args=({{}},), daemon=True).start()
"""
"""What a process does before it imports anything, which takes seconds: it leaves Ctrl-C to the process that started it,
and ends, at work or not, when that has ended, as after `kill -9`. Nobody waits for its results then."""


QUIET = "ignore:resource_tracker"
"""Has a tracker say nothing of what it deletes behind a killed process: nobody can do anything about it."""


def start_trackers() -> None:
    """Start the processes of Python and of joblib that delete what a killed process leaves in the system."""
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as joblibs_tracker

    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = f"{before},{QUIET}" if before else QUIET
    try:
        resource_tracker.ensure_running()
        joblibs_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back for a moment, and from processes that are started here: they would all tell of it.

    A terminal sends it to every process. The one that waits for the results ends the others. The trackers that Python
    and joblib start with their first process would let Ctrl-C through again, so they are started before. Windows cannot
    hold it back: there a process that is just being started may tell of it too.
    """
    start_trackers()
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
