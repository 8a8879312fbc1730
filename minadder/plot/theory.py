"""Figures of the nets in the proofs of Universal AdderNets, from the numbers that `minadder theory` leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minadder.plot.figure import new_figure

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink")
RIGHT_STEPS = 150
RULES = {"sign": "sign gradient", "full_precision": "full precision"}


def lemma2_figure(content: Mapping[str, Any]) -> Any:
    """Return a figure of a small net of Lemma 2, and of how far nets of many sizes are from their formula."""
    figure = new_figure(11, 4.4)
    figure.suptitle("Lemma 2: Σ aᵢ ReLU(‖Wᵢ − x‖₁ + bᵢ) as two adder layers, exact up to rounding")
    left, right = figure.subplots(1, 2)
    example = content["example"]
    for number, term in enumerate(example["terms"], start=1):
        left.plot(example["x"], term, color="grey", linewidth=1, label="its terms" if number == 1 else None)
    left.plot(example["x"], example["formula"], color="tab:blue", linewidth=5, alpha=0.35, label="formula")
    left.plot(example["x"], example["net"], color="black", linewidth=1.2, label="two adder layers")
    left.set(xlabel="x", ylabel="value", title="a net of three hidden units")
    for number, dimension in enumerate(sorted({trial["dimension"] for trial in content["trials"]})):
        trials = [trial for trial in content["trials"] if trial["dimension"] == dimension]
        units = [trial["units"] for trial in trials]
        style: dict[str, Any] = {"color": COLOURS[number], "markersize": 5}
        smallest = 2.0**-60  # a difference of 0 has a place too
        right.plot(
            units,
            [max(t["largest_difference"], smallest) for t in trials],
            "o-",
            label=f"net, d = {dimension}",
            **style,
        )
        right.plot(units, [t["bound_on_rounding"] for t in trials], "--", linewidth=1, color=COLOURS[number])
        right.plot(units, [t["largest_difference_as_printed"] for t in trials], "x:", linewidth=1, **style)
        right.plot(units, [t["largest_difference_sign_mended"] for t in trials], "+:", linewidth=1, **style)
    right.plot([], [], "--", color="grey", label="bound on rounding")
    right.plot([], [], "x:", color="grey", label="construction as printed")
    right.plot([], [], "+:", color="grey", label="with the sign of Eq. 33 (preprint 8)")
    right.set(xscale="log", yscale="log", xlabel="hidden units", ylabel="largest |net − formula|")
    right.set_title("random W, a, b; random points and corners")
    return finish(figure)


def approximation_figure(content: Mapping[str, Any]) -> Any:
    """Return a figure of Theorem 4's random tents: two nets on a line, errors by width, the variance by tents."""
    figure = new_figure(11, 8.4)
    figure.suptitle("Theorem 4 (journal 6): a Lipschitz function by two adder layers, written down from the proof")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    example = content["example"]
    for number, net in enumerate(example["nets"]):
        first.plot(example["x"], net["y"], linewidth=1, color=COLOURS[number], label=f"{net['width']} hidden units")
    first.plot(example["x"], example["f"], color="black", label="f")
    first.set(xlabel="x", ylabel="value", title="|x − 0.3| + sin 4x")
    for axes, line in zip((second, third), content["lines"], strict=True):
        widths = np.array(line["widths"], np.float64)
        axes.plot(widths, line["rms"], "o-", label=f"random tents: {power(line['exponent'])}")
        axes.plot(widths, line["fitted"], "s-", label=f"wider, heights fitted: {power(line['fitted_exponent'])}")
        bound = line["rms"][0] * (widths / widths[0]) ** line["proof_exponent"]
        axes.plot(widths, bound, "k--", linewidth=1, label=f"the proof: {power(line['proof_exponent'])}")
        axes.set(xscale="log", yscale="log", xlabel="hidden units n", ylabel="root mean square error")
        axes.set_title(f"error by width, d = {line['dimension']}")
    variance = content["variance"]
    tents = np.array(variance["tents"], np.float64)
    fourth.plot(tents, variance["mean_square"], "o-", label=f"measured: {power(variance['exponent'], 'N')}")
    fourth.plot(tents, variance["mean_square"][0] * tents[0] / tents, "k--", linewidth=1, label="the proof: N^−1")
    fourth.set(xscale="log", yscale="log", xlabel="tents N", ylabel="mean square of φ − ψ")
    fourth.set_title(f"the random part alone, d = 2, ε = {variance['radius']:g}")
    return finish(figure)


def power(exponent: float, base: str = "n") -> str:
    """Return "n^−0.25" and the like."""
    return f"{base}^{'−' if exponent < 0 else ''}{abs(exponent):.2f}"


