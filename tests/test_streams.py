"""Telling never fails, whatever the streams are, and what comes from others is shown as text and nothing else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import callbacks, checkpoint, cli, data, models, optim, plot, streams
from minadder.commands import results
from minadder.commands.train import alone_in
from minadder.experiments import jobs
from minadder.provenance import as_typed, with_head

NAMES = [
    r"$\frac{x$ and $y$ %s{0}%(prog)s [x]*?",
    "a\nb \x1b[31mred \udcff \0",
    "n" * 300,
    "שלום \u202e 😀 한국어 \U000e0001",
    r"_\alpha \$ '",
]
"""Formulas, formats and patterns; control signs and undecodable bytes; more than there is room for; no glyphs."""


class Closed(io.StringIO):
    """A stream that was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.close()


class Full(io.StringIO):
    """A file on a disk that takes no more."""

    def write(self, text: str) -> int:
        raise OSError(28, os.strerror(28))


class Broken(io.StringIO):
    """A pipe that nobody reads."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, os.strerror(32))


def narrow() -> io.TextIOWrapper:
    """Return a stream that takes ASCII alone."""
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


FAULTY = [lambda: None, Closed, Full, Broken, narrow]
faulty = pytest.mark.parametrize("make", FAULTY, ids=["none", "closed", "full", "unread", "ascii"])


def train(*more: Any) -> Any:
    """Train a small net for two epochs."""
    rng = np.random.default_rng(0)
    points = data.Dataset(rng.standard_normal((40, 4)).astype(np.float32), np.arange(40) % 3, 3, "points")
    net = models.mlp((4, 5, 3), "adder")
    return ma.fit(
        net,
        points,
        epochs=2,
        optimizer=optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1)),
        callbacks=more,
    )


@faulty
def test_no_stream_ends_a_training(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setattr(sys, "stderr", make())
    assert len(train(callbacks.Progress())) == 2
    streams.tell("the end…")


@faulty
def test_no_file_of_the_callers_ends_a_training(capsys: pytest.CaptureFixture[str], make: Any) -> None:
    file = make()
    assert len(train(callbacks.Progress(file))) == 2
    told = capsys.readouterr().err
    assert told.count("the progress can no longer be written") == (
        file is not None and not isinstance(file, io.TextIOWrapper)
    )


@faulty
def test_a_terminal_that_goes_away_does_not_end_a_training(make: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(5, os.strerror(5))

    assert len(train(callbacks.Progress(Terminal()))) == 2


@faulty
def test_results_go_to_any_stream(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setattr(sys, "stdout", make())
    streams.say("3×32×32 – η")
    why = streams.output_error()
    assert (why is None) == (make not in (Closed, Full))
    if make is narrow:
        sys.stdout.seek(0)
        assert sys.stdout.read() == "3?32?32 ? ?\n"


def test_a_line_is_one_write() -> None:
    written: list[str] = []

    class Counting(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    streams.tell("one", Counting())
    assert written == ["one\n"]


@given(st.text())
def test_what_is_printable_is_one_line_that_any_terminal_takes(text: str) -> None:
    shown = streams.printable(text)
    assert shown.isprintable()
    assert len(shown) <= streams.LONGEST
    shown.encode()
    assert streams.printable(shown) == shown
    if text.isprintable() and len(text) <= streams.LONGEST:
        assert shown == text


# In processes of their own, on streams of the system

FULL = "minadder: standard output could not be written: No space left on device\n"


def shell(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $M is `python -m minadder`."""
    kept = {**os.environ, "M": f"{sys.executable} -m minadder", **environment}
    return subprocess.run(["bash", "-c", text], env=kept, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    "around", ["2>&-", "2>/dev/full", "2>&1 | true; exit ${PIPESTATUS[0]}", "<&- >&- 2>&-"], ids=str
)
def test_a_training_on_any_stream_leaves_its_results(tmp_path: Path, around: str) -> None:
    result = shell(f"$M train mlp --quick --out {tmp_path / 'a'} {around}")
    assert (result.returncode, result.stderr) == (0, "")
    assert len(list((tmp_path / "a").iterdir())) == 5


