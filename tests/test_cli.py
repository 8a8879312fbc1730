"""The command line, run as a user runs it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import minadder as ma
from minadder import checkpoint, cli, data, models
from minadder.commands import train as train_command

FILES = {"net.safetensors", "checkpoint.safetensors", "history.json", "curves.png", "filters.png"}


def command(*arguments):
    return [sys.executable, "-m", "minadder", *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300, check=False)


def train(out, *arguments, network="mlp", epochs=2):
    return ("train", network, "--data", "digits", "--epochs", epochs, "--out", out, *arguments)


def net_bytes(folder):
    return (folder / "net.safetensors").read_bytes()


def assert_one_paragraph(result, code):
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert result.stderr.strip()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a training of three epochs, and its output."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    result = run(*train(out, epochs=3))
    assert result.returncode == 0, result.stderr
    return out, result


def test_training_leaves_five_files_that_fit_together(finished):
    out, result = finished
    assert {file.name for file in out.iterdir()} == FILES
    history = json.loads((out / "history.json").read_text())
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert f"{100 * history[-1]['test_accuracy']:.2f} %" in result.stdout
    assert result.stderr.count("epoch ") == 3
    net = models.mlp((1024, 100, 10), "adder")
    ma.load(net, out / "net.safetensors")
    net.eval()
    assert ma.evaluate(net, data.load("digits")[1])[1] == pytest.approx(history[-1]["test_accuracy"])
    for name in ("curves.png", "filters.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_lenet_learns_the_digits(tmp_path):
    result = run(*train(tmp_path / "a", network="lenet5-bn", epochs=12))
    assert result.returncode == 0, result.stderr
    history = json.loads((tmp_path / "a" / "history.json").read_text())
    assert history[-1]["test_accuracy"] > 0.95


def test_the_same_seed_gives_the_same_file_and_another_does_not(finished, tmp_path):
    out, _ = finished
    assert run(*train(tmp_path / "same", epochs=3)).returncode == 0
    assert run(*train(tmp_path / "other", "--seed", 1, epochs=3)).returncode == 0
    assert net_bytes(tmp_path / "same") == net_bytes(out)
    assert net_bytes(tmp_path / "other") != net_bytes(out)


def test_a_folder_that_holds_a_training_is_not_overwritten(finished):
    out, _ = finished
    before = net_bytes(out)
    result = run(*train(out, epochs=3))
    assert_one_paragraph(result, 1)
    assert "--resume" in result.stderr
    assert str(out) in result.stderr
    assert net_bytes(out) == before


def test_resuming_a_finished_training_changes_nothing(finished):
    out, _ = finished
    before = net_bytes(out)
    assert run(*train(out, "--resume", epochs=3)).returncode == 0
    assert net_bytes(out) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--seed", 5), "data seed is 0, now it is 5"),
        (("--lr", 0.5), "lr is 0.1, now it is 0.5"),
        (("--eta", 0.5), "'eta': 0.2}, now it is {'name': 'AdaptiveLR', 'eta': 0.5}"),
        (("--batch-size", 32), "batch_size is 64, now it is 32"),
        (("--layer", "conv"), "now it is '(fc1): Linear(1024, 100, bias=True)'"),
    ],
)
def test_resuming_with_other_settings_is_refused(finished, capsys, change, message):
    out, _ = finished
    before = net_bytes(out)
    assert cli.main([*map(str, train(out, "--resume", epochs=3)), *map(str, change)]) == 1
    assert message in capsys.readouterr().err
    assert net_bytes(out) == before


def test_more_epochs_than_first_said_go_on_with_a_stretched_schedule(finished, tmp_path, capsys):
    out = tmp_path / "longer"
    shutil.copytree(finished[0], out)
    with pytest.warns(UserWarning, match="to have 3 epochs and now has 4: its schedule Cosine"):
        assert cli.main([*map(str, train(out, "--resume", epochs=3)), "--epochs", "4"]) == 0
    assert "after epoch 4" in capsys.readouterr().out
    assert [entry["epoch"] for entry in json.loads((out / "history.json").read_text())] == [1, 2, 3, 4]


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process ended before it could be stopped"
        assert time.monotonic() < end
        time.sleep(0.001)


LONG = 12


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the folder of a training long enough to be killed."""
    out = tmp_path_factory.mktemp("runs") / "uninterrupted"
    assert run(*train(out, epochs=LONG)).returncode == 0
    return out


