"""The tables that the benchmark prints, each within 120 columns."""

from __future__ import annotations

from collections.abc import Sequence

from minadder.bench import steps
from minadder.bench.layers import BETWEEN, Measured
from minadder.bench.memory import MEGABYTE
from minadder.bench.results import Results
from minadder.bench.scaling import CASES, efficiency
from minadder.bench.timing import Effort
from minadder.tables import WIDTH, table

NAME = 24
MISSING = "–"

Cell = float | str | None


def number(value: Cell, digits: int = 1) -> str:
    """Return a number with some digits behind the point, fewer for large ones; a dash for None.

    Examples
    --------
    >>> from minadder.bench.tables import number
    >>> number(1.25, 2), number(1234.5), number(None), number("text")
    ('1.25', '1234', '–', 'text')
    """
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    return f"{value:.{digits if abs(value) < 1000 else 0}f}"


def speeds(results: Results, title: str, cases: dict[str, str]) -> list[str]:
    """Return a table of milliseconds, G elements a second and percent of the roof, by layer and case."""
    cells = [(7, "ms"), (6, "G/s"), (4, "%")]
    width = sum(size for size, _ in cells)
    lines = [
        "",
        title,
        " " * NAME + "".join(name.rjust(width) for name in cases.values()),
        "layer".ljust(NAME) + "".join(text.rjust(size) for _ in cases for size, text in cells),
    ]
    lines.append("-" * len(lines[-1]))
    for measured in results.layers:
        line = measured.layer.title.ljust(NAME)
        for case in cases:
            seconds = measured.time(case)
            values = (
                number(None if seconds is None else 1e3 * seconds, 3 if seconds and seconds < 0.1 else 1),
                number(results.speed(measured, case)),
                number(results.percent(measured, case), 0),
            )
            line += "".join(value.rjust(size) for value, (size, _) in zip(values, cells, strict=True))
        lines.append(line)
    return lines


def layer_tables(results: Results) -> list[str]:
    """Return the machine's rates and all tables of layers."""
    rates = [f"{name} {rate / 1e9:.0f} G/s" for name, rate in results.rates.items()]
    rates += [f"memory {results.bandwidth:.0f} GB/s"] if results.bandwidth else []
    return [
        "",
        f"This machine's rates with {results.facts['threads']} threads:",
        *wrapped(rates),
        *speeds(
            results,
            "Adder layers: ms, G elements/s, % of the mix's peak (filter gradient: of the matrix product's rate)",
            {
                "adder forward": "forward",
                "adder input gradient": "HardTanh dX",
                "adder filter gradient": "full-prec. dF",
                "adder sign filter gradient": "sign dF",
                "adder forward+backward": "fwd+bwd, graph",
            },
        ),
        *speeds(
            results,
            "Convolutions, their CNN twins: ms, G products/s, % of the products' peak",
            {
                "conv forward": "forward",
                "conv backward": "backward",
                "conv forward+backward": "fwd+bwd, graph",
                "torch conv forward": "torch forward",
                "torch conv forward+backward": "torch fwd+bwd",
            },
        ),
        *binary_table(results),
        *exponent_tables(results),
        *ratios(results),
    ]


def binary_table(results: Results) -> list[str]:
    """Return a table of the binary layers' times forward, and how many times as long the others take."""
    rows = []
    for measured in results.layers:
        seconds = measured.time("binary forward")
        rows.append(
            [
                measured.layer.title,
                number(None if seconds is None else 1e3 * seconds, 3 if seconds and seconds < 0.1 else 1),
                *(
                    number(measured.ratio(other, "binary forward"))
                    for other in ("conv forward", "torch conv forward", "adder forward")
                ),
            ]
        )
    headers = ["layer", "ms", "conv", "torch conv", "adder"]
    return table("Binary layers forward, signs packed included: ms, and the others' time over it", headers, rows)


def exponent_tables(results: Results) -> list[str]:
    """Return tables of the times of ℓ2 and ℓp layers, over those of the convolution and of the ℓ1 layer."""
    return [
        *times_over(
            results,
            "Adder layers of p = 2: ms, and the time over the convolution's",
            {"fwd": ("l2 forward", "conv forward"), "fwd+bwd": ("l2 forward+backward", "conv forward+backward")},
        ),
        *times_over(
            results,
            f"Adder layers of p = {BETWEEN}: ms, and the time over the ℓ1 layer's (dX: HardTanh, dF: sign)",
            {
                "fwd": ("lp forward", "adder forward"),
                "dX": ("lp input gradient", "adder input gradient"),
                "dF": ("lp filter gradient", "adder sign filter gradient"),
                "fwd+bwd": ("lp forward+backward", "adder forward+backward"),
            },
        ),
    ]


def times_over(results: Results, title: str, columns: dict[str, tuple[str, str]]) -> list[str]:
    """Return a table with the ms of some cases, each followed by its time over another case's."""
    rows = []
    for measured in results.layers:
        row = [measured.layer.title]
        for case, other in columns.values():
            seconds = measured.time(case)
            row += [number(None if seconds is None else 1e3 * seconds, 3), number(measured.ratio(case, other), 2)]
        rows.append(row)
    return table(title, ["layer", *(header for name in columns for header in (name, "over"))], rows)


