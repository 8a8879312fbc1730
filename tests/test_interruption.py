"""Ctrl-C and SIGTERM end a command with one line and an exit code, at any moment, and nothing of it is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minadder import cli, interruption

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def start(*words: str, program: tuple[str, ...] = ("-m", "minadder")) -> subprocess.Popen[str]:
    """Start a command in a group of processes of its own."""
    command = [sys.executable, *program, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_import(process: subprocess.Popen[str], what: str) -> None:
    """Wait until a process has mapped a library with a name, which tells how far it is."""
    end = time.monotonic() + 120
    while what not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)


def assert_ended(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Check how a process ended, and return its last line."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == CODES[number], errors
    assert out == ""
    assert not re.search("Traceback|KeyboardInterrupt|Exception|[Ww]arning", errors), errors
    return errors.splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("library", ["_multiarray_umath", "libllvmlite", "_imaging"])
def test_signals_while_importing_end_at_once(number: signal.Signals, library: str, tmp_path: Path) -> None:
    process = start("train", "mlp", "--epochs", "100000", "--out", str(tmp_path / "a"))
    wait_for_import(process, "_multiarray_umath" if library == "_imaging" else library)
    if library == "_imaging":  # nothing of it: some time later, wherever that is
        time.sleep(1.5)
    os.killpg(process.pid, number)
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert assert_ended(process, number).startswith(f"minadder: {word}")


@pytest.mark.parametrize("number", CODES)
def test_signals_while_training_say_how_to_go_on_and_others_that_follow_are_passed_over(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start("train", "mlp", "--epochs", "100000", "--out", str(tmp_path))
    kept = tmp_path / "checkpoint.safetensors"
    while not kept.exists():
        assert process.poll() is None
        time.sleep(0.005)
    for _ in range(3):
        os.killpg(process.pid, number)
        time.sleep(0.005)
    assert assert_ended(process, number).endswith(f"go on with --resume from {kept}")
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".png"] == []


LOST = """
import os, signal, sys
from minadder import cli, doctor

class Dies:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

def run(options):
    Dies()
    import time
    time.sleep(60)

doctor.run = run
sys.argv = ["minadder", "doctor"]
sys.exit(cli.main())
"""

THROUGH_EXEC = LOST.replace("    Dies()\n", '    exec("Dies.__del__(None)")\n')


@pytest.mark.parametrize("program", [LOST, THROUGH_EXEC], ids=["in a destructor", "through exec"])
def test_ctrl_c_is_not_lost_on_its_way(program: str) -> None:
    process = start(program=("-c", program))
    assert assert_ended(process, signal.SIGINT) == "minadder: interrupted"


@pytest.mark.parametrize(
    ("program", "words", "wanted"),
    [
        ("-m", ["python", "-m", "minadder", "doctor"], True),
        ("-m", ["python", "-X", "dev", "-mminadder"], True),
        ("-m", ["python", "-m", "minadder.bench.memory"], False),
        ("-m", ["python", "-m", "pytest", "-m", "minadder"], False),
        ("/usr/bin/minadder", ["python", "/usr/bin/minadder"], True),
        ("train.py", ["python", "train.py", "-m", "minadder"], False),
        ("", ["python"], False),
    ],
)
def test_only_the_command_takes_signals(
    monkeypatch: pytest.MonkeyPatch, program: str, words: list[str], wanted: bool
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setattr(sys, "orig_argv", words)
    assert interruption.is_command() == wanted


def test_what_is_ignored_stays_so_and_a_library_takes_nothing() -> None:
    program = "import signal, minadder; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "True\n"
    )
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    handlers = {number: signal.getsignal(number) for number in interruption.WORDS}
    hook = sys.unraisablehook
    try:
        interruption.handle_signals()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        sys.unraisablehook = hook
        for number, handler in {**handlers, signal.SIGTERM: before}.items():
            signal.signal(number, handler)


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    line = f"mkdir {gone}; cd {gone}; rmdir {gone}; {sys.executable} -m minadder count lenet5-bn"
    kept = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    result = subprocess.run(["bash", "-c", line], env=kept, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert (
        result.stderr == "minadder: the working folder cannot be used (No such file or directory): go to another one\n"
    )
