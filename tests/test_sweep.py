"""`minadder sweep`: what its jobs are, that nothing is lost however it ends, and what the tables say."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minadder import cli, data, optim, plot
from minadder.experiments import jobs, workers
from minadder.experiments.jobs import build, make, read_result, run_job
from minadder.experiments.parallel import run_jobs
from minadder.experiments.table import Measured, Row, as_lines, job_name, spread
from minadder.experiments.tables import TABLES
from minadder.run import Callback, Run

every_table = pytest.mark.parametrize("name", TABLES)


def command(out: Path, *more: str, table: str = "eta") -> list[str]:
    """Return a quick sweep as words of a command line."""
    return [sys.executable, "-m", "minadder", "sweep", table, "--quick", "--out", str(out), *more]


def sweep(out: Path, *more: str, table: str = "eta") -> Any:
    """Run a quick sweep in a process of its own."""
    return subprocess.run(command(out, *more, table=table), capture_output=True, text=True, timeout=300, check=False)


def some_digits(name: str = "digits") -> tuple[data.Dataset, data.Dataset]:
    """Return few digits, for trainings that take a moment."""
    train, test = data.digits()
    return (
        data.Dataset(train.inputs[:96], train.labels[:96], 10, name),
        data.Dataset(test.inputs[:50], test.labels[:50], 10, name),
    )


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have jobs in this process train on few digits."""
    monkeypatch.setattr(data, "load", some_digits)


# Jobs


@every_table
def test_every_row_is_a_job_of_its_own_that_json_holds(name: str) -> None:
    table = TABLES[name]
    found = table.jobs("digits", 2, [0, 1])
    assert len(found) == 2 * len(table.rows)
    assert len({json.dumps(job) for job in found.values()}) == len(found)
    assert json.loads(json.dumps(found)) == found
    train = some_digits()[0]
    for job in found.values():
        layers = [module for module in build(job, train).modules() if hasattr(module, "weight_grad")]
        assert {module.weight_grad for module in layers} <= {job["weight_grad"] or "full_precision"}


def test_rows_hold_the_papers_figures() -> None:
    assert [row.paper for row in TABLES["eta"].rows] == [99.28, 99.35, 99.40, 99.35, 99.30]
    assert [row.settings["adder_lr"]["eta"] for row in TABLES["eta"].rows] == [1, 0.5, 0.2, 0.1, 0.05]
    assert [row.paper for row in TABLES["p-decay"].rows] == [91.91, 92.00, 92.11, 92.31, 91.76]
    assert [row.settings["p_until"] for row in TABLES["p-decay"].rows] == [0.375, 0.5, 0.625, 0.75, 0.875]
    parts = {
        (row.settings["weight_grad"], row.settings["p_until"], row.settings["adder_lr"] is None): row.paper
        for row in TABLES["v2-ablation"].rows
    }
    assert len(parts) == 8
    assert parts["exact", None, True] == 80.77
    assert parts["exact", 0.75, True] == 86.21
    assert parts["full_precision", None, False] == 91.83
    assert parts["full_precision", 0.75, False] == 92.32
    ablation = {row.key: row.paper for row in TABLES["ablation"].rows}
    assert ablation["unscaled-full-precision"] == 54.91
    assert ablation["ilr-sign"] == 97.72
    assert ablation["alr-0.2-full-precision"] == 99.40
    rates = {"unscaled": None, "ilr": "IncreasedLR", "alr": "AdaptiveLR"}
    for row in TABLES["ablation"].rows:
        rule = row.settings["adder_lr"]
        assert (rule and rule["name"]) == rates[row.key.partition("-")[0]]
        assert row.settings["weight_grad"] == ("sign" if "sign" in row.key else "full_precision")
        assert row.settings["input_grad"] == ("sign" if row.key.endswith("sign") else "hardtanh")
    less = TABLES["ablation-less-decay"].rows
    assert [row.paper for row in less] == [29.26, 54.91, 97.72, 97.99, 98.99, 99.40]
    same = {row.key: row.settings for row in TABLES["ablation"].rows}
    assert {row.settings["weight_decay"] for row in less} == {3e-4}
    assert all(
        {**row.settings, "adder_lr": 0}
        == {**same[row.key.replace("0.005", "0.2")], "weight_decay": 3e-4, "adder_lr": 0}
        for row in less
    )
    true_gradient = next(row.settings for row in TABLES["ablation"].rows if row.key == "alr-0.01-sign")
    assert true_gradient == {
        "adder_lr": {"name": "AdaptiveLR", "eta": 0.01},
        "weight_grad": "sign",
        "input_grad": "sign",
    }


