"""What Windows lacks is not asked for: trainings where it is hidden, and what is done there in another way."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import as_windows
import pytest

import minadder as ma
from minadder import checks, cli, files, interruption, models
from minadder.commands import train as train_command
from minadder.experiments import workers

TESTS, PACKAGE = Path(__file__).parent, Path(ma.__file__).parent
RESULTS = {"net.safetensors", "checkpoint.safetensors", "history.json", "curves.png", "filters.png"}

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="finds out in /proc which files are open")

STOPPED_AND_RESUMED = """
import sys
import as_windows

as_windows.pretend()

from minadder import callbacks, cli

keep = callbacks.Checkpoint.on_epoch_end

def keep_and_stop(checkpoint, run):
    keep(checkpoint, run)
    raise KeyboardInterrupt

callbacks.Checkpoint.on_epoch_end = keep_and_stop
assert cli.main(sys.argv[1:]) == 130
callbacks.Checkpoint.on_epoch_end = keep
sys.exit(cli.main([*sys.argv[1:], "--resume"]))
"""

SIGNAL_AGAIN = """
import os, time
from types import SimpleNamespace
from minadder import interruption

def end(process, number):
    os._exit(number)  # as on Windows

os.kill, os.name = end, "nt"
interruption.begin_work()
interruption.raise_again(SimpleNamespace(exc_value=KeyboardInterrupt()))
try:
    for _ in range(1000):
        time.sleep(0.01)
except KeyboardInterrupt:
    print("raised again")
"""

PARENT_ENDED = """
import os, sys, time
from types import SimpleNamespace
from minadder.experiments.workers import FIRST

def wait(handle, milliseconds):
    print("waited", milliseconds, "for", handle, flush=True)

def find(rights, inherited, number):
    if number == 0:
        raise OSError("no such process")
    return number