def theorem6_figure(content: Mapping[str, Any]) -> Any:
    """Return a figure of the nets of bounded width: two on a line, one in the plane, errors and rounding by depth."""
    nets = content["nets"]
    figure = new_figure(11, 8.4)
    widths = ", ".join(sorted({f"{net['width']} units for d = {net['dimension']}" for net in nets}))
    figure.suptitle(f"Theorem 6 (journal 5): deep adder nets of bounded width 2(d + 5): {widths}")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    shown = [net for net in nets if "x" in net]
    for number, net in enumerate(shown):
        label = f"{net['cells']} cells, {net['adder_layers']} adder layers"
        first.plot(net["x"], net["y"], linewidth=1.2, color=COLOURS[number], label=label)
    x = np.array(shown[0]["x"])
    first.plot(x, np.abs(x - 0.3) + np.sin(4 * x), color="black", linewidth=1, label="f")
    first.set(xlabel="x", ylabel="value", title="|x − 0.3| + sin 4x")
    plane = next(net for net in nets if "image" in net)
    picture = second.imshow(np.array(plane["image"]).T, origin="lower", extent=(-1, 1, -1, 1), cmap="viridis")
    second.set(xlabel="x", ylabel="y", xticks=[-1, -0.5, 0, 0.5, 1], yticks=[-1, -0.5, 0, 0.5, 1])
    second.set_title(f"|x − 0.3| + sin 4x · cos 2y: {plane['cells']} cells, {plane['adder_layers']} layers")
    figure.colorbar(picture, ax=second, shrink=0.85)
    for number, dimension in enumerate(sorted({net["dimension"] for net in nets})):
        found = [net for net in nets if net["dimension"] == dimension]
        label, colour = f"d = {dimension}", COLOURS[number]
        third.plot([net["cells"] for net in found], [net["l1"] for net in found], "o-", color=colour, label=label)
        depths = [net["adder_layers"] for net in found]
        fourth.plot(depths, [net["largest_difference"] for net in found], "o-", color=colour, label=label)
    third.set(xscale="log", yscale="log", xlabel="cells", ylabel="mean |net − f|", title="error by number of cells")
    fourth.set(xscale="log", yscale="log", xlabel="adder layers", ylabel="largest difference")
    fourth.set_title("adder net against the fully-connected net: rounding")
    return finish(figure)


def propositions_figure(content: Mapping[str, Any]) -> Any:
    """Return a figure of the iterations of Propositions 1 and 2: distances, one coordinate, and the case y > 0."""
    figure = new_figure(14, 4.6)
    figure.suptitle(f"Propositions 1 and 2: one adder filter of {content['dimension']} entries moves towards x")
    left, middle, right = figure.subplots(1, 3)
    colours = {(run["weight_grad"], run["rate"]): COLOURS[n] for n, run in enumerate(content["runs"])}
    for run in content["runs"]:
        label, colour = f"{RULES[run['weight_grad']]}, α = {run['rate']:g}", colours[run["weight_grad"], run["rate"]]
        steps = np.arange(len(run["distances"]))
        values = np.array(run["distances"])
        shown = np.where(values > 0, values, np.nan)
        dashes = "--" if run["rate"] > 1 else "-"  # rates α and 2 − α have the same error
        left.plot(steps, shown, dashes, color=colour, linewidth=1.4, label=label)
        if run["rate"] in (0.1, 1.5):
            middle.plot(run["coordinate"][:41], ".-", color=colour, linewidth=1, label=label)
    left.set(yscale="log", ylim=(1e-17, 1e3), xlabel="step", ylabel="‖x − f‖₁", title="y < 0: the distance itself")
    middle.set(xlabel="step", ylabel="f − x in one coordinate", title="y < 0: back and forth, or straight on")
    for run in content["above"]:
        label, colour = f"{RULES[run['weight_grad']]}, α = {run['rate']:g}", colours[run["weight_grad"], run["rate"]]
        errors = np.abs(np.array(run["distances"]) - run["target"])
        right.plot(errors[: RIGHT_STEPS + 1], color=colour, linewidth=1.2, label=label)
    right.set(
        yscale="log",
        xlabel="step",
        ylabel="|‖x − f‖₁ − y|",
        title=f"y = {content['above'][0]['target']:g}: around the target",
    )
    return finish(figure)


def finish(figure: Any) -> Any:
    """Return the figure with a grid and a legend wherever lines are named."""
    for axes in figure.axes:
        handles, _ = axes.get_legend_handles_labels()
        if handles:
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
    return figure