def test_ends_in_full_precision_are_the_cnns() -> None:
    net = build(make({"layer": "binary", "full_precision_ends": True}, "digits", 1, 0), some_digits()[0])
    kinds = [type(module).__name__ for module in net.modules() if hasattr(module, "weight")]
    assert [kind for kind in kinds if "Norm" not in kind] == [
        "Conv2d",
        *["BinaryConv2d"] * 2,
        "BinaryLinear",
        "Linear",
    ]


def test_a_rule_for_layers_that_have_none_is_named() -> None:
    with pytest.raises(ValueError, match="conv layers have no weight_grad to set to 'sign'"):
        build(make({"layer": "conv", "weight_grad": "sign"}, "digits", 1, 0), some_digits()[0])


class Groups(Callback):
    """Keeps what the optimiser of a training is told."""

    def on_train_begin(self, run: Run) -> None:
        self.group = {name: value for name, value in run.optimizer.param_groups[0].items() if name != "params"}


def test_the_optimiser_gets_what_a_job_says(few: None, tmp_path: Path) -> None:
    groups = Groups()
    rule = {"name": "IncreasedLR", "factor": 7.0}
    run_job(make({"lr": 0.03, "weight_decay": 3e-4, "adder_lr": rule}, "digits", 1, 0), tmp_path / "job", [groups])
    assert groups.group["initial_lr"] == 0.03
    assert groups.group["weight_decay"] == 3e-4
    assert groups.group["adder_lr"] == optim.IncreasedLR(7.0)
    assert (groups.group["momentum"], groups.group["nesterov"]) == (0.9, True)
    run_job(make({}, "digits", 1, 0), tmp_path / "papers", [groups])
    assert groups.group["weight_decay"] == 5e-4


def without_seconds(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result without what no two runs have in common."""
    return {**result, "history": [{**epoch, "seconds": 0} for epoch in result["history"]]}


class Stop(Callback):
    """Interrupts a training in an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_step_end(self, run: Run) -> None:
        if run.epoch + 1 == self.epoch:
            raise KeyboardInterrupt


def test_a_job_that_was_stopped_goes_on_and_ends_the_same(few: None, tmp_path: Path) -> None:
    job = make({}, "digits", 3, 0)
    whole = run_job(job, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_job(job, tmp_path / "stopped", [Stop(3)])
    assert [file.name for file in (tmp_path / "stopped").iterdir()] == ["checkpoint.safetensors"]
    again = run_job(job, tmp_path / "stopped")
    assert [epoch["epoch"] for epoch in again["history"]] == [1, 2, 3]
    assert again["history"][:2] != whole["history"][:2]  # by their seconds: those before the stop were not done again
    assert without_seconds(again) == without_seconds(whole)
    assert run_job(job, tmp_path / "stopped", [Stop(1)]) == again  # nothing is trained


def test_a_job_whose_numbers_run_away_is_a_result(few: None, tmp_path: Path) -> None:
    job = make({"lr": 1e30, "layer": "conv"}, "digits", 2, 0)
    result = run_job(job, tmp_path / "job")
    assert "NaN or Inf" in result["diverged"]
    assert read_result(tmp_path / "job", job) == result


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: text.replace('"epoch": 1', '"epoch": 7'), "its checksum is wrong"),
        (lambda text: "", "damaged"),
        (lambda text: "[]", "damaged"),
        (lambda text: "{}", "it has no 'sha256'"),
        (lambda text: "\xff", "damaged"),
    ],
)
def test_a_damaged_result_is_named_and_done_again(
    few: None, tmp_path: Path, capsys: Any, change: Any, why: str
) -> None:
    job = make({}, "digits", 1, 0)
    result = run_job(job, tmp_path / "job")
    path = tmp_path / "job" / jobs.RESULT
    path.write_text(change(path.read_text()), encoding="latin-1")
    capsys.readouterr()
    again = run_job(job, tmp_path / "job")
    told = capsys.readouterr().err
    assert f"{path} is damaged" in told
    assert why in told
    assert without_seconds(again) == without_seconds(result)
    assert read_result(tmp_path / "job", job) == again