sys.modules["_winapi"] = SimpleNamespace(SYNCHRONIZE=1, INFINITE=-1, OpenProcess=find, WaitForSingleObject=wait)
os.name = "nt"
exec(FIRST.format(int(sys.argv[1])), {})
time.sleep(60)
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python on arguments, with this folder's modules, and text without an encoding told."""
    options = ("-X", "warn_default_encoding", "-W", "error", "-W", "ignore::EncodingWarning")
    command = [sys.executable, *options, *map(str, arguments)]
    places = os.pathsep.join([str(TESTS), str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": places, "PYTHONIOENCODING": "cp1252"}
    return subprocess.run(command, capture_output=True, encoding="cp1252", env=environment, timeout=300, check=False)


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def net_bytes(folder: Path) -> bytes:
    return (folder / "net.safetensors").read_bytes()


@only_linux
def test_the_command_trains_saves_and_goes_on_where_posix_is_hidden(tmp_path: Path) -> None:
    words = ("train", "lenet5-bn", "--data", "digits", "--quick", "--out")
    here = run("-m", "minadder", *words, tmp_path / "here")
    there = run(TESTS / "as_windows.py", *words, tmp_path / "there")
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    assert "Error" not in there.stderr
    assert names(tmp_path / "there") == RESULTS
    assert net_bytes(tmp_path / "there") == net_bytes(tmp_path / "here")
    net = models.lenet5_bn("adder")
    ma.load(net, tmp_path / "there" / "net.safetensors")

    again = run(TESTS / "as_windows.py", *words, tmp_path / "there")
    assert again.returncode == 1
    assert "go on with --resume" in again.stderr
    resumed = run(TESTS / "as_windows.py", *words, tmp_path / "there", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert names(tmp_path / "there") == RESULTS


@only_linux
def test_a_training_that_is_stopped_goes_on_to_the_same_bits_where_posix_is_hidden(tmp_path: Path) -> None:
    words = ("train", "mlp", "--data", "digits", "--quick", "--epochs", 2, "--out")
    whole = run("-m", "minadder", *words, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    parts = run("-c", STOPPED_AND_RESUMED, *words, tmp_path / "parts")
    assert parts.returncode == 0, parts.stderr
    assert "epoch 2/2" in parts.stderr
    assert names(tmp_path / "parts") == RESULTS
    assert net_bytes(tmp_path / "parts") == net_bytes(tmp_path / "whole")


@only_linux
@pytest.mark.parametrize("words", [("doctor",), ("count", "lenet5-bn"), ("theory", "propositions", "--quick")], ids=str)
def test_other_commands_run_where_posix_is_hidden(tmp_path: Path, words: tuple[str, ...]) -> None:
    out = ("--out", tmp_path / "out") if words[0] == "theory" else ()
    result = run(TESTS / "as_windows.py", *words, *out)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "cannot be examined" not in result.stdout


@only_linux
def test_what_is_pretended_is_refused_as_windows_does(tmp_path: Path) -> None:
    """A rule that does not hold in that process would let everything pass."""
    code = """
import os, pathlib, signal, sys
import as_windows

as_windows.pretend()
os.chdir(sys.argv[1])

def refused(error, function, *arguments):
    try:
        function(*arguments)
    except error:
        return
    raise SystemExit(f"{function} takes {arguments}")

refused(ImportError, __import__, "fcntl")
assert not any(hasattr(os, name) for name in ("fork", "O_CLOEXEC", "O_NONBLOCK", "fchmod", "getuid", "sysconf"))
assert not hasattr(signal, "SIGHUP") and not hasattr(signal, "pthread_sigmask")
refused(PermissionError, os.open, ".", os.O_RDONLY)
refused(OSError, os.open, "a:b", os.O_CREAT | os.O_WRONLY)
refused(OSError, os.mkdir, "a.")
pathlib.Path("one").write_bytes(b"1")
pathlib.Path("two").write_bytes(b"2")
with pathlib.Path("one").open("rb"):
    refused(PermissionError, pathlib.Path("one").unlink)
    refused(PermissionError, pathlib.Path("one").replace, "two")
    refused(PermissionError, pathlib.Path("two").replace, "one")
pathlib.Path("two").replace("one")
"""
    result = run("-c", code, tmp_path)
    assert result.returncode == 0, result.stderr


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of modules that importing a file imports for certain."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.lineno, node.module.partition(".")[0]
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If | ast.Try):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def test_imports_are_found_but_not_those_that_something_guards() -> None:
    code = """
import fcntl
with open("x"):
    from termios import error
class A:
    import pwd
if True:
    import grp
try:
    import tty
except ImportError:
    pass
def f():
    import resource
"""
    assert sorted(imports(ast.parse(code))) == [(2, "fcntl"), (4, "termios"), (6, "pwd")]


def test_no_module_imports_what_windows_lacks() -> None:
    hidden, found = set(as_windows.MODULES.split()), []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{path.name}:{line}: {name}" for line, name in imports(tree) if name in hidden]
    assert not found


def test_a_folder_is_locked_by_a_file_in_it_where_folders_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "WINDOWS", True)
    (tmp_path / train_command.LOCK).write_bytes(b"")  # as a process leaves it that was killed
    with train_command.alone_in(tmp_path):
        assert names(tmp_path) == {train_command.LOCK}
        assert cli.main(["train", "mlp", "--epochs", "1", "--out", str(tmp_path)]) == 1
    assert f"another process is training in {tmp_path}" in capsys.readouterr().err
    assert names(tmp_path) == set()
    with train_command.alone_in(tmp_path):
        pass


def test_memory_is_no_bound_where_the_system_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    checks.memory.cache_clear()
    try:
        assert checks.memory() == sys.maxsize
    finally:
        checks.memory.cache_clear()


@pytest.mark.parametrize("program", ["minadder", "minadder.exe"])
def test_the_command_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "argv", [str(Path("Scripts") / program), "doctor"])
    assert interruption.is_command()
    monkeypatch.setattr(sys, "argv", [str(Path("Scripts") / f"my-{program}")])
    assert not interruption.is_command()


def test_a_signal_that_was_lost_is_raised_again_where_sending_one_ends_the_process() -> None:
    result = run("-c", SIGNAL_AGAIN)
    assert (result.returncode, result.stdout) == (0, "raised again\n"), result.stderr


@pytest.mark.parametrize(("parent", "told"), [(4321, "waited -1 for 4321\n"), (0, "")], ids=["ends", "has ended"])
def test_a_worker_ends_with_its_parent_where_numbers_of_parents_stay(parent: int, told: str) -> None:
    result = run("-c", PARENT_ENDED, parent)
    assert (result.returncode, result.stdout) == (1, told), result.stderr


def test_ctrl_c_is_not_held_back_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(sys, "platform", "win32")
        changed.delattr(signal, "pthread_sigmask")
        with workers.ctrl_c_waits():
            entered = True
    assert entered
