"""Environment variables with which nothing works: a line from a command, an error that names it from the library."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minadder import environment

THREADS = "NUMBA_NUM_THREADS must be a whole number from 1 to 4096, not"
WRONG = [
    ("MINADDER_VECTOR_BITS", "abc", "MINADDER_VECTOR_BITS must be 0, 128, 256 or 512, not 'abc'"),
    ("MINADDER_VECTOR_BITS", "", "MINADDER_VECTOR_BITS must be 0, 128, 256 or 512, not ''"),
    *[("NUMBA_NUM_THREADS", threads, f"{THREADS} '{threads}'") for threads in ("0", "-3", "abc", "", "1e3", "100000")],
    ("NUMBA_NUM_THREADS", "\x1b[31m", f"{THREADS} '\\x1b[31m'"),
    ("XDG_CACHE_HOME", "~nobody-of-this-name/cache", "XDG_CACHE_HOME is ~nobody-of-this-name/cache, but nobody knows"),
    ("NUMBA_CACHE_DIR", "~nobody-of-this-name", "NUMBA_CACHE_DIR is ~nobody-of-this-name, but nobody knows"),
]


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in an environment."""
    return subprocess.run([sys.executable, *words], env={**os.environ, **variables}, capture_output=True, text=True)


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_the_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError) as caught:
        environment.check()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MINADDER_VECTOR_BITS", "0"), ("NUMBA_NUM_THREADS", "4096"), ("NUMBA_CACHE_DIR", ""), ("XDG_CACHE_HOME", "~/c")],
)
def test_what_is_right_passes(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    environment.check()


@pytest.mark.parametrize(("name", "value"), [("MINADDER_VECTOR_BITS", "abc"), ("NUMBA_NUM_THREADS", "0")])
def test_a_command_ends_with_one_line_and_an_import_with_an_error(name: str, value: str) -> None:
    command = run("-m", "minadder", "count", "mlp", **{name: value})
    assert (command.returncode, command.stdout) == (1, "")
    assert command.stderr.startswith(f"minadder: {name} must be ")
    assert command.stderr.count("\n") == 1
    library = run("-c", "import minadder", **{name: value})
    assert library.returncode == 1
    assert library.stderr.splitlines()[-1].startswith(f"ValueError: {name} must be ")
