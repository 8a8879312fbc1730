"""The command `minadder toy`: the papers' toy experiments, their figures, and how often each net solves its task."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from minadder import files, plot, provenance, streams
from minadder.commands import results
from minadder.commands.arguments import positive_int
from minadder.experiments import toy, toy_report, workers
from minadder.nn.convert import KINDS

QUICK_ITERATIONS, QUICK_POINTS = 300, 300
MOST_BYTES = 1 << 24
"""Of a net's file, far more than one of a few hidden units has."""
FIGURE, STRIPS, TABLE, NUMBERS, NETS = "decision.png", "accuracies.png", "toy.txt", "toy.json", "nets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = (
        "Train nets of a few hidden units on points in the plane (Universal AdderNets, Sec. 5.3; preprint 5.1), draw "
        "their decision boundaries, and tell how often each solves its task. Leaves in the folder the figures, the "
        "table, all numbers as JSON, and each net; nets that are there already are not trained again. "
        + toy.RECIPES["papers"].assumed(toy.POINTS)
    )
    parser.add_argument("task", choices=tuple(toy.TASKS), help="the points and their labels")
    parser.add_argument(
        "--seeds",
        type=positive_int,
        default=1,
        help="how many times to train each net; ten times take some 20 seconds on two cores (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=files.path_argument,
        help="the folder for what comes of it (default: runs/toy-TASK)",
    )
    parser.add_argument(
        "--recipe",
        choices=tuple(toy.RECIPES),
        default="papers",
        help="; ".join(f"{name}: {recipe.text}" for name, recipe in toy.RECIPES.items()) + " (default: %(default)s)",
    )
    parser.add_argument(
        "--kinds", choices=tuple(KINDS), nargs="+", default=["conv", "adder"], help="the kinds of layers, one row each"
    )
    parser.add_argument(
        "--processes", type=positive_int, help="how many processes train at a time (default: one for each core)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_ITERATIONS} iterations on {QUICK_POINTS} points, to see that it works",
    )


def run(options: argparse.Namespace) -> int:
    """Train what is not there yet, print the table and write the figures; return the exit code.

    Raises
    ------
    OSError
        When the folder cannot be written.
    ValueError
        When the folder holds nets of other settings.
    """
    wanted = toy.jobs(options.task, options.seeds, options.recipe, tuple(dict.fromkeys(options.kinds)))
    if options.quick:
        wanted = [replace(job, iterations=QUICK_ITERATIONS, points=QUICK_POINTS) for job in wanted]
    out = options.out or Path("runs") / f"toy-{options.task}"
    results.prepared(out, (FIGURE, STRIPS, TABLE, NUMBERS))
    results.prepared(out / NETS, [f"{job.name}.json" for job in wanted])
    begin = time.perf_counter()
    try:
        found = train_missing(wanted, out / NETS, options.processes or workers.cores())
    except KeyboardInterrupt as stop:
        raise type(stop)(f"the same command goes on with the nets in {files.shown(out / NETS)}") from None
    rows = toy_report.rows(found)
    told = toy_report.lines(rows)
    if options.quick:
        told.append("Of a quick run these figures say nothing.")
    write(out, rows, provenance.with_head(options.typed, "\n".join(told).strip().splitlines()))
    streams.say(*told, "", f"{len(found)} nets, {time.perf_counter() - begin:.0f} s; results in {files.shown(out)}")
    return 0


def train_missing(jobs: Sequence[toy.Job], folder: Path, processes: int) -> list[toy.Result]:
    """Return the results of all jobs in their order; those that are not in the folder are trained, and kept there."""
    done = {job: kept for job in jobs if (kept := kept_result(job, folder)) is not None}
    missing = [job for job in jobs if job not in done]
    if done and missing:
        streams.tell(f"{len(done)} of {len(jobs)} nets are there already")
    largest_first = toy.together(missing)[::-1]  # so that no process is left alone with a long one at the end
    with closing(workers.in_processes(toy.train_together, largest_first, processes)) as trained:
        for found in trained:
            for result in found:
                files.write_file(place(result.job, folder), result.to_json().encode())
                done[result.job] = result
            job = found[0].job
            streams.tell(
                f"{len(done)}/{len(jobs)}: {job.task}, {toy_report.kind_name(job.kind)}, n = {job.hidden}: "
                f"{sum(result.solved for result in found)} of {len(found)} solve it, "
                f"{sum(result.seconds for result in found):.1f} s"
            )
    return [done[job] for job in jobs]


def place(job: toy.Job, folder: Path) -> Path:
    """Return the file of a job's result."""
    return folder / f"{job.name}.json"


def kept_result(job: toy.Job, folder: Path) -> toy.Result | None:
    """Return the result that an earlier run left, None where there is none or it cannot be read.

    Raises
    ------
    ValueError
        When it is of other settings.
    """
    file = place(job, folder)
    if not file.exists():
        return None
    try:
        result = toy.Result.from_json(files.read_file(file, MOST_BYTES).decode())
    except ValueError as error:
        streams.tell(f"{files.shown(file)}: {error}; training that net again")
        return None
    if result.job != job:
        raise ValueError(
            f"{files.shown(file)} is of other settings: {result.job}, now it is {job}. Choose another --out"
        )
    return result


def write(out: Path, rows: Sequence[toy_report.Row], text: bytes) -> None:
    """Write the table, the numbers and the figures."""
    job = rows[0].results[0].job
    task = toy.TASKS[job.task]
    content = {"task": job.task, "recipe": job.recipe, "iterations": job.iterations, "points": job.points}
    content["settings"] = toy.RECIPES[job.recipe].settings
    numbers = json.dumps({**content, "nets": [row.content() for row in rows]}, indent=1)
    files.write_file(out / TABLE, text)
    files.write_file(out / NUMBERS, (numbers + "\n").encode())
    panels: dict[str, list[plot.Panel]] = {}
    reach = toy.reach(task.points(job.points, 0).inputs)
    for row in rows:
        panels.setdefault(row.kind, []).append(panel(row, reach))
    named = [(toy_report.kind_name(kind), found) for kind, found in panels.items()]
    title = f"{task.title}: {toy.RECIPES[job.recipe].text}, {job.iterations} iterations"
    results.draw(lambda: plot.decision_figure(named, reach, title), out / FIGURE)
    if len(rows[0].results) > 1:
        strips = [(f"{toy_report.kind_name(row.kind)}\nn = {row.hidden}", row.accuracies) for row in rows]
        results.draw(lambda: plot.accuracy_strips(strips, toy.SOLVED, title), out / STRIPS)


def panel(row: toy_report.Row, reach: float) -> plot.Panel:
    """Return the picture of a net's seed, with several the one in the middle by accuracy."""
    result, count = row.middle, len(row.results)
    title = f"n = {row.hidden}: {toy_report.percent(result.accuracy)} %"
    if count > 1:
        title += f"\n(the middle one of {count}; {row.solved} solve it)"
    points = toy.TASKS[result.job.task].points(result.job.points, result.job.seed)
    return plot.Panel(title, toy.field(result, reach), points.inputs, points.labels)
