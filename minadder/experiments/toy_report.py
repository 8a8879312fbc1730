"""What the toy experiments say: rates over seeds beside the paper's single pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from textwrap import wrap
from typing import Any

from minadder.experiments import toy
from minadder.tables import WIDTH, table

NAMES = {"conv": "fully connected", "adder": "adder", "binary": "binary"}


def kind_name(kind: str) -> str:
    """Return how tables and figures call a kind of layer."""
    return NAMES.get(kind, kind)


@dataclass(frozen=True)
class Row:
    """The results of one net over all seeds."""

    kind: str
    hidden: int
    results: tuple[toy.Result, ...]
    said: toy.Said | None

    @property
    def accuracies(self) -> list[float]:
        """The accuracies, by seed."""
        return [result.accuracy for result in self.results]

    @property
    def solved(self) -> int:
        """How many of the nets solve the task."""
        return sum(result.solved for result in self.results)

    @property
    def agreeing(self) -> int | None:
        """How many of the nets do as the paper says; None where it says nothing."""
        return None if self.said is None else sum(map(self.said.agrees, self.accuracies))

    @property
    def middle(self) -> toy.Result:
        """The net in the middle when they are ordered by accuracy, the worse one of two."""
        return sorted(self.results, key=lambda result: result.accuracy)[(len(self.results) - 1) // 2]

    def content(self) -> dict[str, Any]:
        """Return the row as JSON can hold it."""
        return {
            "kind": self.kind,
            "hidden": self.hidden,
            "seeds": [result.job.seed for result in self.results],
            "accuracies": self.accuracies,
            "fresh_accuracies": [result.fresh_accuracy for result in self.results],
            "solved": self.solved,
            "median": median(self.accuracies),
            "paper_says": None if self.said is None else self.said.words,
            "do_as_the_paper_says": self.agreeing,
        }


def rows(results: Sequence[toy.Result]) -> list[Row]:
    """Return the results of a task by net, the seeds of each in order."""
    nets: dict[tuple[str, int], list[toy.Result]] = {}
    for result in results:
        nets.setdefault((result.job.kind, result.job.hidden), []).append(result)
    said = toy.TASKS[results[0].job.task].said
    return [
        Row(*net, tuple(sorted(found, key=lambda result: result.job.seed)), said.get(net))
        for net, found in nets.items()
    ]


def percent(share: float) -> str:
    """Return a share in percent with one digit, never rounded up to 100."""
    return f"{int(share * 1000) / 10:.1f}"


def lines(found: Sequence[Row]) -> list[str]:
    """Return the table of rates, and a line for each picture of the paper that is not what most nets do."""
    job = found[0].results[0].job
    headers = ("net", "n", "solve", "median %", "worst %", "best %", "fresh median %", "the paper", "do so")
    cells = [
        (
            kind_name(row.kind),
            str(row.hidden),
            f"{row.solved} of {len(row.results)}",
            percent(median(row.accuracies)),
            percent(min(row.accuracies)),
            percent(max(row.accuracies)),
            percent(median(result.fresh_accuracy for result in row.results)),
            "–" if row.said is None else row.said.words,
            "–" if row.said is None else f"{row.agreeing} of {len(row.results)}",
        )
        for row in found
    ]
    title = f"{toy.TASKS[job.task].title}: {toy.RECIPES[job.recipe].text}"
    legend = (
        f"Accuracy after {job.iterations} iterations on the {job.points} points of the training, and on as many fresh "
        f"ones. A net solves the task from {100 * toy.SOLVED:.0f} % on.",
        'The paper shows one net each. Its words are taken as: "right" from 99 %, "most right" from 95 %, "fails" and '
        '"some mistakes" below 99 %.',
        *wrap(toy.RECIPES[job.recipe].assumed(job.points), WIDTH),
    )
    return [*table(title, headers, cells), *legend, *exceptions(found)]


def exceptions(found: Sequence[Row]) -> list[str]:
    """Return a line for each of the paper's pictures that fewer than all nets repeat."""
    told = []
    for row in found:
        if row.said is None or row.agreeing == len(row.results):
            continue
        assert row.agreeing is not None
        rule = "holds as a rule, not always" if 2 * row.agreeing > len(row.results) else "does not hold as a rule"
        told.append(
            f'{kind_name(row.kind)}, n = {row.hidden}: the paper\'s "{row.said.words}" {rule}: '
            f"{row.agreeing} of {len(row.results)} seeds."
        )
    return told
