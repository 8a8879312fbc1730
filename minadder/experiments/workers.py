"""Many small trainings at a time, each in a process of its own with one thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(function: Callable[[Job], Result], jobs: Sequence[Job], processes: int) -> Iterator[Result]:
    """Yield what the function gives for each job, in the order in which they end.

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
        parallel = joblib.Parallel(return_as="generator_unordered")
        yield from parallel(joblib.delayed(function)(job) for job in jobs)