def test_the_result_of_another_job_is_refused(few: None, tmp_path: Path) -> None:
    run_job(make({}, "digits", 1, 0), tmp_path / "job")
    with pytest.raises(ValueError, match="is the result of another job: its seed is 0, now it is 1"):
        read_result(tmp_path / "job", make({}, "digits", 1, 1))


@pytest.mark.parametrize("change", [{"epochs": 3}, {"seed": 4}, {}])
def test_a_checkpoint_that_does_not_belong_there_is_found_before_any_job_runs(
    few: None, tmp_path: Path, change: dict[str, Any]
) -> None:
    job = {**make({}, "digits", 2, 0), **change}
    with pytest.raises(KeyboardInterrupt):
        run_job(job, tmp_path / "last", [Stop(2)])
    path = tmp_path / "last" / jobs.CHECKPOINT
    if not change:
        path.write_bytes(path.read_bytes()[:-9])
    todo = {"first": make({}, "digits", 2, 0), "last": make({}, "digits", 2, 0)}
    with pytest.raises(ValueError, match=r"is of another training: its|truncated, altered"):
        list(run_jobs(todo, tmp_path, 1))
    assert not (tmp_path / "first").exists()


# The command


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return the folder of a quick sweep that nobody stopped, and its output."""
    out = tmp_path_factory.mktemp("sweeps") / "whole"
    result = sweep(out)
    assert result.returncode == 0, result.stderr
    return out, result


def test_a_quick_sweep_ends_in_a_table_and_a_figure(finished: Any) -> None:
    out, result = finished
    text = (out / "eta.txt").read_text()
    head, table = text.split("\n\n", 1)
    assert head.startswith("command: minadder sweep eta --quick\ndate: 2")
    assert result.stdout.startswith(table)
    assert "measured: digits, 2 epochs, seed 0" in text
    assert (out / "eta.png").read_bytes().startswith(b"\x89PNG")
    for row in TABLES["eta"].rows:
        history = json.loads((out / job_name(row, 0) / "result.json").read_text())["history"]
        (line,) = (line for line in text.splitlines() if line.startswith(f"{row.label} "))
        assert line.split()[3] == f"{100 * history[-1]['test_accuracy']:.2f}"
        assert f"{row.paper:.2f}" in line
        assert result.stderr.count(f"{job_name(row, 0)}: epoch ") == 2


def test_killed_in_the_middle_it_goes_on_and_the_table_is_the_same(finished: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not list(out.glob("*/result.json")):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(5 * workers.WATCH)
    before = {path: path.read_bytes() for path in out.glob("*/result.json")}
    assert 0 < len(before) < 5
    result = sweep(out)
    assert result.returncode == 0, result.stderr
    assert {path: path.read_bytes() for path in before} == before
    for path in before:
        assert f"{path.parent.name}: epoch " not in result.stderr
    assert (out / "eta.txt").read_bytes() == (finished[0] / "eta.txt").read_bytes()
    again = sweep(out)
    assert ": epoch " not in again.stderr
    assert again.stdout == result.stdout


def test_a_damaged_result_is_named_by_the_command_and_done_again(finished: Any) -> None:
    out, _ = finished
    table = (out / "eta.txt").read_text().split("\n\n", 1)[1]  # in front of it stands the command
    path = out / "eta-0.2-seed0" / "result.json"
    path.write_bytes(path.read_bytes()[:100])
    result = sweep(out, "--jobs", "1")
    assert result.returncode == 0, result.stderr
    assert f"{path} is damaged" in result.stderr
    assert (out / "eta.txt").read_text().split("\n\n", 1)[1] == table


def test_other_settings_in_the_same_folder_are_refused(finished: Any) -> None:
    out, _ = finished
    result = sweep(out, "--epochs", "3")
    assert result.returncode == 1
    assert "is the result of another job: its epochs is 2, now it is 3" in result.stderr
    assert "Traceback" not in result.stderr


@every_table
def test_every_table_runs_quickly(few: None, tmp_path: Path, capsys: Any, name: str) -> None:
    assert cli.main(["sweep", name, "--quick", "--epochs", "1", "--jobs", "1", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(TABLES[name].title)
    assert max(map(len, printed.splitlines()[:-1])) <= 120
    assert all(row.label in printed for row in TABLES[name].rows)
    assert (tmp_path / f"{name}.png").exists()


def test_ctrl_c_is_told_with_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("minadder.commands.sweep.run_jobs", interrupted)
    assert cli.main(["sweep", "eta", "--out", str(tmp_path / "a")]) == 130
    assert f"interrupted; the same command goes on with what is in {tmp_path / 'a'}" in capsys.readouterr().err


def test_seeds_given_twice_are_refused(tmp_path: Path, capsys: Any) -> None:
    assert cli.main(["sweep", "eta", "--seeds", "1", "1", "--out", str(tmp_path / "a")]) == 1
    assert "--seeds must differ from each other, not 1 1" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


# Tables and figures


def result(*accuracies: float, diverged: str | None = None) -> dict[str, Any]:
    """Return what tables need of a result."""
    return {"history": [{"test_accuracy": accuracy} for accuracy in accuracies], "diverged": diverged}


def test_the_table_has_the_mean_of_the_seeds_and_names_what_diverged() -> None:
    found = [
        Measured(Row("a", "first", {}, 99.0), [result(0.5, 0.98), result(0.995, 0.99)]),
        Measured(Row("b", "second", {}), [result(0.6, diverged="NaN or Inf"), result(0.9)]),
        Measured(Row("c", "third", {}, 50.0), [result(diverged="NaN or Inf")]),
    ]
    lines = as_lines(TABLES["eta"], found, "mnist", comparable=True)
    assert [line.split() for line in lines[6:9]] == [
        ["first", "98.50", "±", "0.71", "99.50", "99.00", "-0.50"],
        ["second", "90.00", "(1", "diverged)", "90.00", "–", "–"],
        ["third", "–", "(1", "diverged)", "–", "50.00", "–"],
    ]
    assert "difference" not in as_lines(TABLES["eta"], found, "digits", comparable=False)[4]
    assert spread([1.0]) == "1.00"


def test_figures_show_both_sides() -> None:
    headings = ("ours", "theirs")
    lines = plot.lines_beside([0.1, 1.0], [[90.0, 92.0], []], [99.0, 98.0], "title", headings, "η", logarithmic=True)
    assert [axes.get_title() for axes in lines.axes] == list(headings)
    np.testing.assert_array_equal(np.array(lines.axes[0].lines[0].get_ydata(), float), [91, np.nan])
    assert [text.get_text() for text in lines.axes[0].texts] == ["91.00"]
    bars = plot.points_beside(["a", "b"], [[90.0], []], [None, 80.0], "title", headings)
    assert [text.get_text() for text in bars.axes[0].texts] == ["90.00", "–"]
    assert [text.get_text() for text in bars.axes[1].texts] == ["–", "80.00"]
    curves = plot.curves_beside(["a"], [[[50.0, 60.0], [55.0, 65.0]]], [[60.0, 65.0]], [70.0], "title", headings)
    assert [list(line.get_ydata()) for line in curves.axes[0].lines] == [[52.5, 62.5]]
    many = [str(number) for number in range(11)]
    curves = plot.curves_beside(many, [[[50.0]]] * 11, [[50.0]] * 11, [None] * 11, "title", headings)
    assert [line.get_label() for line in curves.axes[0].lines] == many
