"""Processes side by side: what they yield, and that nothing of them is left when they are stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from minadder.experiments import workers


def square(number: int) -> int:
    return number * number


def test_jobs_run_in_processes_or_in_this_one() -> None:
    assert sorted(workers.in_processes(square, [1, 2, 3], 2)) == [1, 4, 9]
    assert list(workers.in_processes(square, [1, 2, 3], 1)) == [1, 4, 9]
    assert list(workers.in_processes(square, [], 2)) == []


def deaf_to_ctrl_c(number: int) -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_processes_leave_ctrl_c_to_this_one() -> None:
    assert list(workers.in_processes(deaf_to_ctrl_c, [1, 2, 3], 2)) == [True] * 3
    assert list(workers.in_processes(deaf_to_ctrl_c, [1, 2, 3], 1)) == [False] * 3


def slow_after_the_first(job: tuple[int, Path]) -> int:
    number, file = job
    if number:
        file.write_text(str(os.getpid()))
        time.sleep(600)
    return os.getpid()


def gone(process: int, kill: Callable[[int, int], None] = os.kill) -> bool:
    """Return whether a process, or with `os.killpg` a group of them, has ended, or does so soon."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_closed_before_the_end_no_process_is_left(tmp_path: Path) -> None:
    jobs = [(number, tmp_path / str(number)) for number in range(3)]
    with closing(workers.in_processes(slow_after_the_first, jobs, 2)) as results:
        first = next(results)
        while not any(file.exists() and file.read_text() for _, file in jobs[1:]):
            time.sleep(0.01)
    begun = {int(text) for _, file in jobs[1:] if file.exists() and (text := file.read_text())}
    assert all(map(gone, {first, *begun}))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert sorted(workers.in_processes(square, [1, 2], 2)) == [1, 4], "new processes are started after that"


BEGINS_AND_WAITS = "import pathlib, time; pathlib.Path({!r}).touch(); time.sleep(600)"


@pytest.mark.parametrize("warnings", [None, "default"])
def test_killed_no_process_is_left_and_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: str | None
) -> None:
    if warnings is not None:
        monkeypatch.setenv("PYTHONWARNINGS", warnings)
    begun = [tmp_path / "first", tmp_path / "second"]
    jobs = [BEGINS_AND_WAITS.format(str(file)) for file in begun]
    program = f"from minadder.experiments import workers; list(workers.in_processes(exec, {jobs!r}, 2))"
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stderr=subprocess.PIPE)
    while not all(file.exists() for file in begun):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.communicate(timeout=60)[1] == b"", "the end of what all processes tell, the trackers among them"
    assert gone(process.pid, os.killpg)


WAITS = "import pathlib, time; pathlib.Path({!r}).touch(); time.sleep({})"


def test_killed_no_idle_process_is_left(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    jobs = [WAITS.format(str(first), 0), WAITS.format(str(second), 0), WAITS.format(str(third), 600)]
    program = f"from minadder.experiments import workers; list(workers.in_processes(exec, {jobs!r}, 3))"
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stderr=subprocess.DEVNULL)
    while not all(file.exists() for file in (first, second, third)):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()  # two of its processes wait for more to do
    process.wait()
    assert gone(process.pid, os.killpg)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_killed_no_process_that_is_just_starting_is_left() -> None:
    program = "from minadder.experiments import workers; list(workers.in_processes(abs, [1] * 9, 2))"
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) < 3:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert gone(process.pid, os.killpg)


def test_lines_of_processes_do_not_run_together(tmp_path: Path) -> None:
    line = "x" * 1000
    jobs = [f"from minadder.streams import tell\nfor _ in range(300): tell({line!r})"] * 4
    program = f"from minadder.experiments import workers; list(workers.in_processes(exec, {jobs!r}, 4))"
    words = [sys.executable, "-u", "-c", program]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    result = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert result.stderr.splitlines() == [line] * 1200


def test_processes_start_without_standard_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert sorted(workers.in_processes(square, [1, 2], 2)) == [1, 4]


COMMANDS = {"toy": ("toy", "ball", "--seeds", "2"), "sweep": ("sweep", "eta", "--quick", "--epochs", "200")}


@pytest.mark.parametrize(
    ("name", "begun"), [("toy", "nets"), ("toy", "nets/*.json"), ("sweep", "*/checkpoint.safetensors")]
)
def test_ctrl_c_ends_all_processes_with_one_line(tmp_path: Path, name: str, begun: str) -> None:
    words = [sys.executable, "-m", "minadder", *COMMANDS[name], "--out", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 300
    while not list(tmp_path.glob(begun)):
        assert process.poll() is None, "the process ended before it could be stopped"
        assert time.monotonic() < end
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # to every process, as a terminal does
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert errors.splitlines()[-1].startswith("minadder: interrupted")
    assert not re.search("Traceback|KeyboardInterrupt|[Ww]arning", errors), errors
    assert gone(process.pid, os.killpg)


def test_processes_that_end_while_jobs_wait_for_them_do_so_without_an_error() -> None:
    """An error of a thread is a warning of pytest's, which fails the test."""
    with closing(workers.in_processes(time.sleep, [0.0, *[60.0] * 20], 2)) as results:
        next(results)
        time.sleep(0.5)  # both have taken a job, so that there is room for others in their queue
