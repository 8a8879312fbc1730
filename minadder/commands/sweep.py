"""The command `minadder sweep`: one table of the papers, all its trainings side by side, whenever it was stopped."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from pathlib import Path

from minadder import data, files, provenance, streams
from minadder.commands import results
from minadder.commands.arguments import positive_int, seed
from minadder.commands.train import alone_in
from minadder.experiments.jobs import Result
from minadder.experiments.parallel import run_jobs
from minadder.experiments.table import as_lines
from minadder.experiments.tables import TABLES

EPOCHS, QUICK_EPOCHS = 50, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = (
        "Do all trainings of one of the papers' tables, several at a time, and end in a table and a figure beside the "
        "papers' values. Stopped at any moment, the same command goes on: what is done is kept, what was begun goes "
        "on from its last epoch."
    )
    parser.add_argument("table", choices=tuple(TABLES), help="which table")
    parser.add_argument(
        "--data", choices=tuple(data.BY_NAME), default="digits", help="the data set (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=positive_int, help=f"how often to go through the data ({EPOCHS}, or {QUICK_EPOCHS} if --quick)"
    )
    parser.add_argument(
        "--seeds", type=seed, nargs="+", default=[0], help="each row is trained once for each of them (0)"
    )
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=2,
        help="trainings at the same time, each with one thread; 1: one by one, on all threads (%(default)s)",
    )
    parser.add_argument(
        "--out",
        type=files.path_argument,
        help="the folder for what comes of it (runs/sweep-TABLE-DATA)",
    )
    parser.add_argument("--quick", action="store_true", help="few epochs, to see that it works")


def run(options: argparse.Namespace) -> int:
    """Do what is missing of a table, print it, and leave it in the folder; return the exit code.

    Raises
    ------
    ValueError
        When the folder holds results of other settings, or a seed is given twice.
    OSError
        When the folder cannot be written.
    RuntimeError
        When another process works in the folder.
    """
    if len(set(options.seeds)) < len(options.seeds):
        raise ValueError(f"--seeds must differ from each other, not {' '.join(map(str, options.seeds))}")
    out = options.out or Path("runs") / f"sweep-{options.table}-{options.data}"
    results.prepared(out, (f"{options.table}.txt", f"{options.table}.png"))
    try:
        with alone_in(out):
            sweep(options, out)
    except KeyboardInterrupt as stop:
        raise type(stop)(f"the same command goes on with what is in {files.shown(out)}") from None
    return 0


def sweep(options: argparse.Namespace, out: Path) -> None:
    """Do what is missing of a table in a folder where no other process works, print it and write it."""
    table = TABLES[options.table]
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else EPOCHS)
    jobs = table.jobs(options.data, epochs, options.seeds)
    found: dict[str, Result] = {}
    begin = time.perf_counter()
    with closing(run_jobs(jobs, out, options.jobs)) as done:
        for name, result in done:
            found[name] = result
            ending = result["diverged"] or f"test accuracy {100 * result['history'][-1]['test_accuracy']:.2f} %"
            seconds = time.perf_counter() - begin
            streams.tell(f"{name}: {ending} ({len(found)} of {len(jobs)} done, {seconds:.0f} s)")
    rows = table.measured(found, options.seeds)
    seeds = f"seed{'s' if len(options.seeds) > 1 else ''} {', '.join(map(str, options.seeds))}"
    what = f"{options.data}, {epochs} epoch{'s' if epochs > 1 else ''}, {seeds}"
    lines = as_lines(table, rows, what, table.setting == (options.data, epochs))
    files.write_file(out / f"{table.name}.txt", provenance.with_head(options.typed, lines))
    drawn = results.draw(lambda: table.draw(table, rows, what), out / f"{table.name}.png")
    figure = f", {table.name}.png" if drawn else ""
    streams.say(*lines, "", f"written: {table.name}.txt{figure} in {files.shown(out)}")
