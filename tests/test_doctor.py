"""`minadder doctor`: it says what is there, finds what is wrong, and never fails itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numba
import pytest
from fresh_process import CALL, run
from numba.core import config

from minadder import cli, doctor, kernel_cache, machine
from minadder.doctor import Finding
from minadder.kernels import simd

LABELS = {
    "versions",
    "processor",
    "kernels",
    "threads",
    "threading layer",
    "BLAS",
    "kernel cache",
    "CUDA",
    "packages",
    "optional",
    "data",
}

EXAMINE = "import sys; from minadder.cli import main; sys.stdout.write(f'code {main([\"doctor\"])}')"


def examine(cache: Path, code: str = EXAMINE, **environment: str) -> str:
    """Return what the doctor says in a new process, its exit code at the end; it must say nothing on stderr."""
    result = run(code, cache, **environment)
    assert result.stderr == ""
    return result.stdout


def test_a_sound_installation(tmp_path: Path) -> None:
    run(CALL, tmp_path)
    said = examine(tmp_path)
    assert {line.partition(":")[0] for line in said.split("\n\n")[0].splitlines()} == LABELS
    assert f"NumPy {__import__('numpy').__version__}, Numba {numba.__version__}" in said
    assert "broken" not in said
    assert said.endswith("code 0")


def test_the_command_ends_with_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for cache, wanted in ((tmp_path / "cache", 0), (tmp_path / "file", 1)):
        result = subprocess.run(
            [sys.executable, "-W", "error", "-m", "minadder", "doctor"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": str(cache)},
        )
        assert result.returncode == (0 if config.DISABLE_JIT else wanted), result.stdout


def test_this_process_can_be_examined(capsys: Any) -> None:
    broken = cli.main(["doctor"])
    said = capsys.readouterr().out
    assert {line.partition(":")[0] for line in said.split("\n\n")[0].splitlines()} == LABELS
    assert broken == ("broken: " in said)


@pytest.mark.parametrize(
    ("environment", "code", "message"),
    [
        ({"NUMBA_DISABLE_JIT": "1"}, 0, "warning: NUMBA_DISABLE_JIT is set: kernels are plain Python"),
        ({"NUMBA_BOUNDSCHECK": "1"}, 0, "warning: NUMBA_BOUNDSCHECK is set"),
        ({"MINADDER_VECTOR_BITS": "0"}, 0, "warning: MINADDER_VECTOR_BITS=0 turns vector registers off"),
        ({"NUMBA_THREADING_LAYER": "workqueue"}, 0, "warning: the threading layer workqueue ends the process"),
        ({"NUMBA_THREADING_LAYER": "nonsense"}, 1, "broken: threads cannot be started"),
        ({"NUMBA_NUM_THREADS": "1000"}, 0, "warning: 1000 threads share"),
        ({"OMP_WAIT_POLICY": "active"}, 0, "warning: OMP_WAIT_POLICY=active"),
        ({"MINADDER_DATA": "/no/such/folder"}, 1, "broken: MINADDER_DATA=/no/such/folder is no folder"),
    ],
    ids=lambda value: "" if not isinstance(value, dict) else " ".join(f"{k}={v}" for k, v in value.items()),
)
def test_what_the_environment_spoils_is_told(
    tmp_path: Path, environment: dict[str, str], code: int, message: str
) -> None:
    said = examine(tmp_path, **environment)
    assert message in said
    assert said.endswith(f"code {code}")


@pytest.mark.skipif(machine.allowed_cores() < 2, reason="one thread is all there is for one core")
def test_one_thread_for_many_cores_is_told(tmp_path: Path) -> None:
    said = examine(tmp_path, NUMBA_NUM_THREADS="1")
    assert f"warning: 1 thread(s) for {machine.allowed_cores()} cores: unset NUMBA_NUM_THREADS" in said
    assert said.endswith("code 0")


def test_a_missing_package_is_told_with_how_to_get_it(tmp_path: Path) -> None:
    said = examine(tmp_path, f"import sys; sys.modules['matplotlib'] = None; {EXAMINE}")
    assert "broken: matplotlib cannot be imported (ModuleNotFoundError" in said
    assert "pip install --force-reinstall matplotlib" in said
    assert said.endswith("code 1")


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    said = examine(taken)
    assert "broken: no cache folder can be made" in said
    assert said.endswith("code 1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the doctor takes for the cache of this process."""
    folder = tmp_path / "minadder-0123456789abcdef"
    folder.mkdir()
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    monkeypatch.setattr(kernel_cache, "cache_folder", lambda: folder)
    return folder


