"""The command `minadder bench`: what it takes, what it measures, what it prints and leaves in a folder."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minadder import streams
from minadder.files import path_argument, shown, write_file

if TYPE_CHECKING:
    from minadder.bench.results import Results

PARTS = ("layers", "steps", "memory", "scaling")
FILES = {"data": "bench.json", "text": "bench.txt", "roofline": "roofline.png", "ratios": "ratios.png"}
QUICK_TOY = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "part", nargs="?", choices=(*PARTS, "all"), default="all", help="what to measure (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a few small cases in half a minute, to see that it works")
    parser.add_argument(
        "--out",
        type=path_argument,
        help="a folder for the tables, all numbers as JSON, and the figures",
    )
    parser.add_argument("--threads", type=int, help="threads of everything measured (default: all)")
    parser.add_argument("--layers", default="", metavar="TEXT", help='only layers with this in the name: "ResNet-20"')
    parser.add_argument(
        "--data",
        choices=("generated", "mnist"),
        default="generated",
        help="what LeNet-5-BN trains on; mnist takes a whole epoch (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all numbers that are drawn (default: %(default)s)")


def command_line(options: argparse.Namespace) -> str:
    """Return the command, without the folder that it writes to."""
    words = ["minadder", "bench", options.part]
    words += ["--quick"] if options.quick else []
    words += ["--threads", str(options.threads)] if options.threads else []
    words += ["--layers", options.layers] if options.layers else []
    words += ["--data", options.data] if options.data != "generated" else []
    words += ["--seed", str(options.seed)] if options.seed else []
    return shlex.join(words)


def run(options: argparse.Namespace) -> int:
    """Measure what the options say, print it, and write the files; return the exit code.

    Raises
    ------
    ValueError
        For threads that Numba did not start, a layer that does not exist, a negative seed.
    OSError
        When the folder cannot be written.
    RuntimeError
        When something cannot be measured: kernels are not compiled, or a step fails.
    """
    from numba.core import config

    from minadder.bench import machine, shapes
    from minadder.bench.results import Results
    from minadder.commands import results as results_folder

    if config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT is set: kernels are plain Python, and their speed says nothing. Unset it")
    if options.seed < 0:
        raise ValueError(f"--seed must be at least 0, not {options.seed}")
    shapes.layers(options.layers)  # so that a wrong name fails now
    if options.out is not None:
        results_folder.prepared(options.out, tuple(FILES.values()))
    begin = time.perf_counter()
    with machine.threads(machine.most_threads() if options.threads is None else options.threads):
        results = Results(machine.facts(command_line(options), options.seed))
        lines = [f"{key}: {value}" for key, value in results.facts.items()]
        streams.say(*lines)
        measurements: dict[str, Callable[[argparse.Namespace, Results], list[str]]] = {
            "layers": measure_layers,
            "steps": measure_steps,
            "memory": measure_memory,
            "scaling": measure_scaling,
        }
        for part in PARTS if options.part == "all" else (options.part,):
            found = measurements[part](options, results)
            streams.say(*found)
            lines += found
    results.facts["seconds"] = round(time.perf_counter() - begin, 1)
    last = closing_lines(options, results)
    streams.say(*last)
    if options.out is not None:
        write(options.out, results, [*lines, *last])
    return 0


def progress(text: str) -> None:
    """Tell on stderr what is being measured."""
    streams.tell(f"minadder: measuring {text} …")


def measure_layers(options: argparse.Namespace, results: Results) -> list[str]:
    """Measure the layers, and return the tables."""
    from minadder.bench import layers, machine, shapes, tables
    from minadder.bench.timing import QUICK, THOROUGH, interleave

    effort = QUICK if options.quick else THOROUGH
    cases = layers.machine_cases()
    results.bandwidth = machine.bandwidth(2, machine.BANDWIDTH_NUMBERS // 4) if options.quick else machine.bandwidth()
    for layer in shapes.layers(options.layers, options.quick):
        progress(layer.title)
        results.layers.append(layers.measure(layer, options.seed, effort, cases, compile_too=not options.quick))
    alone = interleave(cases, THOROUGH)
    results.rates = layers.machine_rates(cases, [alone, *(measured.seconds for measured in results.layers)])
    return tables.layer_tables(results)


def measure_steps(options: argparse.Namespace, results: Results) -> list[str]:
    """Measure training steps and the toy experiment, and return the tables."""
    from minadder import data
    from minadder.bench import steps, tables

    sizes = ((steps.LENET, 256), (steps.RESNET, 64), (steps.RESNET, 256))
    for network, batch in ((steps.LENET, 16),) if options.quick else sizes:
        effort = steps.QUICK_STEPS if options.quick else steps.STEPS if network is steps.LENET else steps.FEW_STEPS
        if options.data == "mnist" and network is steps.LENET:
            dataset = data.load("mnist")[0]
            if not options.quick:
                effort = steps.whole_epoch(len(dataset), batch)
        else:
            dataset = steps.generated(network.image, effort.rounds * effort.runs * batch, options.seed)
        progress(f"steps of {network.title}, batch {batch}")
        results.steps.append(steps.measure(network, batch, dataset, options.seed, effort))
    progress("the toy experiment")
    results.toy = steps.toy(options.seed, QUICK_TOY if options.quick else steps.TOY_ITERATIONS)
    return [*tables.steps_table(results), *tables.toy_lines(results)]


def measure_memory(options: argparse.Namespace, results: Results) -> list[str]:
    """Measure the memory of steps, and return the table."""
    import numba

    from minadder.bench import memory, steps, tables, torch_layers

    if not memory.can_measure():
        return ["memory: not measured, since this system does not tell a process's peak", ""]
    kinds = [steps.ADDER, steps.CONV, *([steps.TORCH] if torch_layers.torch is not None else [])]
    runs = [("lenet5-bn", 256, kind) for kind in kinds] + [("resnet20", 256, kind) for kind in kinds]
    if options.quick:
        runs = [("lenet5-bn", 64, steps.ADDER)]
    for name, batch, kind in runs:
        progress(f"the memory of {name}, {kind}, batch {batch}")
        results.memory.append(memory.measure(name, kind, batch, numba.get_num_threads()))
    return tables.memory_table(results)


def measure_scaling(options: argparse.Namespace, results: Results) -> list[str]:
    """Measure how speed changes with batch, channels and threads, and return the table."""
    import numba

    from minadder.bench import scaling, tables
    from minadder.bench.timing import QUICK, THOROUGH

    progress("scaling")
    effort = QUICK if options.quick else THOROUGH
    results.scaling = scaling.measure(options.seed, effort, options.quick, numba.get_num_threads())
    return tables.scaling_table(results)


def closing_lines(options: argparse.Namespace, results: Results) -> list[str]:
    """Return the figures that have bars, and how long all took."""
    from minadder.bench import bars

    title = "What minadder promises (figure – bar):"
    if options.quick:
        title = "What minadder promises (figure – bar); of a quick run these figures say nothing:"
    return ["", title, *(bar.line() for bar in bars.bars(results)), "", f"{results.facts['seconds']} s in all"]


def as_json(content: dict[str, Any]) -> str:
    """Return JSON that can be read by people too: numbers with 5 digits, each list of numbers in a line."""
    short = json.loads(json.dumps(content), parse_float=lambda text: float(f"{float(text):.5g}"))
    text = json.dumps(short, indent=1, ensure_ascii=False)
    return re.sub(r"\[\s+([^\[\]{}\"]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def write(folder: Path, results: Results, lines: list[str]) -> None:
    """Write the tables, all numbers, and where layers were measured the figures."""
    from minadder.bench import bars, figures
    from minadder.commands.results import draw

    content = results.content()
    content["bars"] = [{**vars(bar), "verdict": bar.verdict} for bar in bars.bars(results)]
    write_file(folder / FILES["data"], as_json(content).encode())
    write_file(folder / FILES["text"], ("\n".join(lines) + "\n").encode())
    if results.layers:
        draw(lambda: figures.roofline(results), folder / FILES["roofline"])
        draw(lambda: figures.ratio_bars(results), folder / FILES["ratios"])
    there = [name for name in FILES.values() if (folder / name).exists()]
    streams.say(f"written: {', '.join(there)} in {shown(folder)}")
