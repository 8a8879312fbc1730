"""Places for boxes that arrows join: by graphviz where it is installed, else in layers, one below the other."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Arrows = Sequence[tuple[int, int]]

GAP = 0.25
"""Inches between boxes of a layer."""
STEP = 0.85
"""Inches from the middle of a layer to that of the next."""
ASIDE = 0.14
"""Inches between arrows from one box to the same other one."""
SWEEPS = 12
DOT_SECONDS = 30.0


@dataclass(frozen=True)
class Layout:
    """The boxes' centres (N, 2), and for each arrow the points (3k + 1, 2) of its Bézier curve, in inches."""

    centres: Numbers
    curves: list[Numbers]


def lay_out(sizes: Numbers, arrows: Arrows, weights: Sequence[int]) -> Layout:
    """Return places for boxes of sizes (N, 2) in inches: an arrow (a, b) leads down from box a to box b.

    The more an arrow weighs, the straighter it is.

    Warns
    -----
    UserWarning
        Where graphviz is installed and fails.
    """
    dot = shutil.which("dot")
    if dot is not None:
        try:
            return by_graphviz(dot, sizes, arrows, weights)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            warnings.warn(f"graphviz's {dot} failed, and the graph is laid out without it: {error}", stacklevel=2)
    return by_layers(sizes, arrows, weights)


def by_graphviz(dot: str, sizes: Numbers, arrows: Arrows, weights: Sequence[int]) -> Layout:
    """Return the places that graphviz finds; it is given numbers alone."""
    nodes = [f"{i} [width={width:.3f}, height={height:.3f}];" for i, (width, height) in enumerate(sizes.tolist())]
    edges = [f"{begin} -> {end} [weight={weight}];" for (begin, end), weight in zip(arrows, weights, strict=True)]
    settings = 'node [shape=box, fixedsize=true, label=""]; edge [arrowhead=none];'
    source = f"digraph {{ {settings} {' '.join(nodes + edges)} }}"
    done = subprocess.run(
        [dot, "-Tplain"], input=source, capture_output=True, text=True, timeout=DOT_SECONDS, check=True
    )
    centres = np.full((len(sizes), 2), np.nan)
    curves: dict[tuple[int, int], list[Numbers]] = {}
    for line in done.stdout.replace("\\\n", "").splitlines():
        match line.split():
            case ["node", name, x, y, *_]:
                centres[int(name)] = float(x), float(y)
            case ["edge", begin, end, count, *rest]:
                points = np.array(rest[: 2 * int(count)], np.float64).reshape(-1, 2)
                curves.setdefault((int(begin), int(end)), []).append(points)
    if np.isnan(centres).any() or sum(map(len, curves.values())) != len(arrows):
        raise ValueError("its answer lacks boxes or arrows")
    return Layout(centres, [curves[arrow].pop() for arrow in arrows])


def by_layers(sizes: Numbers, arrows: Arrows, weights: Sequence[int]) -> Layout:
    """Return places in layers (Sugiyama, Tagawa & Toda 1981): each box just above the uppermost that it leads to.

    An arrow past layers gets a place of no width in each of them, so that boxes leave it room.
    """
    ranks = heights(len(sizes), arrows)
    chains = []
    widths = sizes[:, 0].tolist()
    links: dict[tuple[int, int], int] = {}
    for (begin, end), weight in zip(arrows, weights, strict=True):
        between = range(ranks[begin] - 1, ranks[end], -1)
        chains.append([begin, *range(len(ranks), len(ranks) + len(between)), end])
        ranks.extend(between)
        widths.extend(0.0 for _ in between)
        links.update((link, weight) for link in pairwise(chains[-1]))
    layers = ordered(ranks, list(links))
    x = across(layers, np.array(widths), links)
    y = STEP * np.array(ranks, np.float64)
    places = np.stack([x, y], axis=1)
    half = np.zeros(len(ranks))
    half[: len(sizes)] = sizes[:, 1] / 2
    curves = [curve(places[chain], half[chain]) for chain in chains]
    for arrow in set(arrows):  # those between the same boxes run side by side
        same = [number for number, other in enumerate(arrows) if other == arrow]
        reach = min(ASIDE * (len(same) - 1) / 2, 0.4 * sizes[list(arrow), 0].min())
        for number, shift in zip(same, np.linspace(-reach, reach, len(same)), strict=True):
            curves[number][:, 0] += shift if len(same) > 1 else 0.0
    return Layout(places[: len(sizes)], curves)