def test_a_cache_that_cannot_be_written_is_worse_when_it_is_empty(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_cache, "can_keep", lambda: False)
    empty = doctor.kernel_folder()
    assert empty.text == f"{cache}: not writable, 0 kernels, 0.0 MB"
    assert empty.warnings == []
    assert empty.broken[0].startswith("the cache is empty and stays so, every process compiles all kernels: make ")
    (cache / "a.kernel").write_bytes(bytes(200_000))
    filled = doctor.kernel_folder()
    assert filled.text == f"{cache}: not writable, 1 kernels, 0.2 MB"
    assert filled.warnings[0].startswith("kernels that the cache lacks are compiled anew by every process: make ")
    assert filled.broken == []


def test_an_empty_cache_and_other_versions_are_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = cache.with_name("minadder-1123456789abcdef")
    other.mkdir()
    (other / "a.kernel").write_bytes(bytes(2_000_000))
    monkeypatch.setattr(kernel_cache, "can_keep", lambda: True)
    finding = doctor.kernel_folder()
    assert finding.text.startswith(f"{cache}: writable, 0 kernels, 0.0 MB; 1 other version(s), 2.0 MB")
    assert finding.broken == []
    assert finding.warnings == ["no kernel is compiled yet: the first training takes longer; or run `minadder warmup`"]


def test_a_check_that_fails_is_a_finding() -> None:
    def strange_thing() -> Finding:
        raise KeyError("a file\nof two lines")

    (finding,) = doctor.examine([strange_thing])
    assert finding.broken == ["strange thing cannot be examined: KeyError: 'a file\\nof two lines'"]


def test_what_is_fine_ends_with_a_word_of_comfort(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (lambda: Finding("thing", "here"),))
    assert doctor.run(None) == 0  # type: ignore[arg-type]
    assert capsys.readouterr().out == "thing:           here\n\nnothing is wrong\n"


@pytest.mark.parametrize(
    ("package", "there", "text"), [("json", True, "json"), ("no_such_package", False, "no no_such_package (for x)")]
)
def test_optional_packages(monkeypatch: pytest.MonkeyPatch, package: str, there: bool, text: str) -> None:
    monkeypatch.setattr(doctor, "OPTIONAL", {package: "for x"})
    assert doctor.optional_packages() == Finding("optional", text)


def test_a_required_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "REQUIRED", {"no_such_package": "no-such-package"})
    finding = doctor.required_packages()
    assert finding.text == "none"
    assert finding.broken[0].startswith("no-such-package is not installed (ModuleNotFoundError: ")


def test_a_processor_without_vectors_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simd, "VECTOR_BITS", 0)
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    monkeypatch.setattr(config, "BOUNDSCHECK", None)
    monkeypatch.delenv("MINADDER_VECTOR_BITS", raising=False)
    finding = doctor.kernel_code()
    assert finding.text == "plain loops"
    assert finding.warnings == ["this processor has no vector units that minadder knows: kernels are plain loops"]


@pytest.mark.parametrize(
    ("allowed", "quota", "used", "warned"),
    [
        (8, None, 8, ""),
        (8, None, 9, "9 threads share 8 cores: set NUMBA_NUM_THREADS=8"),
        (8, 2.5, 8, "8 threads share 2 cores: set NUMBA_NUM_THREADS=2"),
        (8, 0.5, 1, ""),
        (8, 16.0, 4, "4 thread(s) for 8 cores: unset NUMBA_NUM_THREADS, or set it to 8"),
    ],
)
def test_threads_are_held_against_cores(
    monkeypatch: pytest.MonkeyPatch, allowed: int, quota: float | None, used: int, warned: str
) -> None:
    monkeypatch.setattr(machine, "allowed_cores", lambda: allowed)
    monkeypatch.setattr(machine, "core_quota", lambda: quota)
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", used)
    assert doctor.threads().warnings == ([warned] if warned else [])


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "0\n"}, None),
    ],
)
def test_the_limit_of_a_container_is_read(tmp_path: Path, files: dict[str, str], wanted: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.core_quota(tmp_path) == wanted


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("print('GPU 1'); print('GPU 2')", ["GPU 1", "GPU 2"]),
        ("", []),
        ("raise SystemExit(1)", []),
        ("print('a'); import os; os.abort()", []),
        ("import time; print('a', flush=True); time.sleep(60)", []),
    ],
    ids=["two devices", "none", "no driver", "a driver that crashes", "a driver that hangs"],
)
def test_cuda_never_fails_and_never_takes_long(
    monkeypatch: pytest.MonkeyPatch, program: str, wanted: list[str]
) -> None:
    monkeypatch.setattr(machine, "CUDA_DEVICES", program)
    begin = time.monotonic()
    assert machine.cuda_devices() == wanted
    assert time.monotonic() - begin < machine.CUDA_SECONDS + 2


