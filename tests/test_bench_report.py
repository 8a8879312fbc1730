"""What the benchmark says of what it measured: tables, percentages, bars, figures, files; and the whole command."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

from minadder.bench import bars, command, figures, layers, machine, memory, scaling, shapes, steps, tables
from minadder.bench.layers import MATMUL, Measured
from minadder.bench.results import ROOFS, Results
from minadder.bench.shapes import Layer
from minadder.bench.timing import Effort

ONCE = Effort(rounds=1, seconds=0)

compiled_only = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="measures compiled kernels")

PROGRAM = """
import argparse, sys
{before}
from minadder.bench import command
parser = argparse.ArgumentParser()
command.add_arguments(parser)
sys.exit(command.run(parser.parse_args()))
"""


def run(*arguments: object, before: str = "") -> Any:
    program = PROGRAM.format(before=before)
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=280, check=False
    )


def options(*arguments: object) -> Any:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(list(map(str, arguments)))


def measured(network: str = "ResNet-20", seconds: float = 0.5, **cases: float) -> Measured:
    layer = Layer(network, "stage 1", (2, 4, 8, 8), (4, 4, 3, 3), padding=1)
    names = dict.fromkeys((*ROOFS, *layers.COMPARED), seconds) | cases
    return Measured(layer, {name: [2 * value, value, 3 * value] for name, value in names.items()})


def results(*found: Measured) -> Results:
    """Return the results of a machine that does a layer's elements once a second of each kind."""
    elements = measured().layer.elements
    names = ["peak distance", "peak hardtanh", "peak sign", "peak product", MATMUL]
    facts = machine.facts("minadder bench", 0)
    return Results(facts, dict.fromkeys(names, float(elements)), 10.0, list(found))


@given(st.lists(st.lists(st.text("ab–×", max_size=9), min_size=3, max_size=3), max_size=4))
def test_tables_line_up(rows: list[list[str]]) -> None:
    lines = tables.table("title", ["name", "b", "c"], rows)
    assert lines[:2] == ["", "title"]
    assert {len(line) for line in lines[2:]} == {len(lines[2])}
    assert len(lines) == 4 + len(rows)


def test_a_table_that_is_too_wide_is_refused() -> None:
    with pytest.raises(ValueError, match="the table 'title' is 121 columns wide"):
        tables.table("title", ["name"], [["x" * 121]])


def test_speeds_percentages_and_ratios() -> None:
    found = measured(**{"adder forward": 2.0, "broadcast forward": 8.0})
    all_found = results(found)
    elements = found.layer.elements
    assert all_found.speed(found, "adder forward") == elements / 2 / 1e9
    assert all_found.percent(found, "adder forward") == 50
    assert all_found.percent(found, "adder forward+backward") == pytest.approx(600)
    assert found.ratio("broadcast forward", "adder forward") == 4
    assert results().percent(Measured(found.layer, {}), "adder forward") is None
    assert Results({}).percent(found, "adder forward") is None


def test_the_binary_table_has_the_others_times_over_the_binary_layers() -> None:
    found = results(measured(**{"binary forward": 0.02, "conv forward": 0.05, "torch conv forward": 0.01}))
    del found.layers[0].seconds["adder forward"]
    assert tables.binary_table(found)[-1].split() == ["ResNet-20", "stage", "1", "20.000", "2.5", "0.5", "–"]


def test_the_exponents_tables_have_their_times_over_others() -> None:
    found = results(
        measured(
            **{
                "l2 forward": 0.03,
                "conv forward": 0.02,
                "lp forward": 0.08,
                "adder forward": 0.04,
                "lp filter gradient": 0.09,
                "adder sign filter gradient": 0.03,
            }
        )
    )
    of_two, between = (line.split()[3:] for line in tables.exponent_tables(found) if "stage" in line)
    assert of_two == ["30.000", "1.50", "–", "–"]
    assert between == ["80.000", "2.00", "–", "–", "90.000", "3.00", "–", "–"]


