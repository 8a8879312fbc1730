"""A table of the papers as rows of jobs, and what was measured of each row beside the papers' figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from minadder.experiments.jobs import Job, Result, make

MISSING = "–"


@dataclass(frozen=True)
class Row:
    """A row of a table: a setting, and what the papers report for it."""

    key: str
    """What the folders of its jobs are called, before the seed."""
    label: str
    """What the table and the figure call it."""
    settings: Mapping[str, Any]
    """What differs from `jobs.RECIPE`."""
    paper: float | None = None
    """The papers' test accuracy in percent."""


@dataclass(frozen=True)
class Measured:
    """The results of a row, one for each seed."""

    row: Row
    results: Sequence[Result]

    @property
    def curves(self) -> list[list[float]]:
        """Return the test accuracy in percent by epoch, a list for each seed."""
        return [[100 * epoch["test_accuracy"] for epoch in result["history"]] for result in self.results]

    @property
    def last(self) -> list[float]:
        """Return the test accuracy in percent after the last epoch, of those seeds whose training did not diverge."""
        pairs = zip(self.results, self.curves, strict=True)
        return [curve[-1] for result, curve in pairs if result["diverged"] is None]

    @property
    def best(self) -> float | None:
        """Return the best test accuracy in percent of all epochs and seeds, None where no epoch was finished."""
        return max((value for curve in self.curves for value in curve), default=None)

    @property
    def diverged(self) -> int:
        """Return how many trainings ended with NaN or Inf."""
        return sum(result["diverged"] is not None for result in self.results)


@dataclass(frozen=True)
class Table:
    """One table or figure of the papers.

    Parameters
    ----------
    name
        What `minadder sweep` calls it.
    title
        What it shows, and of which paper.
    paper
        What the papers' figures were measured on.
    rows
        Its rows.
    draw
        From (table, measured rows, a line on what was measured) to a figure.
    notes
        What one must know to read it.
    setting
        The data and the epochs with which this library measures what the papers did, None where it cannot.
    """

    name: str
    title: str
    paper: str
    rows: tuple[Row, ...]
    draw: Callable[[Table, Sequence[Measured], str], Any]
    notes: tuple[str, ...] = ()
    setting: tuple[str, int] | None = None

    def jobs(self, data: str, epochs: int, seeds: Sequence[int]) -> dict[str, Job]:
        """Return the jobs of all rows and seeds by name."""
        return {job_name(row, seed): make(row.settings, data, epochs, seed) for seed in seeds for row in self.rows}

    def measured(self, results: Mapping[str, Result], seeds: Sequence[int]) -> list[Measured]:
        """Return the rows with the results that `jobs` gave, by the same names."""
        return [Measured(row, [results[job_name(row, seed)] for seed in seeds]) for row in self.rows]


def job_name(row: Row, seed: int) -> str:
    """Return the name of a row's job."""
    return f"{row.key}-seed{seed}"


def spread(values: Sequence[float]) -> str:
    """Return the mean, and the standard deviation where there are several values.

    Examples
    --------
    >>> from minadder.experiments.table import spread
    >>> spread([]), spread([99.4]), spread([99.4, 99.6])
    ('–', '99.40', '99.50 ± 0.14')
    """
    if not values:
        return MISSING
    deviation = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{deviation}"


def as_lines(table: Table, rows: Sequence[Measured], what: str, comparable: bool) -> list[str]:
    """Return the table: the mean accuracy after the last epoch, the best of all epochs, the papers'.

    Where the two were measured on the same data for as long, which makes them `comparable`, it has their difference.
    """
    headers = ["", "test accuracy %", "best epoch %", "papers %", *(["difference"] if comparable else [])]
    cells = []
    for found in rows:
        accuracy, paper = found.last, found.row.paper
        difference = None if paper is None or not accuracy else mean(accuracy) - paper
        text = spread(accuracy) + (f" ({found.diverged} diverged)" if found.diverged else "")
        numbers = [found.best, paper]
        cells.append(
            [
                found.row.label,
                text,
                *(MISSING if number is None else f"{number:.2f}" for number in numbers),
                *([MISSING if difference is None else f"{difference:+.2f}"] if comparable else []),
            ]
        )
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in (headers, *cells)
    ]
    return [
        table.title,
        f"measured: {what}",
        f"papers: {table.paper}",
        "",
        lines[0],
        "-" * len(lines[0]),
        *lines[1:],
        *([""] if table.notes else []),
        *table.notes,
    ]
