"""A training killed at chosen moments, again and again, ends with the same bits, and never leaves a broken file."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time

import pytest

from minadder import checkpoint

FILES = {"net.safetensors", "checkpoint.safetensors", "history.json", "curves.png", "filters.png"}

KILLED_ITSELF = """
import os, pathlib, signal, sys

name, moment = sys.argv[1:3]
seen = 0
replace, fsync = pathlib.Path.replace, os.fsync


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def killed_while_writing(descriptor):
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if moment == "half-written" and f"/.{name}." in path:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        die()
    fsync(descriptor)


def killed_while_renaming(path, target):
    if target.name == name and moment == "before the rename":
        die()
    result = replace(path, target)
    if target.name == name and moment == "after the rename":
        die()
    return result


os.fsync, pathlib.Path.replace = killed_while_writing, killed_while_renaming
from minadder.cli import main

sys.exit(main(sys.argv[3:]))
"""

MOMENTS = [
    ("checkpoint.safetensors", "half-written"),
    ("checkpoint.safetensors", "after the rename"),
    ("checkpoint.safetensors", "before the rename"),
    ("checkpoint.safetensors", "after the rename"),
    ("net.safetensors", "half-written"),
    ("history.json", "before the rename"),
    ("curves.png", "half-written"),
    ("filters.png", "before the rename"),
]
"""Each in a process of its own that goes on from where the one before was killed."""


def arguments(out, epochs=3):
    return ["train", "mlp", "--epochs", str(epochs), "--out", str(out), "--resume"]


def train(out, **options):
    command = [sys.executable, "-m", "minadder", *arguments(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return what the files of a training that nobody stops hold."""
    out = tmp_path_factory.mktemp("runs") / "uninterrupted"
    result = train(out)
    assert result.returncode == 0, result.stderr
    return {name: (out / name).read_bytes() for name in FILES}


def assert_sound(out):
    """Check that each file under its own name is whole."""
    for file in out.glob("*.safetensors"):
        checkpoint.read_arrays(file)
    for file in out.glob("*.png"):
        assert file.read_bytes().endswith(b"IEND\xaeB`\x82")


@pytest.mark.skipif(sys.platform != "linux", reason="finds a descriptor's file in /proc")
def test_killed_at_every_moment_in_turn(uninterrupted, tmp_path):
    out = tmp_path / "run"
    epochs = []
    for name, moment in MOMENTS:
        command = [sys.executable, "-c", KILLED_ITSELF, name, moment, *arguments(out)]
        process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert process.returncode == -signal.SIGKILL, (name, moment, process.stderr)
        assert any(out.glob(f".{name}.*part")) == (moment != "after the rename")
        assert_sound(out)
        last = out / "checkpoint.safetensors"
        epochs.append(len(checkpoint.read_training(last)[1]["progress"]["history"]) if last.exists() else 0)
    assert epochs == [0, 1, 1, 2, 3, 3, 3, 3]
    result = train(out)
    assert result.returncode == 0, result.stderr
    assert (out / "net.safetensors").read_bytes() == uninterrupted["net.safetensors"]
    assert (out / "filters.png").read_bytes() == uninterrupted["filters.png"]
    assert {file.name for file in out.iterdir()} == FILES


@pytest.mark.parametrize(
    "seconds", [0.9, *(pytest.param(at, marks=pytest.mark.slow) for at in (0.3, 1.2, 1.5, 1.8, 2.1))]
)
def test_killed_at_any_time(uninterrupted, tmp_path, seconds):
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "minadder", *arguments(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(seconds)
    process.kill()
    process.wait()
    assert_sound(out)
    result = train(out)
    assert result.returncode == 0, result.stderr
    assert (out / "net.safetensors").read_bytes() == uninterrupted["net.safetensors"]
    assert {file.name for file in out.iterdir()} == FILES


def test_a_disk_that_takes_no_more_keeps_the_last_checkpoint(uninterrupted, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    command = [sys.executable, "-c", KILLED_ITSELF, "checkpoint.safetensors", "after the rename", *arguments(out)]
    assert subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == -signal.SIGKILL
    kept = (out / "checkpoint.safetensors").read_bytes()

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) // 2, len(kept) // 2))

    result = train(out, preexec_fn=small_files)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert f"{out / 'checkpoint.safetensors'}: cannot write (File too large)" in result.stderr
    assert (out / "checkpoint.safetensors").read_bytes() == kept
    assert [file.name for file in out.iterdir()] == ["checkpoint.safetensors"]
    assert train(out).returncode == 0
    assert (out / "net.safetensors").read_bytes() == uninterrupted["net.safetensors"]