def test_processes_without_streams_train_too(tmp_path: Path) -> None:
    assert shell(f"$M toy xor --quick --processes 2 --out {tmp_path} <&- >&- 2>&-").returncode == 0
    assert len(list((tmp_path / "nets").iterdir())) == 6


@pytest.mark.parametrize(
    ("line", "code", "errors"),
    [
        ("$M count resnet20 | head -1 | grep -c resnet20; exit ${PIPESTATUS[0]}", 0, ""),
        (
            "$M count resnet20 >/dev/full",
            1,
            "minadder: standard output could not be written: No space left on device\n",
        ),
        ("$M --help >/dev/full", 1, "minadder: standard output could not be written: No space left on device\n"),
        ("PYTHONIOENCODING=ascii $M count lenet5-bn", 0, ""),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 $M train --help", 0, ""),
        ("COLUMNS=1 TERM= $M count --help", 0, ""),
        ("$M count resnet20 >&-", 0, ""),
    ],
)
def test_results_on_any_stream_end_quietly(line: str, code: int, errors: str) -> None:
    result = shell(line)
    assert (result.returncode, result.stderr) == (code, errors)


def test_figures_need_no_backend_and_leave_the_users_alone(tmp_path: Path) -> None:
    program = (
        "import os, sys; from minadder import plot; import numpy as np; "
        f"plot.save_figure(plot.filter_grid(np.ones((2, 1, 3, 3))), {str(tmp_path / 'a.png')!r}); "
        "print(os.environ['MPLBACKEND'], 'matplotlib.pyplot' in sys.modules)"
    )
    for backend in ("module://a_notebook_that_is_not_here", "no such backend", "svg"):
        kept = {**os.environ, "MPLBACKEND": backend}
        words = [sys.executable, "-W", "error", "-c", program]
        result = subprocess.run(words, env=kept, capture_output=True, text=True, timeout=300, check=False)
        assert (result.stdout, result.stderr) == (f"{backend} False\n", "")
        (tmp_path / "a.png").unlink()


# Names


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_is_drawn_as_it_is(tmp_path: Path, name: str) -> None:
    entry = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.8, "test_loss": None, "test_accuracy": None}
    figures = [
        plot.learning_curves([entry], name),
        plot.filter_grid(np.ones((2, 1, 3, 3)), name),
        plot.histograms({name: (np.arange(9.0), {name: np.zeros_like})}, name, name),
        plot.feature_scatter({name: (np.zeros((3, 2)), np.array([0, 1, 1]))}, name),
        plot.shares_by_epoch({name: [{name: 0.5}]}, name, name),
        plot.norm_dots([name], {name: np.ones((3, 1))}, {name: [0.5]}, name),
        plot.points_beside([name], [[90.0]], [None], name, (name, name)),
        plot.lines_beside([1.0], [[90.0]], [80.0], name, (name, name), name),
        plot.curves_beside([name], [[[50.0]]], [[60.0]], [97.0], name, (name, name)),
        plot.accuracy_strips([(name, [0.5, 1.0])], 0.99, name),
        plot.decision_figure([(name, [plot.Panel(name, np.eye(3) - 0.5, np.zeros((1, 2)), np.ones(1))])], 1.0, name),
        plot.variance_panels([1, 9], {name: ({name: (np.ones(2), np.ones(2))}, {name: np.ones(2)})}, name),
    ]
    for figure in figures:
        plot.save_figure(figure, tmp_path / "a.png")
    if name.isascii() and name.isprintable() and len(name) < 200:
        assert figures[0].get_suptitle().lstrip().replace(r"\$", "$") == name


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_is_told_and_kept(capsys: pytest.CaptureFixture[str], name: str) -> None:
    streams.tell(f"folder {name}")
    streams.say(f"folder {name}")
    told = capsys.readouterr()
    assert told.err == told.out
    assert "\x1b" not in told.err
    command = as_typed(["train", "mlp", "--data", "imagefolder", name])
    assert with_head(command, ["a line"]).decode().splitlines()[0] == f"command: {command}"


