"""The command `minadder analyse`: figures and numbers of what the papers say about adder nets and CNNs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minadder as ma
from minadder import analysis, data, files, models, plot, provenance, streams
from minadder.autograd import Array
from minadder.commands import results
from minadder.commands.analysed_nets import (
    KINDS,
    MOST_OF_A_NAME,
    QUICK_EPOCHS,
    QUICK_EXAMPLES,
    chosen_weights,
    epochs,
    fit,
    load,
)
from minadder.commands.arguments import positive_int, seed
from minadder.experiments import ablation, jobs
from minadder.run import Callback, Run
from minadder.tables import table

DATA = ("digits", "mnist5k", "mnist")
ENTRIES = (1, 3, 9, 27, 81, 243, 729)
QUICK_SAMPLES = 5000
FILTER_VARIANCES = (1.0, 1e-3)
LOOKED_AT = 1000
PAPER_NORMS = {"AdderNet": (0.0009, 0.0012, 0.0146), "CNN": (0.2261, 0.2990, 0.4646)}
"""Chen et al. 2020, Table 1: the first three layers."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the parts of the command, each with its arguments."""
    parser.description = (
        "Draw and measure what the papers say about adder nets and CNNs: a figure (PNG) and the numbers (JSON). "
        "Equations, tables and figures are those of Chen et al. 2020 (CVPR)."
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="part")
    add_part(parts, "variance", variance, "variances of outputs against the entries of a filter (Eqs. 8 and 9)")
    part = add_part(parts, "gradients", gradients, "norms of the filters' gradients at the first step (Table 1)")
    add_data(part)
    part.add_argument("--seeds", type=positive_int, default=5, help="how many nets of each kind (default: %(default)s)")
    for name, function, weight, what in (
        ("filters", filters, "conv1.weight", "the filters of the first layer (Fig. 2)"),
        ("weights", weights, "conv3.weight", "the third layer's weights with Laplace and Gauss fits (Fig. 4)"),
    ):
        part = add_part(parts, name, function, what)
        part.add_argument(
            "files",
            nargs="*",
            type=files.path_argument,
            metavar="FILE",
            help="nets of `minadder train`; without any, LeNet-5-BN is trained as both",
        )
        part.add_argument("--weight", default=weight, metavar="NAME", help="which weights (default: %(default)s)")
        add_data(part)
        part.add_argument("--epochs", type=positive_int, default=20, help="of the training (default: %(default)s)")
    part = add_part(parts, "channels", channels, "channels that sign gradients and weight decay close")
    add_data(part)
    part.add_argument("--epochs", type=positive_int, default=50, help="of the training (default: %(default)s)")
    part = add_part(parts, "features", features, "LeNet++'s features in the plane, as AdderNet and CNN (Fig. 1)")
    add_data(part)
    part.add_argument("--epochs", type=positive_int, default=10, help="of the training (default: %(default)s)")


def add_part(
    parts: Any, name: str, function: Callable[[argparse.Namespace], list[str]], what: str
) -> argparse.ArgumentParser:
    """Return the parser of a part, with the arguments that all have."""
    part: argparse.ArgumentParser = parts.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    part.add_argument(
        "--out",
        type=files.path_argument,
        help=f"the folder for the figure and the numbers (default: runs/analyse-{name})",
    )
    part.add_argument("--seed", type=seed, default=0, help="of all that is drawn (default: %(default)s)")
    part.add_argument(
        "--quick",
        action="store_true",
        help=f"to see in seconds that it works: {QUICK_SAMPLES:,} outputs; two nets of each kind, of {QUICK_EXAMPLES} "
        f"examples and {QUICK_EPOCHS} epochs",
    )
    part.set_defaults(analyse=function)
    return part