def test_the_exponents_bars_are_of_the_worst_layer() -> None:
    """One that the other layers do not hide, as they do in a median."""
    fast = {"adder forward": 0.04, "lp forward": 0.04, "conv forward": 0.02, "l2 forward": 0.02}
    found = results(*(measured(**{**fast, **slow}) for slow in ({}, {"lp forward": 0.08, "l2 forward": 0.03}, {})))
    fully_connected = Measured(
        Layer("LeNet-5", "fc1", (2, 4, 1, 1), (4, 4, 1, 1)), {"conv forward": [1], "l2 forward": [3]}
    )
    found.layers.append(fully_connected)  # its convolution is a matrix product
    values = {bar.figure: bar.value for bar in bars.bars(found) if bar.figure[0] == "ℓ" and bar.value is not None}
    assert values == {
        "ℓp adder forward, time over the ℓ1 adder's, worst layer": pytest.approx(2),
        "ℓ2 adder forward, time over the convolution's, worst layer": pytest.approx(1.5),
    }


def test_all_tables_fit_120_columns() -> None:
    found = Results(
        machine.facts("minadder bench", 0),
        dict.fromkeys(results().rates, 1e12),
        10.0,
        [Measured(layer, measured().seconds, {"broadcast forward": 123.0}) for layer in shapes.layers()],
        [steps.Steps("LeNet-5-BN", 256, "generated", steps.STEPS, {"adder": [1.0], "conv": [1e3]})],
        steps.Toy(10, [1.0, 2.0], 0.9),
        [
            memory.Memory("lenet5-bn", kind, 256, 10**9, 10**10, "VmHWM after a reset")
            for kind in ("adder", "torch conv")
        ],
        [scaling.Scaled("batch", scaling.stage(1, 4), n, {"adder forward": [1e-9]}) for n in (1, 2)],
    )
    lines = [
        *tables.layer_tables(found),
        *tables.steps_table(found),
        *tables.toy_lines(found),
        *tables.memory_table(found),
        *tables.scaling_table(found),
    ]
    assert max(map(len, lines)) <= tables.WIDTH
    text = "\n".join(lines)
    assert "ResNet-18 stage 4 ×123" in text
    assert "LeNet-5-BN, batch 256, torch conv" in text


def test_bars_are_reached_or_short() -> None:
    def verdicts(**cases: float) -> dict[str, str]:
        return {bar.figure: bar.verdict for bar in bars.bars(results(measured(**cases)))}

    good = verdicts(**{"adder forward": 1 / 0.7, "torch conv forward+backward": 0.25})
    assert good["adder forward, ResNet-20 3×3, of peak"] == "reached"
    assert good["adder forward, LeNet-5 5×5, of peak"] == "not measured"
    assert good["adder forward+backward, ResNet-20, time over PyTorch's convolution"] == "reached"
    bad = verdicts(**{"adder forward": 1.5, "torch conv forward+backward": 0.24})
    assert bad["adder forward, ResNet-20 3×3, of peak"] == "short"
    assert bad["adder forward+backward, ResNet-20, time over PyTorch's convolution"] == "short"


def test_bars_of_whole_steps() -> None:
    found = results()
    found.steps = [
        steps.Steps("LeNet-5-BN", 256, "generated", ONCE, {"adder": [4.0 / 234.375], "torch conv": [2.0 / 234.375]})
    ]
    found.toy = steps.Toy(10, [3.0, 2.5], 1.0)
    found.memory = [
        memory.Memory("resnet20", kind, 256, 100, peak, "") for kind, peak in (("adder", 250), ("torch conv", 200))
    ]
    lines = [bar.line() for bar in bars.whole_bars(found)]
    assert lines == [
        "LeNet-5-BN adder epoch: 4 s – bar ≤ 4 s – reached",
        "LeNet-5-BN adder epoch over PyTorch's CNN epoch: 2 × – bar ≤ 3 × – reached",
        "toy experiment: 5.5 s – bar ≤ 5 s – short",
        "memory of a ResNet-20 adder step over PyTorch's CNN step: 1.5 × – bar ≤ 1.5 × – reached",
    ]