def test_a_machine_without_a_way_to_start_a_process_has_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert machine.cuda_devices() == []


@pytest.mark.parametrize(
    ("loaded", "policy", "told"),
    [("omp", "passive", 0), ("workqueue", "passive", 1), ("omp", "ACTIVE", 1), ("workqueue", "active", 2)],
)
def test_threading_layers_with_drawbacks_are_told(
    monkeypatch: pytest.MonkeyPatch, loaded: str, policy: str, told: int
) -> None:
    monkeypatch.setattr(numba, "threading_layer", lambda: loaded)
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    finding = doctor.threading_layer()
    assert finding.text.startswith(f"{loaded}; available: ")
    assert len(finding.warnings) == told
    assert finding.broken == []


def test_threads_that_cannot_be_started_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("no threading layer\ncould be loaded")

    monkeypatch.setattr(numba, "get_num_threads", fail)
    assert doctor.threading_layer().broken == ["threads cannot be started: no threading layer could be loaded"]


@pytest.mark.parametrize(
    ("disabled", "checked", "bits", "text"),
    [
        (1, None, None, "plain Python"),
        (0, 1, None, "plain loops that check bounds, on one thread"),
        (0, None, "0", "plain loops (MINADDER_VECTOR_BITS=0)"),
    ],
)
def test_kernels_without_vectors_say_why(
    monkeypatch: pytest.MonkeyPatch, disabled: int, checked: int | None, bits: str | None, text: str
) -> None:
    monkeypatch.setattr(simd, "VECTOR_BITS", 0)
    monkeypatch.setattr(config, "DISABLE_JIT", disabled)
    monkeypatch.setattr(config, "BOUNDSCHECK", checked)
    monkeypatch.delenv("MINADDER_VECTOR_BITS", raising=False)
    if bits is not None:
        monkeypatch.setenv("MINADDER_VECTOR_BITS", bits)
    finding = doctor.kernel_code()
    assert finding.text == text
    assert len(finding.warnings) == 1


def test_a_cache_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    monkeypatch.setattr(config, "CACHE_DIR", "/no/such/place")
    monkeypatch.setattr(kernel_cache, "cache_folder", lambda: None)
    assert "make /no/such/place a folder that you may write to" in doctor.kernel_folder().broken[0]


def test_a_data_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINADDER_DATA", str(tmp_path))
    assert doctor.data_folder().broken == []
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")
    (tmp_path / "cifar100").mkdir()
    (tmp_path / "cifar100" / "cifar-100-binary.tar.gz").write_bytes(b"")
    found = "mnist: 1 of 4 files; cifar10: absent; cifar100: there"
    assert doctor.data_folder().text == f"MINADDER_DATA={tmp_path}; {found}"
    monkeypatch.setenv("MINADDER_DATA", str(tmp_path / "missing"))
    assert doctor.data_folder().broken[0].endswith("missing is no folder: make it, or unset the variable")


def test_blas_with_more_threads_than_cores_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"internal_api": "openblas", "version": "1", "num_threads": 64}
    monkeypatch.setattr(machine, "blas", lambda: [info])
    monkeypatch.setattr(machine, "allowed_cores", lambda: 4)
    finding = doctor.blas()
    assert finding.text == "openblas 1, 64 thread(s)"
    assert finding.warnings[0].endswith("set OMP_NUM_THREADS=4")


def test_blas_is_unknown_without_threadpoolctl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert doctor.blas() == Finding("BLAS", "unknown to threadpoolctl")


def test_the_processor_is_named() -> None:
    assert machine.cpu_name().endswith(")")
    assert machine.allowed_cores() >= 1
    assert set(machine.cpu_features()) <= set(machine.FEATURES.values())
