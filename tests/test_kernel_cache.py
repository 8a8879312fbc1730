"""Compiled kernels on disk: loaded by every process, compiled anew when something changed or broke, never a crash.

Each check runs in a process of its own, on the smallest kernel there is.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_process import CALL, NOTICE, PACKAGE, finish, folders, run, start
from numba.core import config

from minadder import jit, kernel_cache

compiled_kernels = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled under NUMBA_DISABLE_JIT=1")

FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
"""Lets folders be made but nothing be written to a file, as on a full disk."""

WITHOUT_RIGHTS = (
    "import ctypes; assert not ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)())\n"
)
"""Lays down what root may do beyond others, such as to write into any folder: capabilities(7), version 3, none left."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the package's sources, free to be changed."""
    target = tmp_path / "copy" / "minadder"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def only_file(cache: Path) -> Path:
    """Return the one compiled kernel under a cache folder of the user."""
    (folder,) = folders(cache)
    (file,) = folder.iterdir()
    return file


@compiled_kernels
def test_the_second_process_compiles_nothing_and_says_nothing(tmp_path: Path) -> None:
    first = run(CALL, tmp_path)
    assert first.stdout == "1.0\n"
    assert first.stderr.count(f"{NOTICE} (once for this machine) …") == 1
    assert only_file(tmp_path).name.startswith("plain_tiles.hardtanh-")
    second = run(CALL, tmp_path)
    assert second.stdout == "1.0\n"
    assert second.stderr == ""