def test_figures_show_each_layer_and_each_ratio() -> None:
    found = results(measured(), measured("LeNet-5"))
    roofline = figures.roofline(found).axes[0]
    labels = [text.get_text() for text in roofline.get_legend().get_texts()]
    assert {"adder forward", "LeNet-5", "ResNet-20"} <= set(labels)
    assert "ResNet-18" not in labels
    bars_axes = figures.ratio_bars(found).axes[0]
    assert len(bars_axes.containers) == len(figures.RATIOS)
    found.layers[0].seconds.pop("compiled forward+backward")
    found.layers[1].seconds.pop("compiled forward+backward")
    assert len(figures.ratio_bars(found).axes[0].containers) == len(figures.RATIOS) - 1


def test_files_are_whole_or_not_there(tmp_path: Any) -> None:
    found = results(measured())
    command.write(tmp_path, found, ["a line"])
    assert {file.name for file in tmp_path.iterdir()} == set(command.FILES.values())
    text = (tmp_path / "bench.json").read_text()
    assert '"adder forward": [1.0, 0.5, 1.5]' in text
    content = json.loads(text)
    assert content["layers"][0]["layer"]["x_shape"] == [2, 4, 8, 8]
    assert content["layers"][0]["elements"] == measured().layer.elements
    assert content["bars"][0]["verdict"] == "reached"
    assert {"command", "date", "python", "numpy", "numba", "torch", "cpu", "threads", "seed"} <= set(content["facts"])
    broken = tmp_path / "broken"
    (broken / "bench.json").mkdir(parents=True)
    with pytest.raises(OSError, match="cannot write"):
        command.write(broken, found, [])
    assert [file.name for file in broken.iterdir()] == ["bench.json"]


def test_wrong_options_are_told_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    with pytest.raises(ValueError, match="no layer is called 'nothing'"):
        command.run(options("--layers", "nothing"))
    with pytest.raises(ValueError, match="--seed must be at least 0, not -1"):
        command.run(options("--seed", -1))
    with pytest.raises(ValueError, match="threads must be 1 to"):
        command.run(options("--threads", 10_000))
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    with pytest.raises(RuntimeError, match="NUMBA_DISABLE_JIT is set"):
        command.run(options())


def test_the_command_is_kept_without_folders() -> None:
    line = command.command_line(options("layers", "--quick", "--threads", 1, "--layers", "16→32 3×3", "--out", "/a/b"))
    assert line == "minadder bench layers --quick --threads 1 --layers '16→32 3×3'"
    assert command.command_line(options("--data", "mnist", "--seed", 2)) == "minadder bench all --data mnist --seed 2"


@compiled_only
def test_a_quick_run_from_end_to_end(tmp_path: Any) -> None:
    result = run("--quick", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "bench.json").read_text())
    assert [entry["layer"]["name"] for entry in content["layers"]] == ["conv2", "fc2", "stage 2"]
    assert content["steps"]
    assert content["memory"][0]["peak"] > content["memory"][0]["before"]
    assert content["scaling"]
    assert math.isfinite(content["toy"]["accuracy"])
    printed = result.stdout.splitlines()
    assert max(map(len, printed[:-1])) <= tables.WIDTH
    assert [line for line in printed if "What minadder promises" in line]
    assert (tmp_path / "bench.txt").read_text().splitlines() == printed[:-1]
    for name in ("roofline.png", "ratios.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@compiled_only
@pytest.mark.parametrize("part", ["layers", "steps", "scaling"])
def test_a_part_alone(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(options(part, "--quick", "--layers", "fc2", "--threads", 1)) == 0
    printed = capsys.readouterr().out
    assert ("LeNet-5 fc2" in printed) is (part == "layers")
    assert ("Toy experiment" in printed) is (part == "steps")
    assert ("eff. %" in printed) is (part == "scaling")
    assert "threads: 1" in printed


@compiled_only
def test_a_quick_run_without_pytorch(tmp_path: Any) -> None:
    result = run("layers", "--quick", "--layers", "fc2", before="sys.modules['torch'] = None")
    assert result.returncode == 0, result.stderr
    assert "torch: no PyTorch" in result.stdout
    assert "not measured (no PyTorch): broadcast forward" in result.stdout
    assert "Traceback" not in result.stderr
