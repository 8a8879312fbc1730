"""What machine this is: its processor, how many cores a process may use, its BLAS, its CUDA devices."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from llvmlite import binding

FEATURES = {
    "sse2": "SSE2",
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512vnni": "AVX-512 VNNI",
    "neon": "NEON",
    "sve": "SVE",
}
"""LLVM's names of the features that matter to the kernels, and how people write them."""

CGROUP = Path("/sys/fs/cgroup")

CUDA_SECONDS = 2.0

CUDA_DEVICES = """
import ctypes, os
library = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
count, name = ctypes.c_int(), ctypes.create_string_buffer(256)
if library.cuInit(0) == 0 and library.cuDeviceGetCount(ctypes.byref(count)) == 0:
    for device in range(count.value):
        library.cuDeviceGetName(name, 256, device)
        print(name.value.decode(errors="replace"))
"""
"""Asks the driver alone: a program that needs neither Numba nor a CUDA toolkit."""


def cpu_name() -> str:
    """Return the processor's name, and LLVM's name of its kind, which compiled kernels are for."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name} ({binding.get_host_cpu_name()})"


def cpu_features() -> list[str]:
    """Return the features of the processor that matter to the kernels."""
    found = binding.get_host_cpu_features()
    return [name for key, name in FEATURES.items() if found.get(key)]


def allowed_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def core_quota(cgroup: Path = CGROUP) -> float | None:
    """Return how many cores' worth of time a container may use, None where nothing limits it (Linux's cgroups)."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quotas = [int((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii")) for name in ("quota", "period")]
        return None if quotas[0] < 0 else quotas[0] / quotas[1]
    return None


def blas() -> list[dict[str, Any]]:
    """Return what is known of the libraries that multiply NumPy's matrices, as threadpoolctl tells it."""
    try:
        from threadpoolctl import threadpool_info  # type: ignore[import-untyped]
    except ImportError:
        return []
    return [info for info in threadpool_info() if info["user_api"] == "blas"]


def cuda_devices() -> list[str]:
    """Return the names of the CUDA devices; none where there is no driver, or it does not answer soon."""
    try:
        result = subprocess.run(
            [sys.executable, "-I", "-S", "-c", CUDA_DEVICES],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=CUDA_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return result.stdout.splitlines() if result.returncode == 0 else []
