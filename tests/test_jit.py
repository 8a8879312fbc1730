"""Compiled kernels: where they are kept, when they are compiled anew, and what is said about it.

Each check runs in a process of its own, on the smallest kernel there is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import config

import minadder
from minadder import jit

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled under NUMBA_DISABLE_JIT=1")

PACKAGE = Path(minadder.__file__).parent

CALL = "from minadder.kernels.plain_tiles import hardtanh; print(hardtanh(3.0, 1.0))"
"""Calls a kernel that is compiled in 0.2 s."""


def run(code: str, cache: Path, package: Path = PACKAGE, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process that keeps its kernels under `cache`; it must succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    kept |= {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(package.parent), **environment}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=kept, cwd=package.parent
    )
    assert result.returncode == 0, result.stderr
    return result


def folders(cache: Path) -> list[Path]:
    """Return the folders of kernels under a cache folder of the user."""
    return sorted((cache / "minadder" / "kernels").glob("minadder-*"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the package's sources, free to be changed."""
    target = tmp_path / "copy" / "minadder"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def test_the_second_process_compiles_nothing_and_says_nothing(tmp_path: Path) -> None:
    first = run(CALL, tmp_path)
    assert first.stdout == "1.0\n"
    assert first.stderr.count("minadder: compiling plain_tiles.hardtanh (once for this machine) …") == 1
    assert len(folders(tmp_path)) == 1
    second = run(CALL, tmp_path)
    assert second.stdout == "1.0\n"
    assert second.stderr == ""


def test_the_notice_comes_once_for_a_kernel_with_its_helpers(tmp_path: Path) -> None:
    """`gather_outputs` calls `copy_rows` and others, which are compiled with it."""
    code = (
        "import numpy as np; from minadder.kernels.unfold import gather_outputs, layout\n"
        "plan = layout((1, 1, 1, 3), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 8, 1, 1)\n"
        "g, y = np.zeros(3), np.ones((1, 1, 1, 3))\n"
        "for _ in range(2): gather_outputs(y, 0, 1, 0, 1, 0, 1, plan.geometry, g, 3)\n"
        "print(g.tolist())"
    )
    result = run(code, tmp_path)
    assert result.stdout == "[1.0, 1.0, 1.0]\n"
    assert result.stderr == "minadder: compiling unfold.gather_outputs (once for this machine) …\n"


def test_without_a_folder_to_write_to_everything_works_and_the_notice_says_so(tmp_path: Path) -> None:
    """As where the home folder and the installation are read-only: here the cache's place is taken by a file."""
    taken = tmp_path / "file"
    taken.write_text("")
    for _ in range(2):
        result = run(f"from minadder import jit; print(jit.cache_folder()); {CALL}", taken)
        assert result.stdout == "None\n1.0\n"
        assert "compiling plain_tiles.hardtanh (no cache folder can be written, so in each process)" in result.stderr


def test_nothing_is_written_beside_the_sources(tmp_path: Path, copy: Path) -> None:
    before = sorted(copy.rglob("*"))
    run(CALL, tmp_path, copy, PYTHONDONTWRITEBYTECODE="1")
    assert sorted(copy.rglob("*")) == before


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


def test_kernels_with_checked_bounds_have_a_folder_of_their_own(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from minadder.kernels.plain_tiles import copy_rows\n"
        "try: copy_rows(np.zeros(1), 0, 0, np.ones(1), 0, 0, 2, 1)\n"
        "except IndexError: print('caught')"
    )
    assert run(code, tmp_path, NUMBA_BOUNDSCHECK="1").stdout == "caught\n"
    run(CALL, tmp_path)
    assert len(folders(tmp_path)) == 2


def test_numba_cache_dir_is_respected(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    result = run(
        f"import numba; {CALL}; print(numba.config.CACHE_DIR)", tmp_path / "other", NUMBA_CACHE_DIR=str(chosen)
    )
    assert result.stdout == f"1.0\n{chosen}\n"
    (folder,) = chosen.iterdir()
    assert folder.name.startswith("minadder-")
    assert list(folder.rglob("*.nbc"))
    assert not (tmp_path / "other").exists()


def test_settings_of_the_users_numba_stay_as_they_were(tmp_path: Path) -> None:
    """A kernel of the user's, decorated after the import, is kept where it would be kept without minadder."""
    module = tmp_path / "theirs.py"
    module.write_text(
        "import numba\nbefore = numba.config.CACHE_DIR\nimport minadder\n\n\n"
        "@numba.njit(cache=True)\ndef one():\n    return 1\n\n\n"
        "one()\nprint(before == numba.config.CACHE_DIR, one.stats.cache_path)\n"
    )
    result = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import theirs", tmp_path / "cache")
    same, _, path = result.stdout.strip().partition(" ")
    assert same == "True"
    assert Path(path) == tmp_path / "__pycache__"
    assert result.stderr == ""


def test_idle_threads_sleep_unless_the_user_wants_them_awake(tmp_path: Path) -> None:
    code = "import minadder, os; print(os.environ['OMP_WAIT_POLICY'])"
    unset = {name: value for name, value in os.environ.items() if name == "OMP_WAIT_POLICY"}
    assert unset.get("OMP_WAIT_POLICY", "passive") in run(code, tmp_path).stdout
    assert run(code, tmp_path, OMP_WAIT_POLICY="active").stdout == "active\n"


def test_cache_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jit.cache_root() == tmp_path / "minadder"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert jit.cache_root() == tmp_path / ".cache" / "minadder"


def test_the_digest_depends_on_every_kernel_file(monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    monkeypatch.setattr(jit, "PACKAGE", copy)
    digests = {jit.source_digest()}
    paths = sorted((copy / "kernels").rglob("*.py"))
    for path in paths:
        path.write_text(path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
        digests.add(jit.source_digest())
    assert len(digests) == len(paths) + 1 > 10
    (copy / "nn" / "module.py").write_text("")
    assert jit.source_digest() in digests


def test_kernels_outside_the_package_are_compiled_and_not_kept() -> None:
    @jit.kernel
    def double(x: float) -> float:
        return 2 * x

    assert double(1.5) == 3.0
    assert double.stats.cache_path is None