@pytest.mark.parametrize("name", [name.replace("\0", "") for name in NAMES], ids=ascii)
def test_a_command_in_a_file_can_be_typed_again(name: str) -> None:
    typed = as_typed(["count", name]).replace("minadder count", "printf %s", 1)
    result = subprocess.run(["bash", "-c", typed.encode()], capture_output=True, check=True)
    assert result.stdout == os.fsencode(name)


@pytest.mark.parametrize("name", ["$x %s{0} [x]", "a\nb\x1b[31m\udcff", "😀" * 50], ids=ascii)
def test_a_folder_of_images_of_any_name_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    from PIL import Image

    for part in ("train", "val"):
        for label in (name, "other"):
            folder = tmp_path / name / part / label
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (40, 40), (number, 0, 0)).save(folder / f"{number}.png")
    out = tmp_path / f"out {name}"[:200]
    words = ["train", "mlp", "--data", "imagefolder", str(tmp_path / name), "--epochs", "1", "--out", str(out)]
    assert cli.main(words) == 0
    told = capsys.readouterr()
    assert "warning" not in told.err
    assert "\x1b" not in told.out
    assert (out / "filters.png").exists()
    files = [out / "net.safetensors", out / "net.safetensors"]
    analysed = ["analyse", "filters", *map(str, files), "--weight", "fc1.weight", "--out", str(tmp_path / "analysed")]
    assert cli.main(analysed) == 0
    assert "warning" not in capsys.readouterr().err
    assert len(list((tmp_path / "analysed").glob("filters-*.png"))) == 2


def test_a_weight_of_any_name_is_analysed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import save_file

    weight = "w$\n" * 60
    save_file({weight: np.ones((2, 3), np.float32)}, tmp_path / "a.safetensors")
    out = tmp_path / "out"
    assert cli.main(["analyse", "filters", str(tmp_path / "a.safetensors"), "--weight", weight, "--out", str(out)]) == 0
    assert "warning" not in capsys.readouterr().err
    assert (out / "filters-a.png").exists()


def test_a_figure_that_fails_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not results.draw(lambda: 1 / 0, tmp_path / "a\nb.png")
    assert len(capsys.readouterr().err.splitlines()) == 1


NASTY = "a\nb\x1b[31m\udcff"


def told_by(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """Run a command in this process, and return its last line; it must not tell a folder's name as it is."""
    assert cli.main([*map(str, words)]) == code
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    return (captured.err if code else captured.out).splitlines()[-1]


def test_folders_are_shown_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / NASTY
    train = ["train", "mlp", "--quick", "--out"]
    assert told_by(capsys, 0, *train, out).endswith(f"results in {str(out)!r}")
    assert f"minadder: {str(out)!r} holds a training already" in told_by(capsys, 1, *train, out)
    (out / "checkpoint.safetensors").unlink()
    assert f"minadder: {str(out)!r} holds net.safetensors but no checkpoint" in told_by(capsys, 1, *train, out)
    with alone_in(out):
        assert f"is training in {str(out)!r}" in told_by(capsys, 1, "sweep", "eta", "--quick", "--out", out)
    assert told_by(capsys, 0, "theory", "lemma2", "--quick", "--out", out).endswith(f" in {str(out)!r}")


def test_a_checkpoint_of_another_training_is_shown_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / NASTY
    folder.mkdir()
    net = models.build("mlp", "adder")
    progress = {"settings": {"epochs": 3}, "history": []}
    checkpoint.save_training(
        folder / jobs.CHECKPOINT, net, optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.AdaptiveLR()), progress
    )
    with pytest.raises(ValueError, match="is of another training: its epochs is 3, now it is 2") as caught:
        jobs.check_checkpoint(folder, jobs.make({}, "digits", 2, 0))
    assert str(caught.value).isprintable()