@pytest.mark.parametrize("delay", [0.003, *(pytest.param(delay, marks=pytest.mark.slow) for delay in (0.0, 0.02))])
@pytest.mark.parametrize("event", ["first checkpoint", "while writing"])
def test_a_killed_training_resumes_to_the_same_bits(uninterrupted, tmp_path, delay, event):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(*train(out, epochs=LONG)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    watched = "checkpoint.safetensors" if event == "first checkpoint" else ".checkpoint.safetensors.*part"
    wait_for(lambda: any(out.glob(watched)), process)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for file in out.glob("*.safetensors"):
        checkpoint.read_arrays(file)
    result = run(*train(out, "--resume", epochs=LONG))
    assert result.returncode == 0, result.stderr
    assert net_bytes(out) == net_bytes(uninterrupted)
    assert {file.name for file in out.iterdir()} == FILES


@pytest.mark.parametrize("resume", [(), ("--resume",)], ids=["anew", "resume"])
def test_results_of_another_origin_are_not_overwritten(tmp_path, capsys, resume):
    (tmp_path / "net.safetensors").write_text("precious")
    assert cli.main([*map(str, train(tmp_path)), *resume]) == 1
    assert f"{tmp_path} holds net.safetensors but no checkpoint" in capsys.readouterr().err
    assert (tmp_path / "net.safetensors").read_text() == "precious"
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_two_processes_do_not_train_in_one_folder(tmp_path, capsys):
    with train_command.alone_in(tmp_path):
        assert cli.main([*map(str, train(tmp_path))]) == 1
    assert f"another process is training in {tmp_path}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_locked_is_told_and_used(tmp_path, monkeypatch, capsys):
    def no_locks(descriptor, blocking):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(train_command, "lock_descriptor", no_locks)
    with train_command.alone_in(tmp_path):
        assert f"{tmp_path} cannot be locked (Bad file descriptor)" in capsys.readouterr().err


def test_a_learning_rate_far_too_high_is_one_paragraph(tmp_path):
    result = run(*train(tmp_path / "a", "--lr", 1e30))
    assert_one_paragraph(result, 1)
    assert "the loss is nan in epoch 1, step " in result.stderr
    assert "RuntimeWarning" not in result.stderr


def test_resuming_before_the_first_checkpoint_starts_anew(finished, tmp_path):
    out, _ = finished
    result = run(*train(tmp_path / "new", "--resume", epochs=3))
    assert result.returncode == 0
    assert "starting anew" in result.stderr
    assert net_bytes(tmp_path / "new") == net_bytes(out)


def test_ctrl_c_keeps_the_work(tmp_path):
    out = tmp_path / "a"
    process = subprocess.Popen(command(*train(out, epochs=5000)), stderr=subprocess.PIPE, text=True)
    wait_for((out / "checkpoint.safetensors").exists, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "--resume" in errors
    checkpoint.read_training(out / "checkpoint.safetensors")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--lr", "0"), "0"),
        (("--lr", "nan"), "nan"),
        (("--epochs", "0"), "0"),
        (("--batch-size", "-3"), "-3"),
        (("--layer", "cube"), "cube"),
        (("--data", "imagenet"), "imagenet"),
        (("--seed", "x"), "x"),
        (("--eta", "inf"), "inf"),
    ],
)
def test_wrong_usage_names_the_value(tmp_path, capsys, arguments, named):
    with pytest.raises(SystemExit) as caught:
        cli.main([*map(str, train(tmp_path / "a")), *arguments])
    assert caught.value.code == 2
    assert f"'{named}'" in capsys.readouterr().err.replace(f"not {named}\n", f"'{named}'")
    assert not (tmp_path / "a").exists()