def add_data(part: argparse.ArgumentParser) -> None:
    """Add the argument that chooses the data."""
    part.add_argument("--data", choices=DATA, default="digits", help="the data set (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Do one part: print its table, write its files; return the exit code."""
    options.out = options.out or Path("runs") / f"analyse-{options.part}"
    names = [f"{options.part}.{ending}" for ending in ("txt", "json", "png")]
    results.prepared(options.out, names)
    told = options.analyse(options)
    files.write_file(options.out / names[0], provenance.with_head(options.typed, told))
    streams.say(*told, f"written: {options.part}.txt, {options.part}.json and its figure in {files.shown(options.out)}")
    return 0


def keep(options: argparse.Namespace, numbers: Any, figures: Iterable[tuple[str, Callable[[], Any]]]) -> None:
    """Write a part's numbers and its figures, each made by a function."""
    files.write_file(options.out / f"{options.part}.json", (json.dumps(numbers, indent=1) + "\n").encode())
    for name, make in figures:
        results.draw(make, options.out / f"{name}.png")


def variance(options: argparse.Namespace) -> list[str]:
    """Measure variances of outputs, and compare them with both papers' formulas."""
    entries, samples = (ENTRIES[:5], QUICK_SAMPLES) if options.quick else (ENTRIES, 100_000)
    panels: dict[str, Any] = {}
    lines: list[str] = []
    numbers = []
    for place, case in enumerate(FILTER_VARIANCES):
        first = options.seed + place * len(entries)  # a seed each: the same numbers would err to the same side
        found = []
        for nth, k in enumerate(entries):
            found.append(analysis.output_variance(k, 1.0, case, samples, first + nth))
            streams.tell(f"Var F = {case:g}, K = {k} of {entries[-1]}: measured")
        adder, misprint, conv = (
            np.array([law(k, 1.0, case) for k in entries])
            for law in (analysis.adder_variance, analysis.misprinted_adder_variance, analysis.conv_variance)
        )
        measured = {
            name: (np.array([one.variance for one in values]), np.array([one.error for one in values]))
            for name, values in (("adder", [one.adder for one in found]), ("conv", [one.conv for one in found]))
        }
        laws = {
            "adder: (1 − 2/π)·K·(Var X + Var F)": adder,
            "conv: K·Var X·Var F": conv,
            "Universal AdderNets: √(π/2)·K·(Var X + Var F)": misprint,
        }
        panels[f"Var X = 1, Var F = {case:g}"] = measured, laws
        rows = [
            [
                str(k),
                f"{a:.4g}",
                f"{a / law:.4f}",
                f"{2 * e / law:.4f}",
                f"{a / wrong:.4f}",
                f"{c:.4g}",
                f"{c / product:.4f}",
            ]
            for k, a, e, law, wrong, c, product in zip(
                entries, *measured["adder"], adder, misprint, measured["conv"][0], conv, strict=True
            )
        ]
        headers = ["K", "adder", "/ Eq. 9", "± 2 errors", "/ √(π/2) law", "conv", "/ Eq. 8"]
        lines += table(f"variance of outputs, Var X = 1, Var F = {case:g}, {samples:,} samples", headers, rows)
        numbers += [
            {**asdict(one), "adder_law": law, "misprinted_adder_law": wrong, "conv_law": product}
            for one, law, wrong, product in zip(found, adder.tolist(), misprint.tolist(), conv.tolist(), strict=True)
        ]
    figure = partial(plot.variance_panels, entries, panels, f"variance of a layer's output, {samples:,} samples each")
    keep(options, {"samples": samples, "seed": options.seed, "variances": numbers}, [("variance", figure)])
    return lines[1:]


def gradients(options: argparse.Namespace) -> list[str]:
    """Measure the gradients' norms of new nets, and compare them with the paper's."""
    train, _ = load(options)
    seeds = range(options.seed, options.seed + (2 if options.quick else options.seeds))
    norms: dict[str, list[dict[str, float]]] = {name: [] for name in KINDS.values()}
    for number in seeds:
        inputs, labels = next(iter(data.Loader(train, min(256, len(train)), shuffle=True, seed=number)))
        for kind, name in KINDS.items():
            ma.manual_seed(number)
            net = models.lenet5_bn(kind, train.num_classes, train.inputs.shape[1])
            norms[name].append(analysis.filter_gradient_norms(net, inputs, labels))
    layers = list(norms["CNN"][0])
    values = {name: np.array([list(run.values()) for run in runs]) for name, runs in norms.items()}
    medians = {name: np.median(runs, axis=0) for name, runs in values.items()}
    rows = []
    for place, layer in enumerate(layers):
        adder, conv = (float(medians[name][place]) for name in ("AdderNet", "CNN"))
        paper = [f"{figures[place]:g}" if place < len(figures) else "–" for figures in PAPER_NORMS.values()]
        rows.append([layer, f"{adder:.6f}", f"{conv:.6f}", f"{conv / adder:.1f}", *paper])
    title = (
        f"l2 norms of the filters' gradients at the first step, LeNet-5-BN, {train.name}, median of {len(seeds)} nets"
    )
    headers = ["layer", "AdderNet", "CNN", "CNN / AdderNet", "paper: AdderNet", "paper: CNN"]
    figure = partial(
        plot.norm_dots,
        [layer.removesuffix(".weight") for layer in layers],
        values,
        PAPER_NORMS,
        f"gradients at the first step, LeNet-5-BN, {train.name}",
    )
    keep(
        options,
        {"data": train.name, "seeds": list(seeds), "norms": norms, "paper": PAPER_NORMS},
        [("gradients", figure)],
    )
    return table(title, headers, rows)[1:]


def filters(options: argparse.Namespace) -> list[str]:
    """Draw the filters of each net."""
    rows, numbers, figures = [], {}, []
    chosen, nets = chosen_weights(options)
    weight = streams.printable(options.weight, MOST_OF_A_NAME)
    for name, values in chosen.items():
        title = f"{weight}: {name}{nets}"
        figures.append((f"filters-{name}".replace(" ", "-"), partial(plot.filter_grid, values, title)))
        numbers[name] = {"weight": options.weight, "shape": values.shape, "filters": values.tolist()}
        rows.append(
            [
                name,
                "×".join(map(str, values.shape)),
                f"{values.mean():.4f}",
                f"{values.std():.4f}",
                f"{np.abs(values).max():.4f}",
            ]
        )
    keep(options, numbers, figures)
    return table(f"filters {weight}{nets}", ["net", "shape", "mean", "deviation", "largest |w|"], rows)[1:]


def weights(options: argparse.Namespace) -> list[str]:
    """Fit both distributions to the weights of each net, and draw them."""
    rows, numbers, panels = [], {}, {}
    chosen, nets = chosen_weights(options)
    weight = streams.printable(options.weight, MOST_OF_A_NAME)
    for name, values in chosen.items():
        fits = analysis.fit_weights(values)
        laplace, gauss = fits.laplace_log_likelihood / fits.weights, fits.gauss_log_likelihood / fits.weights
        panels[f"{name}: {fits.better} fits better"] = (
            values,
            {f"Laplace, {laplace:.4f} nats a weight": fits.laplace, f"Gauss, {gauss:.4f} nats a weight": fits.gauss},
        )
        numbers[name] = {"weight": options.weight, **asdict(fits), "better": fits.better}
        rows.append(
            [name, f"{fits.weights:,}", f"{laplace:.4f}", f"{gauss:.4f}", f"{laplace - gauss:+.4f}", fits.better]
        )
    keep(options, numbers, [("weights", partial(plot.histograms, panels, f"weights {weight}{nets}"))])
    headers = ["net", "weights", "Laplace", "Gauss", "Laplace − Gauss", "better"]
    return table(f"log-likelihood of {weight}{nets}, nats a weight", headers, rows)[1:]


class ClosedByEpoch(Callback):
    """Keeps the shares of closed channels behind each epoch."""

    def __init__(self, inputs: Array) -> None:
        self.inputs = inputs
        self.shares: list[dict[str, float]] = []

    def on_epoch_end(self, run: Run) -> None:
        """Look at the net as it is now."""
        self.shares.append(analysis.closed_channels(run.net, self.inputs))


def channels(options: argparse.Namespace) -> list[str]:
    """Train LeNet-5-BN by the sign alone with two weight decays, and count the channels that close."""
    train, test = load(options)
    rows, numbers, panels = [], {}, {}
    for weight_decay in (jobs.RECIPE["weight_decay"], ablation.LESS_DECAY):
        name = f"weight decay {weight_decay:g}"
        ma.manual_seed(options.seed)
        net = jobs.build(jobs.make(ablation.GRADIENTS["sign"], train.name, epochs(options), options.seed), train)
        watch = ClosedByEpoch(test.inputs[:LOOKED_AT])
        accuracy = fit(net, name, train, test, options, ablation.SIGN_ETA, weight_decay, [watch])
        panels[f"{name}: test accuracy {100 * accuracy:.2f} %"] = watch.shares
        numbers[name] = {"test_accuracy": accuracy, "closed": watch.shares}
        rows.append([name, f"{100 * accuracy:.2f}", *(f"{100 * share:.0f}" for share in watch.shares[-1].values())])
    title = f"channels closed to {min(LOOKED_AT, len(test)):,} test images, sign gradients, LeNet-5-BN, {train.name}"
    keep(options, numbers, [("channels", partial(plot.shares_by_epoch, panels, "closed channels", title))])
    headers = ["", "test accuracy / %", *(f"{path} / %" for path in watch.shares[-1])]
    return table(f"{title}, {len(watch.shares)} epochs", headers, rows)[1:]


def features(options: argparse.Namespace) -> list[str]:
    """Train LeNet++ as both nets, and draw the features of the test data."""
    train, test = load(options)
    rows, numbers, panels = [], {}, {}
    for kind, name in KINDS.items():
        ma.manual_seed(options.seed)
        net = models.lenetpp(kind, train.num_classes)
        accuracy = fit(net, name, train, test, options)
        points = lenetpp_features(net, test)
        told = analysis.separation(points, test.labels)
        panels[f"{name}, test accuracy {100 * accuracy:.2f} %"] = points, test.labels
        numbers[name] = {
            "test_accuracy": accuracy,
            **asdict(told),
            "features": points.tolist(),
            "labels": test.labels.tolist(),
        }
        rows.append([name, *(f"{100 * share:.2f}" for share in (accuracy, told.by_centre, told.by_direction))])
    figure = partial(plot.feature_scatter, panels, f"features of LeNet++, {test.name}, test data")
    keep(options, numbers, [("features", figure)])
    headers = ["net", "test accuracy / %", "nearest centre (l1) / %", "nearest direction / %"]
    return table(f"classes in the plane of LeNet++'s features, {test.name}", headers, rows)[1:]


def lenetpp_features(net: Any, dataset: data.Dataset) -> Array:
    """Return the features (N, 2) of a data set, in evaluation."""
    net.eval()
    with ma.no_grad():
        return np.concatenate([net.features(ma.Tensor(inputs)).numpy() for inputs, _ in data.Loader(dataset, 1000)])