def ratios(results: Results) -> list[str]:
    """Return a table of PyTorch's times over ours, and what was left out or scaled."""
    rows = []
    for measured in results.layers:
        conv = measured.ratio("torch conv forward", "conv forward")
        rows.append(
            [
                measured.layer.title,
                number(measured.ratio("broadcast forward", "adder forward")),
                number(measured.ratio("broadcast forward+backward", "adder forward+backward")),
                number(measured.ratio("cdist forward", "adder forward")),
                number(measured.ratio("compiled forward", "adder forward")),
                number(measured.ratio("compiled forward+backward", "adder forward+backward")),
                number(measured.ratio("adder forward+backward", "torch conv forward+backward"), 2),
                number(None if conv is None else 100 * conv, 0),
                number(measured.ratio("conv forward+backward", "torch conv forward+backward"), 2),
            ]
        )
    headers = ["layer", "bcast f", "bcast f+b", "cdist f", "compile f", "compile f+b"]
    lines = table(
        "PyTorch's time over the adder layer's: broadcast expression, cdist, torch.compile (f: forward, b: backward);",
        [*headers, "adder/conv f+b", "conv f %", "conv/conv f+b"],
        rows,
    )
    legend = "our adder's time over torch's conv; speed of our conv in % of torch's; our conv's time over torch's"
    lines.insert(2, legend)
    return [*lines, *left_out(results.layers)]


def left_out(layers: Sequence[Measured]) -> list[str]:
    """Return lines on what was not measured, and on what was measured on a part of the batch."""
    reasons: dict[str, dict[str, None]] = {}
    for measured in layers:
        for case, reason in measured.skipped.items():
            reasons.setdefault(reason, {})[case] = None
    lines = []
    for reason, cases in reasons.items():
        lines += wrapped([f"not measured ({reason}): {next(iter(cases))}", *list(cases)[1:]])
    scaled = [
        f"{measured.layer.title} ×{max(measured.factors.values()):.3g}"
        for measured in layers
        if max(measured.factors.values(), default=1) > 1
    ]
    if scaled:
        lines += wrapped(
            ["broadcast measured on a part of the batch and its time scaled up: " + scaled[0], *scaled[1:]]
        )
    return lines


def wrapped(words: Sequence[str]) -> list[str]:
    """Return words joined by commas, in lines that fit."""
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 4 > WIDTH:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else '  '}{word}"
    return lines


def steps_table(results: Results) -> list[str]:
    """Return a table of training steps and epochs."""
    rows = []
    for found in results.steps:
        times = [found.step(kind) for kind in (steps.ADDER, steps.CONV, steps.TORCH)]
        epochs = [found.epoch(kind) for kind in (steps.ADDER, steps.CONV, steps.TORCH)]
        ratio = None if epochs[0] is None or epochs[2] is None else epochs[0] / epochs[2]
        rows.append(
            [
                f"{found.network}, batch {found.batch}",
                *(number(None if seconds is None else 1e3 * seconds, 2) for seconds in times),
                *(number(seconds, 2) for seconds in epochs),
                number(found.mean_epoch(steps.ADDER), 2),
                number(ratio, 2),
            ]
        )
    headers = ["network", "adder ms", "conv ms", "torch conv ms", "adder s", "conv s", "torch conv s", "adder mean s"]
    what = ", ".join(sorted({f"{found.data} data" for found in results.steps}))
    efforts = ", ".join(sorted({turns(found.effort) for found in results.steps}))
    lines = table(
        "Training steps (ms) and epochs of 60,000 images, from the steps (s)", [*headers, "adder/torch"], rows
    )
    return [*lines, f"({what}; best of {efforts})"]


def turns(effort: Effort) -> str:
    """Return in words how steps were measured."""
    return f"{effort.rounds} turns of {effort.runs} steps"


def toy_lines(results: Results) -> list[str]:
    """Return the toy experiment in a line."""
    if results.toy is None:
        return []
    toy = results.toy
    return [
        "",
        f"Toy experiment, two adder layers on the unit ball, {steps.TOY_POINTS} points, {toy.iterations} iterations: "
        f"{toy.seconds:.2f} s",
        f"(at the speed of the best of {len(toy.parts)} parts {toy.best:.2f} s); accuracy {100 * toy.accuracy:.1f} %",
    ]


def memory_table(results: Results) -> list[str]:
    """Return a table of the memory that steps take."""
    twins = {(m.network, m.batch): m.growth for m in results.memory if m.kind == steps.TORCH}
    rows = [
        [
            f"{steps.NETWORKS[m.network].title}, batch {m.batch}, {m.kind}",
            number(m.growth / MEGABYTE),
            number(m.peak / MEGABYTE),
            number(m.growth / twins[m.network, m.batch] if (m.network, m.batch) in twins else None, 2),
        ]
        for m in results.memory
    ]
    methods = ", ".join(sorted({m.method for m in results.memory}))
    title = f"Memory that training steps add at their peak ({methods}), each in a process of its own"
    return table(title, ["network", "steps MB", "process MB", "over torch conv"], rows)


def scaling_table(results: Results) -> list[str]:
    """Return a table of speed by batch, channels and threads."""
    most = max(found.threads for found in results.scaling)
    rows = []
    for one in (found for found in results.scaling if found.threads == 1):
        n, channels = one.layer.x_shape[:2]
        many = next(f for f in results.scaling if (f.varied, f.layer, f.threads) == (one.varied, one.layer, most))
        row = [one.varied, str(n), str(channels)]
        for case in CASES:
            share = efficiency(results.scaling, one, case)
            row += [number(one.speed(case)), number(many.speed(case))]
            row.append(number(None if share is None else 100 * share, 0))
        rows.append(row)
    headers = ["varied", "batch", "channels", *(["1 thr.", f"{most} thr.", "eff. %"] * len(CASES))]
    lines = table("Scaling of a 3×3 layer on 16×16: G elements/s with 1 thread and with all, efficiency", headers, rows)
    lines.insert(2, " " * 24 + "".join(case.replace("forward+backward", "fwd+bwd").rjust(24) for case in CASES))
    return lines
