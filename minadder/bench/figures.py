"""The benchmark's figures: a roofline, and how PyTorch's ways compare."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.bench.results import Results
from minadder.plot.figure import new_figure

ROOFLINE = {
    "adder forward": ("tab:blue", "peak distance", "|x − w| added up"),
    "adder input gradient": ("tab:orange", "peak hardtanh", "g · clip(w − x, ±1) added up"),
    "adder filter gradient": ("tab:green", "peak product", "products added up"),
    "conv forward": ("tab:gray", "peak product", ""),
}
"""Of each case the colour, the peak it is held against, and the roof's name where no other case has named it."""

MARKERS = {"LeNet-5": "o", "ResNet-20": "s", "ResNet-18": "^"}

RATIOS = {
    "broadcast forward+backward": ("tab:blue", "broadcast expression"),
    "compiled forward+backward": ("tab:orange", "torch.compile of it"),
    "torch conv forward+backward": ("tab:gray", "its convolution"),
}


def roofline(results: Results) -> Any:
    """Return a figure of speed against elements per byte moved at least, under the machine's roofs."""
    figure = new_figure(9, 6)
    axes = figure.subplots()
    intensities = [measured.layer.elements / measured.layer.transfers for measured in results.layers]
    speeds = [results.speed(measured, case) or 1.0 for measured in results.layers for case in ROOFLINE]
    reach = np.geomspace(min(intensities) / 2, max(intensities) * 2, 200)
    tops = []
    for colour, peak, text in ROOFLINE.values():
        if not text or peak not in results.rates:
            continue
        top = results.rates[peak] / 1e9
        tops.append(top)
        roof = np.minimum(top, reach * (results.bandwidth or np.inf))
        axes.plot(reach, roof, color=colour, linewidth=1, zorder=1, label=f"peak, {text}: {top:.0f} G/s")
    for case, (colour, _, _) in ROOFLINE.items():
        for measured, intensity in zip(results.layers, intensities, strict=True):
            speed = results.speed(measured, case)
            if speed is not None:
                marker = MARKERS.get(measured.layer.network, "D")
                axes.scatter(intensity, speed, color=colour, marker=marker, s=28, alpha=0.8, zorder=2)
        axes.scatter([], [], color=colour, label=case)
    for network, marker in MARKERS.items():
        if any(measured.layer.network == network for measured in results.layers):
            axes.scatter([], [], color="black", marker=marker, label=network)
    for measured, intensity in zip(results.layers, intensities, strict=True):
        lowest = min(filter(None, (results.speed(measured, case) for case in ROOFLINE)))
        axes.annotate(
            measured.layer.name,
            (intensity, lowest),
            (0, -7),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=6,
            rotation=90,
        )
    axes.set(xscale="log", yscale="log", ylim=(min(speeds) / 4, 1.6 * max([*tops, *speeds])))
    axes.set(xlabel="elements for each byte moved at least", ylabel="G elements/s")
    bandwidth = f"memory {results.bandwidth:.0f} GB/s, " if results.bandwidth else ""
    axes.set_title(f"Layers under this machine's roofs: {bandwidth}{results.facts['threads']} threads", fontsize=10)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def ratio_bars(results: Results) -> Any:
    """Return a figure of PyTorch's times forward and backward over the adder layer's, by layer."""
    figure = new_figure(10, 5)
    axes = figure.subplots()
    places = np.arange(len(results.layers))
    width = 0.8 / len(RATIOS)
    for index, (case, (colour, text)) in enumerate(RATIOS.items()):
        values = [measured.ratio(case, "adder forward+backward") for measured in results.layers]
        if all(value is None for value in values):
            continue
        heights = [np.nan if value is None else value for value in values]
        # bars begin at 1, as long: those below it, where PyTorch is faster, hang down
        bars = axes.bar(places + (index - 1) * width, np.array(heights) - 1, width, bottom=1, color=colour, label=text)
        labels = ["" if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in values]
        axes.bar_label(bars, labels, fontsize=6, padding=2)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xticks(places, [m.layer.title for m in results.layers], rotation=60, ha="right", fontsize=8)
    axes.set_ylabel("PyTorch's time / adder layer's time")
    axes.set_title(
        f"Forward and backward: PyTorch's time over minadder's adder layer, {results.facts['threads']} threads",
        fontsize=10,
    )
    axes.grid(alpha=0.3, axis="y")
    figure.legend(loc="outside lower right", ncols=3, fontsize=8)
    return figure