def heights(count: int, arrows: Arrows) -> list[int]:
    """Return each box's layer, counted from below: the longest way down from it."""
    below: list[list[int]] = [[] for _ in range(count)]
    above: list[list[int]] = [[] for _ in range(count)]
    for begin, end in arrows:
        below[begin].append(end)
        above[end].append(begin)
    ranks, missing = [0] * count, [len(ends) for ends in below]
    ready = [box for box in range(count) if not missing[box]]
    while ready:
        box = ready.pop()
        ranks[box] = max((ranks[end] + 1 for end in below[box]), default=0)
        for begin in above[box]:
            missing[begin] -= 1
            if not missing[begin]:
                ready.append(begin)
    return ranks


def neighbours(count: int, links: Arrows) -> list[list[int]]:
    """Return for each place those that links join it with."""
    found: list[list[int]] = [[] for _ in range(count)]
    for begin, end in links:
        found[begin].append(end)
        found[end].append(begin)
    return found


def ordered(ranks: Sequence[int], links: Arrows) -> list[list[int]]:
    """Return the layers from below, in each the places from left to right, so that few links cross.

    Each layer in turn is sorted by the mean place of the neighbours in the layer before, downwards and upwards.
    """
    layers: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for place, rank in enumerate(ranks):
        layers[rank].append(place)
    joined = neighbours(len(ranks), links)
    position = {place: float(i) for layer in layers for i, place in enumerate(layer)}
    for sweep in range(SWEEPS):
        side = 1 if sweep % 2 else -1
        for layer in layers if side == -1 else reversed(layers):
            means = {}
            for place in layer:
                seen = [position[other] for other in joined[place] if ranks[other] == ranks[place] + side]
                means[place] = sum(seen) / len(seen) if seen else position[place]
            layer.sort(key=means.__getitem__)
            position.update((place, float(i)) for i, place in enumerate(layer))
    return layers


def across(layers: Sequence[Sequence[int]], widths: Numbers, links: Mapping[tuple[int, int], int]) -> Numbers:
    """Return how far to the right each place is: near its neighbours' mean, by the links' weights, and apart."""
    joined: list[dict[int, int]] = [{} for _ in widths]
    for (begin, end), weight in links.items():
        joined[begin][end] = joined[end][begin] = weight
    weights = np.array([max(sum(near.values()), 1) for near in joined], np.float64)
    x = np.zeros(len(widths))
    for sweep in range(4 * SWEEPS):
        for layer in map(list, layers if sweep % 2 else reversed(layers)):
            wanted = [
                np.average(x[list(near)], weights=[*near.values()]) if near else 0.0
                for near in map(joined.__getitem__, layer)
            ]
            x[layer] = apart(np.array(wanted), widths[layer], weights[layer])
    return x


def apart(wanted: Numbers, widths: Numbers, weights: Numbers) -> Numbers:
    """Return the places nearest to those wanted, by weighted squares, that keep their order and a gap."""
    from sklearn.isotonic import isotonic_regression

    offsets = np.concatenate([[0.0], np.cumsum((widths[1:] + widths[:-1]) / 2 + GAP)])
    return isotonic_regression(wanted - offsets, sample_weight=weights) + offsets


def curve(places: Numbers, half: Numbers) -> Numbers:
    """Return the points of a Bézier curve down through places, outside the boxes at its ends."""
    points = [places[0] - np.array([0.0, half[0]])]
    for place, inside in zip(places[1:], half[1:], strict=True):
        begin, end = points[-1], place + np.array([0.0, inside])
        middle = (begin[1] + end[1]) / 2
        points += [np.array([begin[0], middle]), np.array([end[0], middle]), end]
    return np.array(points)