def test_no_command_and_unknown_network_are_usage_errors(tmp_path):
    for arguments in ((), ("train", "alexnet", "--out", tmp_path / "a")):
        result = run(*arguments)
        assert_one_paragraph(result, 2)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    result = run(*train(tmp_path / "file" / "a"))
    assert_one_paragraph(result, 1)
    assert str(tmp_path / "file") in result.stderr


def test_a_damaged_checkpoint_is_named(finished, tmp_path):
    out, _ = finished
    content = (out / "checkpoint.safetensors").read_bytes()
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "checkpoint.safetensors").write_bytes(content[: len(content) // 2])
    result = run(*train(folder, "--resume", epochs=3))
    assert_one_paragraph(result, 1)
    assert str(folder / "checkpoint.safetensors") in result.stderr


def test_a_damaged_data_file_is_named(tmp_path):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte").write_bytes(b"\0\0\x08\x03 nonsense")
    result = subprocess.run(
        command("train", "mlp", "--data", "mnist", "--out", tmp_path / "a"),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MINADDER_DATA": str(tmp_path)},
    )
    assert_one_paragraph(result, 1)
    assert str(tmp_path) in result.stderr


def test_a_full_disk_is_told_in_one_paragraph_and_keeps_the_last_checkpoint(tmp_path, monkeypatch, capsys):
    written = []
    real = checkpoint.write_file

    def write(path, content):
        if len(written) == 2:
            raise OSError(28, "cannot write (No space left on device)", str(path))
        written.append(path)
        real(path, content)

    monkeypatch.setattr(checkpoint, "write_file", write)
    assert cli.main([*map(str, train(tmp_path / "a", epochs=5))]) == 1
    errors = capsys.readouterr().err
    assert "No space left on device" in errors
    assert "checkpoint.safetensors" in errors
    _, state = checkpoint.read_training(tmp_path / "a" / "checkpoint.safetensors")
    assert len(state["progress"]["history"]) == 2


def test_errors_of_the_training_are_one_paragraph(tmp_path, monkeypatch, capsys):
    def broken(name):
        inputs = np.full((100, 4), np.nan, np.float32)
        dataset = data.Dataset(inputs, np.zeros(100, np.int64), 2, name)
        return dataset, dataset

    monkeypatch.setattr(data, "load", broken)
    assert cli.main([*map(str, train(tmp_path / "a"))]) == 1
    errors = capsys.readouterr().err
    assert "input data hold NaN" in errors
    assert "Traceback" not in errors


def test_the_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"minadder {ma.__version__}\n"


def test_help_lists_each_command_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert lines == [[name, text] for name, (_, text) in cli.COMMANDS.items()]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(capsys, name):
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: minadder {name}" in capsys.readouterr().out


def test_the_help_of_train_says_whose_recipe_is_whose(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "the papers' recipe" not in told
    for part in (
        "what the papers do on MNIST: 50 epochs, batches of 256, cosine from 0.1 to 0, η = 0.2",
        "CIFAR, --schedule polynomial --epochs 400 (Chen et al. 2020) or 800 (Universal AdderNets), with η = 0.1",
        "ImageNet, 150 or 300 epochs with the cosine and weight decay 1e-4",
    ):
        assert part in told


def test_the_exit_code_is_the_commands(monkeypatch):
    for code in (0, 1):
        monkeypatch.setattr("minadder.doctor.run", lambda options, code=code: code)
        assert cli.main(["doctor"]) == code


def test_ctrl_c_in_a_command_without_results_is_told_in_one_line(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("minadder.warmup.run", interrupted)
    assert cli.main(["warmup"]) == 130
    assert capsys.readouterr().err == "\nminadder: interrupted\n"


def test_errors_of_any_command_are_one_paragraph(capsys):
    assert cli.main(["bench", "layers", "--layers", "no such layer"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("minadder: ")
    assert "no such layer" in errors
