"""Running jobs side by side, each in a process with one thread."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path

from minadder.experiments.jobs import Job, Result, check_checkpoint, read_result, run_job
from minadder.experiments.workers import in_processes


def run_named(call: tuple[str, Job, Path]) -> tuple[str, Result]:
    """Run a job (name, job, folder) and return its name with the result."""
    name, job, folder = call
    return name, run_job(job, folder)


def run_jobs(jobs: Mapping[str, Job], out: Path, processes: int) -> Generator[tuple[str, Result], None, None]:
    """Run jobs that have no result yet, and yield (name, result) of all as they come; closed, end at once.

    Parameters
    ----------
    jobs
        By name, which is also the name of the job's folder.
    out
        The folder of these folders.
    processes
        How many run at the same time, with one thread each; one alone runs in this process, on all threads.

    Raises
    ------
    ValueError
        When a folder holds the result or the checkpoint of another job, before any is run.
    """
    todo = {}
    for name, job in jobs.items():
        known = read_result(out / name, job)
        if known is None:
            check_checkpoint(out / name, job)
            todo[name] = job
        else:
            yield name, known
    if min(processes, len(todo)) <= 1:
        for name, job in todo.items():
            yield name, run_job(job, out / name)
        return
    calls = [(name, job, out / name) for name, job in todo.items()]
    with closing(in_processes(run_named, calls, processes)) as results:
        yield from results
