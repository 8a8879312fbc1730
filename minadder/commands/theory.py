"""The command `minadder theory`: the nets of the papers' proofs, built without training, and what they measure."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minadder import files, provenance, streams
from minadder.commands import results
from minadder.commands.arguments import seed
from minadder.experiments import theory
from minadder.plot import theory as figures
from minadder.tables import WIDTH, table

Content = Mapping[str, Any]

CONVERGED = 1e-3


@dataclass(frozen=True)
class Part:
    """A part of the theory: what measures it, what draws it, and what tells of it in lines."""

    measure: Callable[[bool, int], Content]
    draw: Callable[[Content], Any]
    tell: Callable[[Content], list[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = (
        "Build the nets of the proofs in Universal AdderNets, Secs. 3.2, 5.1 and 5.2 (preprint 3.2), without training, "
        "and compare them with what they shall compute. Leaves a figure and all numbers as JSON in the folder. Lemmas "
        "and theorems are numbered as in the preprint, arXiv 2105.14202; in the journal Lemma 5 is Lemma 4, Theorem 6 "
        "is 5, and Theorem 4 is 6. The propositions are the journal's, and the supplement's of Chen et al. 2020."
    )
    parser.add_argument("part", choices=tuple(PARTS), help="what to build")
    parser.add_argument(
        "--out",
        type=files.path_argument,
        help="the folder for what comes of it (default: runs/theory-PART)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of all numbers that are drawn (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="smaller nets, in a few seconds")


def run(options: argparse.Namespace) -> int:
    """Build and measure, print the table, write figure and numbers; return the exit code.

    Raises
    ------
    OSError
        When the folder cannot be written.
    """
    part = PARTS[options.part]
    out = options.out or Path("runs") / f"theory-{options.part}"
    results.prepared(out, [f"{options.part}.{ending}" for ending in ("txt", "json", "png")])
    content = part.measure(options.quick, options.seed)
    told = [line if len(line) <= WIDTH else textwrap.fill(line, WIDTH) for line in part.tell(content)]
    files.write_file(out / f"{options.part}.txt", provenance.with_head(options.typed, told))
    files.write_file(out / f"{options.part}.json", (json.dumps(content) + "\n").encode())
    drawn = results.draw(lambda: part.draw(content), out / f"{options.part}.png")
    figure = f", {options.part}.png" if drawn else ""
    streams.say(*told, "", f"written: {options.part}.txt, {options.part}.json{figure} in {files.shown(out)}")
    return 0


def tell_lemma2(content: Content) -> list[str]:
    """Return the table of nets of Lemma 2."""
    rows = [
        (
            str(trial["units"]),
            str(trial["dimension"]),
            f"{trial['largest_value']:.3g}",
            f"{trial['largest_difference']:.1e}",
            f"{trial['bound_on_rounding']:.1e}",
            f"{trial['largest_difference_as_printed']:.3g}",
            f"{trial['largest_difference_sign_mended']:.3g}",
        )
        for trial in content["trials"]
    ]
    within = sum(trial["largest_difference"] <= trial["bound_on_rounding"] for trial in content["trials"])
    headers = (
        "units",
        "d",
        "largest value",
        "largest |net - formula|",
        "bound on rounding",
        "as printed",
        "preprint Eq. 8's sign",
    )
    title = "Lemma 2: two adder layers against Σ aᵢ ReLU(‖Wᵢ − X‖₁ + bᵢ)"
    return [
        *table(title, headers, rows),
        f"{within} of {len(rows)} nets are within the bound on rounding. The construction as printed is off by "
        f"{least(content, 'as_printed'):.2g} or more; with the sign that Eq. 33 (preprint 8) gives its constant, by "
        f"{least(content, 'sign_mended'):.2g} or more.",
    ]


def least(content: Content, construction: str) -> float:
    """Return the least error of a construction over the trials."""
    return min(float(trial[f"largest_difference_{construction}"]) for trial in content["trials"])


def tell_approximation(content: Content) -> list[str]:
    """Return the tables of errors by width."""
    told = []
    for line in content["lines"]:
        title = f"Theorem 4 (journal 6), d = {line['dimension']}: root mean square error of two adder layers by width"
        columns = zip(line["widths"], line["radii"], line["rms"], line["fitted"], strict=True)
        rows = [(str(width), f"{radius:.3f}", f"{rms:.4f}", f"{fit:.5f}") for width, radius, rms, fit in columns]
        told += table(title, ("hidden units", "tent radius", "random tents", "wider, fitted"), rows)
        told.append(
            f"Exponents: {line['exponent']:.2f} of random tents (the proof gives {line['proof_exponent']:.2f}), "
            f"{line['fitted_exponent']:.2f} of wider ones with fitted heights."
        )
        told.append(
            f"The preprint's squared error of O(1/n) would be -0.50; it takes d = 0 or -1 for that. "
            f"Nets and formula differ by at most {line['net_from_formula']:.1e}."
        )
    exponent = content["variance"]["exponent"]
    told += [
        "",
        f"The random part alone falls as N^{exponent:.2f} at one tent radius (the proof: N^-1.00).",
    ]
    return told


def tell_theorem6(content: Content) -> list[str]:
    """Return the tables of Lemma 5's layers and Theorem 6's nets."""
    layers = [
        (
            str(layer["inputs"]),
            str(layer["outputs"]),
            str(layer["hidden_units"]),
            f"{layer['largest_value']:.3g}",
            f"{layer['largest_difference']:.1e}",
        )
        for layer in content["random_layers"]
    ]
    nets = [
        (
            str(net["dimension"]),
            str(net["cells"]),
            str(net["adder_layers"]),
            f"{net['width']} of {net['width_allowed']}",
            f"{net['l1']:.4f}",
            f"{net['largest_difference']:.1e}",
        )
        for net in content["nets"]
    ]
    return [
        *table(
            "Lemma 5 (journal 4): a fully-connected layer, weights the same or zero in each row, as two adder layers",
            ("inputs", "outputs m", "hidden units (2m + 2)", "largest value", "largest difference"),
            layers,
        ),
        *table(
            "Theorem 6 (journal 5): deep adder nets of bounded width, for a staircase of cells",
            ("d", "cells", "adder layers", "width", "mean |net - f|", "from the fully-connected net"),
            nets,
        ),
    ]


def tell_propositions(content: Content) -> list[str]:
    """Return the table of both iterations."""
    rows, converging = [], []
    for run_ in (*content["runs"], *content["above"]):
        target = run_.get("target")
        errors = [abs(distance - (target or 0.0)) for distance in run_["distances"]]
        tail = errors[-10:]
        if max(tail) < CONVERGED * errors[0]:
            sign = "y < 0" if target is None else f"y = {target:g}"
            converging.append(f"{figures.RULES[run_['weight_grad']]} at {run_['rate']:g} ({sign})")
        rows.append(
            (
                figures.RULES[run_["weight_grad"]],
                f"{run_['rate']:g}",
                "< 0" if target is None else f"{target:g}",
                f"{errors[0]:.3g}",
                f"{min(tail):.2g}",
                f"{max(tail):.2g}",
            )
        )
    title = f"Propositions 1 and 2: |‖x − f‖₁ − y| for y > 0, ‖x − f‖₁ for y < 0; {content['dimension']} entries"
    headers = ("gradient", "rate", "y", "at the start", "least of the last 10", "largest of the last 10")
    return [
        *table(title, headers, rows),
        f"Converged to less than {CONVERGED:g} of the start: {', '.join(converging) or 'none'}.",
        "The paper says that full precision converges for rates below 1, and for y > 0 that the result is "
        '"obviously the same".',
    ]


PARTS = {
    "lemma2": Part(theory.lemma2, figures.lemma2_figure, tell_lemma2),
    "approximation": Part(
        partial(theory.approximate, tell=streams.tell), figures.approximation_figure, tell_approximation
    ),
    "theorem6": Part(theory.theorem6, figures.theorem6_figure, tell_theorem6),
    "propositions": Part(theory.descents, figures.propositions_figure, tell_propositions),
}
"""The parts by name."""