@compiled_kernels
def test_a_process_that_finds_a_damaged_file_compiles_and_replaces_it(tmp_path: Path) -> None:
    run(CALL, tmp_path)
    file = only_file(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    after = run(CALL, tmp_path)
    assert after.stdout == "1.0\n"
    assert NOTICE in after.stderr
    assert only_file(tmp_path) == file
    assert run(CALL, tmp_path).stderr == ""


def double(x: float) -> float:
    """Return 2x; a kernel for the tests in this process."""
    return 2 * x


def called_with(folder: Path) -> tuple[int, int]:
    """Call a kernel whose code is kept in a folder; return how often it was loaded and how often compiled."""
    dispatcher = jit.kernel(double)
    dispatcher._cache = kernel_cache.KernelCache(double, folder)  # type: ignore[attr-defined]
    assert dispatcher(1.5) == 3.0
    stats = dispatcher.stats  # type: ignore[attr-defined]
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


def times(factor: int) -> Callable[[float], float]:
    """Return a function that multiplies by a factor."""

    def multiply(x: float) -> float:
        return factor * x

    return multiply


@compiled_kernels
def test_kernels_of_one_name_that_are_made_with_other_numbers_have_files_of_their_own(tmp_path: Path) -> None:
    for _ in range(2):
        for factor in (2, 3):
            function = times(factor)
            dispatcher = jit.kernel(function)
            dispatcher._cache = kernel_cache.KernelCache(function, tmp_path)  # type: ignore[attr-defined]
            assert dispatcher(1.5) == 1.5 * factor
    assert len(list(tmp_path.iterdir())) == 2


def flip_a_bit(content: bytes) -> bytes:
    """Return the content with one bit of the machine code changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@compiled_kernels
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:20],
        lambda content: b"",
        lambda content: b"garbage" * 1000,
        lambda content: content + b"more",
        flip_a_bit,
    ],
    ids=["half", "without its last byte", "within the checksum", "empty", "garbage", "too long", "a bit flipped"],
)
def test_damaged_files_are_never_loaded(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    assert called_with(tmp_path) == (0, 1)
    assert called_with(tmp_path) == (1, 0)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert file.read_bytes() != whole
    assert called_with(tmp_path) == (0, 1)
    assert called_with(tmp_path) == (1, 0)
    assert list(tmp_path.iterdir()) == [file]


@compiled_kernels
def test_a_file_that_cannot_be_read_or_replaced_does_no_harm(tmp_path: Path) -> None:
    """Here a folder has the file's name."""
    called_with(tmp_path)
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    assert called_with(tmp_path) == (0, 1)
    assert list(tmp_path.iterdir()) == [file], "no temporary file is left"


@compiled_kernels
def test_processes_that_compile_at_once_share_a_folder(tmp_path: Path) -> None:
    results = [finish(process) for process in [start(CALL, tmp_path) for _ in range(3)]]
    assert [result.stdout for result in results] == ["1.0\n"] * 3
    assert only_file(tmp_path).suffix == ".kernel"
    assert run(CALL, tmp_path).stderr == ""


@compiled_kernels
def test_processes_that_compile_different_kernels_lose_none(tmp_path: Path) -> None:
    other = "import numpy as np; from minadder.kernels.plain_tiles import hardtanh; print(hardtanh(np.float32(3), 1.0))"
    for process in [start(CALL, tmp_path), start(other, tmp_path)]:
        finish(process)
    assert run(f"{CALL}\n{other}", tmp_path).stderr == ""
    assert len(list(folders(tmp_path)[0].iterdir())) == 2


@compiled_kernels
def test_without_a_folder_to_write_to_everything_works_and_the_notice_says_so(tmp_path: Path) -> None:
    """As where the home folder and the installation are read-only: here the cache's place is taken by a file."""
    taken = tmp_path / "file"
    taken.write_text("")
    for _ in range(2):
        result = run(f"from minadder import kernel_cache; print(kernel_cache.cache_folder()); {CALL}", taken)
        assert result.stdout == "None\n1.0\n"
        assert f"{NOTICE} (no cache folder can be written, so in each process)" in result.stderr


@compiled_kernels
def test_on_a_full_disk_nothing_is_kept_and_nothing_fails(tmp_path: Path) -> None:
    result = run(FULL_DISK + CALL, tmp_path)
    assert result.stdout == "1.0\n"
    assert f"{NOTICE} (no cache folder can be written, so in each process)" in result.stderr
    assert list(folders(tmp_path)[0].iterdir()) == []


@compiled_kernels
def test_a_filled_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    run(CALL, tmp_path)
    result = run(FULL_DISK + CALL, tmp_path)
    assert result.stdout == "1.0\n"
    assert result.stderr == ""


@compiled_kernels
@pytest.mark.skipif(
    sys.platform != "linux" and (not hasattr(os, "geteuid") or os.geteuid() == 0),
    reason="root may write everywhere, and only Linux has a call to lay that down",
)
def test_a_read_only_folder_of_another_user_is_read_and_left_alone(tmp_path: Path) -> None:
    prefix = WITHOUT_RIGHTS if sys.platform == "linux" else ""
    run(CALL, tmp_path)
    (folder,) = folders(tmp_path)
    before = sorted(folder.iterdir())
    folder.chmod(0o555)
    try:
        assert run(prefix + CALL, tmp_path).stderr == ""
        other = "import numpy as np; from minadder.kernels.optim.cpu import square_sum; print(square_sum(np.ones(3)))"
        result = run(prefix + other, tmp_path)
        assert result.stdout == "3.0\n"
        assert "no cache folder can be written" in result.stderr
        assert sorted(folder.iterdir()) == before
    finally:
        folder.chmod(0o755)


@compiled_kernels
def test_a_folder_deleted_under_a_running_process_is_made_again(tmp_path: Path) -> None:
    delete = "import shutil; from minadder import kernel_cache; shutil.rmtree(kernel_cache.cache_folder())"
    assert run(f"{delete}\n{CALL}", tmp_path).stdout == "1.0\n"
    assert run(CALL, tmp_path).stderr == ""


@compiled_kernels
def test_nothing_is_written_beside_the_sources(tmp_path: Path, copy: Path) -> None:
    before = sorted(copy.rglob("*"))
    run(CALL, tmp_path, copy, PYTHONDONTWRITEBYTECODE="1")
    assert sorted(copy.rglob("*")) == before


@compiled_kernels
def test_another_installation_of_the_same_sources_compiles_nothing(tmp_path: Path, copy: Path) -> None:
    run(CALL, tmp_path)
    assert run(CALL, tmp_path, copy).stderr == ""


@compiled_kernels
def test_a_change_in_a_helper_reaches_its_callers_in_other_files(tmp_path: Path, copy: Path) -> None:
    """Numba alone would load the caller's old machine code, which holds the old helper."""
    (copy / "kernels" / "caller.py").write_text(
        "from minadder.jit import kernel\nfrom minadder.kernels.plain_tiles import hardtanh\n\n\n"
        "@kernel\ndef twice(d):\n    return 2 * hardtanh(d, 1.0)\n"
    )
    code = "from minadder.kernels.caller import twice; print(twice(3.0))"
    assert run(code, tmp_path, copy).stdout == "2.0\n"
    helper = copy / "kernels" / "plain_tiles.py"
    source = helper.read_text(encoding="utf-8")
    assert source.count("upper = one if d > one else d") == 1
    helper.write_text(source.replace("upper = one if d > one else d", "upper = d"), encoding="utf-8")
    after = run(code, tmp_path, copy)
    assert after.stdout == "6.0\n"
    assert "compiling caller.twice" in after.stderr
    assert len(folders(tmp_path)) == 2


@compiled_kernels
def test_a_change_in_a_kernel_that_lies_elsewhere_in_the_package_compiles_it_alone(tmp_path: Path, copy: Path) -> None:
    outside = copy / "elsewhere.py"
    source = "from minadder.jit import kernel\n\n\n@kernel\ndef times(x):\n    return 2 * x\n"
    code = f"from minadder.elsewhere import times; print(times(3.0)); {CALL}"
    outside.write_text(source)
    assert run(code, tmp_path, copy).stdout == "6.0\n1.0\n"
    outside.write_text(source.replace("2 *", "5 *"))
    after = run(code, tmp_path, copy)
    assert after.stdout == "15.0\n1.0\n"
    assert NOTICE not in after.stderr
    assert len(folders(tmp_path)) == 1


@compiled_kernels
@pytest.mark.parametrize("name", ["NUMBA_BOUNDSCHECK", "MINADDER_VECTOR_BITS"])
def test_settings_that_change_the_code_have_folders_of_their_own(tmp_path: Path, name: str) -> None:
    for environment in ({}, {name: "0" if name == "MINADDER_VECTOR_BITS" else "1"}):
        assert NOTICE in run(CALL, tmp_path, **environment).stderr
    assert len(folders(tmp_path)) == 2


@compiled_kernels
def test_numba_cache_dir_is_respected(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    code = f"import numba; {CALL}; print(numba.config.CACHE_DIR)"
    assert run(code, tmp_path / "other", NUMBA_CACHE_DIR=str(chosen)).stdout == f"1.0\n{chosen}\n"
    (folder,) = chosen.iterdir()
    assert kernel_cache.FOLDER_NAME.fullmatch(folder.name)
    assert list(folder.glob("*.kernel"))
    assert not (tmp_path / "other").exists()


def test_cache_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernel_cache.cache_root() == tmp_path / "minadder"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kernel_cache.cache_root() == tmp_path / ".cache" / "minadder"


def test_the_home_folder_may_be_written_by_its_sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "~/mine")
    monkeypatch.setattr(config, "CACHE_DIR", "")
    assert kernel_cache.cache_parent() == tmp_path / "mine" / "minadder" / "kernels"
    monkeypatch.setattr(config, "CACHE_DIR", "~/numba")
    assert kernel_cache.cache_parent() == tmp_path / "numba"


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kernel_cache.cache_root() == tmp_path / ".cache" / "minadder"


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert kernel_cache.cache_folder.__wrapped__() is None


def test_the_folder_in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    folder = kernel_cache.cache_folder.__wrapped__()
    assert folder == tmp_path / f"minadder-{kernel_cache.source_digest()}"
    assert kernel_cache.is_writable(folder)
    assert not kernel_cache.is_writable(folder / "missing")
    age(folder, 2)
    assert kernel_cache.cache_folder.__wrapped__() == folder
    assert kernel_cache.days_since_use(folder) < 0.1


def test_the_digest_depends_on_every_kernel_file_and_on_no_other(monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    monkeypatch.setattr(kernel_cache, "PACKAGE", copy)
    digests = {kernel_cache.source_digest()}
    paths = sorted((copy / "kernels").rglob("*.py"))
    for path in paths:
        path.write_text(path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
        digests.add(kernel_cache.source_digest())
    assert len(digests) == len(paths) + 1 > 10
    (copy / "nn" / "module.py").write_text("")
    assert kernel_cache.source_digest() in digests


@pytest.mark.parametrize("package", ["numpy", "numba", "llvmlite"])
def test_the_digest_depends_on_the_versions(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    before = kernel_cache.source_digest()
    monkeypatch.setattr(f"{package}.__version__", "0.0.0")
    assert kernel_cache.source_digest() != before


def age(folder: Path, days: float) -> None:
    """Make a folder look as if it had not been used for so long."""
    then = time.time() - days * 86_400
    os.utime(folder, (then, then))


def test_kernels_of_other_versions_go_when_they_were_not_used_for_a_month(tmp_path: Path) -> None:
    parent = tmp_path / "minadder" / "kernels"
    ages = {"minadder-0123456789abcdef": 31, "minadder-1123456789abcdef": 29, "minadder-mine": 31, "other": 400}
    for name, days in ages.items():
        (parent / name).mkdir(parents=True)
        (parent / name / "a.kernel").write_bytes(b"")
        age(parent / name, days)
    run("import minadder", tmp_path)
    left = {folder.name for folder in parent.iterdir()}
    assert left.issuperset({"minadder-1123456789abcdef", "minadder-mine", "other"})
    assert "minadder-0123456789abcdef" not in left
    assert len(left) == 4  # with the new one
    age(parent / "minadder-1123456789abcdef", 31)
    run("import minadder", tmp_path)
    assert {folder.name for folder in parent.iterdir()} == left, "only who makes a new folder looks for old ones"


def test_a_start_counts_as_use(tmp_path: Path) -> None:
    run("import minadder", tmp_path)
    (folder,) = folders(tmp_path)
    age(folder, 40)
    run("import minadder", tmp_path)
    assert kernel_cache.days_since_use(folder) < 0.1


def test_deleting_goes_on_when_another_process_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("minadder-0123456789abcdef", "minadder-1123456789abcdef"):
        (tmp_path / name).mkdir()
        age(tmp_path / name, 31)
    real = shutil.rmtree

    def slow(folder: Path) -> None:
        real(folder)
        real(folder)  # FileNotFoundError

    monkeypatch.setattr(shutil, "rmtree", slow)
    kernel_cache.delete_unused(tmp_path)
    assert list(tmp_path.iterdir()) == []
