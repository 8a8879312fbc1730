"""Running jobs side by side, each in a process with one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from minadder.experiments.jobs import Job, Result, read_result, run_job
from minadder.training import Callback, Run


class StopWithParent(Callback):
    """Ends the process when the one that started it is gone, as after `kill -9`: nobody waits for the result."""

    def __init__(self, parent: int) -> None:
        self.parent = parent

    def on_step_end(self, run: Run) -> None:
        """Look whether the parent is still there; the last checkpoint stays."""
        if os.getppid() != self.parent:
            os._exit(1)


def in_worker(name: str, job: Job, folder: Path, parent: int) -> tuple[str, Result]:
    """Run a job in a process that `parent` started, and return its name with the result."""
    return name, run_job(job, folder, [StopWithParent(parent)])


def run_jobs(jobs: Mapping[str, Job], out: Path, processes: int) -> Iterator[tuple[str, Result]]:
    """Run jobs that have no result yet, and yield (name, result) of all as they come.

    Parameters
    ----------
    jobs
        By name, which is also the name of the job's folder.
    out
        The folder of these folders.
    processes
        How many run at the same time, with one thread each; with 1 they run in this process, on all threads.

    Raises
    ------
    ValueError
        When a folder holds the result of another job.
    """
    from joblib import Parallel, delayed, parallel_config

    todo = {}
    for name, job in jobs.items():
        known = read_result(out / name, job)
        if known is None:
            todo[name] = job
        else:
            yield name, known
    if processes == 1 or not todo:
        for name, job in todo.items():
            yield name, run_job(job, out / name)
        return
    with parallel_config(backend="loky", n_jobs=processes, inner_max_num_threads=1):
        calls = (delayed(in_worker)(name, job, out / name, os.getpid()) for name, job in todo.items())
        yield from Parallel(return_as="generator_unordered", pre_dispatch="all", batch_size=1)(calls)
