"""One decorator for every CPU kernel: compile options, the on-disk cache, and the notice of a compilation.

Numba compiles a kernel on its first call for a dtype and keeps the machine code on disk. Its own cache forgets two
things: that a helper in another file changed, and that a compile option changed. Here the cache folder's name is a
digest of all kernel sources and options, so that neither can load stale code. The folder lies in the user's cache,
never beside the sources, so a read-only installation works.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, overload

import numba
from numba.core import config, event

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

FASTMATH = {"reassoc", "nsz", "contract"}
"""Sums may be reordered into vector lanes and products fused; NaN and Inf keep their meaning."""

PACKAGE = Path(__file__).parent

# Idle OpenMP threads would spin on the cores that NumPy's BLAS needs next: a matrix product after a kernel took 80
# times as long. Read once, when Numba starts its threads; a user's own setting is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def cache_root() -> Path:
    """Return the folder under which minadder keeps what it can make again: compiled kernels and fetched data.

    It is `$XDG_CACHE_HOME/minadder`, or `~/.cache/minadder`.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "minadder"


def source_digest() -> str:
    """Return a digest of everything that the machine code depends on, except the CPU, which Numba checks itself."""
    vectors = os.environ.get("MINADDER_VECTOR_BITS")  # see kernels/simd.py
    digest = hashlib.sha256(f"{numba.__version__} boundscheck={config.BOUNDSCHECK} vectors={vectors}".encode())
    for path in [Path(__file__), *sorted((PACKAGE / "kernels").rglob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path | None:
    """Return the folder of the compiled kernels, made if need be, or None when none can be written.

    `$NUMBA_CACHE_DIR` takes precedence over the folder under `cache_root()`.
    """
    chosen = Path(config.CACHE_DIR) if config.CACHE_DIR else cache_root() / "kernels"
    folder = chosen / f"minadder-{source_digest()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


@overload
def kernel(function: Kernel) -> Kernel: ...
@overload
def kernel(*, parallel: bool = ...) -> Callable[[Kernel], Kernel]: ...
def kernel(function: Any = None, *, parallel: bool = False) -> Any:
    """Compile a function with Numba on its first call for each dtype.

    Parameters
    ----------
    function
        The function to compile. It may call other kernels.
    parallel
        Whether `numba.prange` loops in it run on all threads. Off while bounds are checked
        (`NUMBA_BOUNDSCHECK=1`), since an exception would be lost inside a parallel loop.

    Returns
    -------
    The compiled function, or the plain one under `NUMBA_DISABLE_JIT=1`.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.jit import kernel
    >>> @kernel
    ... def total(x):
    ...     s = x.dtype.type(0)
    ...     for v in x:
    ...         s += abs(v)
    ...     return s
    >>> float(total(np.array([1.0, -2.0])))
    3.0
    """
    if function is None:
        return lambda function: compiled(function, parallel)
    return compiled(function, parallel)


def compiled(function: Callable[..., Any], parallel: bool) -> Any:
    """Return the function under Numba's dispatcher, its machine code kept in `cache_folder()`."""
    # A cached kernel must come from a file, since the digest is of files: a notebook cell or a doctest is not cached.
    source = Path(function.__code__.co_filename)
    folder = cache_folder() if PACKAGE in source.parents else None
    options: dict[str, Any] = {"fastmath": FASTMATH, "error_model": "numpy", "cache": folder is not None}
    if parallel and not config.BOUNDSCHECK:
        options["parallel"] = True
    users_folder = config.CACHE_DIR
    config.CACHE_DIR = str(folder or "")  # read once, while the function is being decorated
    try:
        return numba.njit(function, **options)
    finally:
        config.CACHE_DIR = users_folder


class CompilationNotice(event.Listener):
    """Tells on stderr that a kernel is being compiled, so that a first call's seconds are explained."""

    def __init__(self) -> None:
        self.depth = 0

    def on_start(self, event: Any) -> None:
        """Announce the outermost of minadder's kernels under compilation."""
        name = kernel_name(event)
        if name is None:
            return
        self.depth += 1
        if self.depth == 1:
            kept = "once for this machine" if cache_folder() else "no cache folder can be written, so in each process"
            print(f"minadder: compiling {name} ({kept}) …", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        """Count the kernel as done."""
        if kernel_name(event) is not None:
            self.depth -= 1


def kernel_name(event: Any) -> str | None:
    """Return `folder.function` of the kernel that a compile event is about, None where it is not minadder's.

    Kernels live in `minadder.kernels.<folder>.cpu`; the folder names the operation.
    """
    function = event.data["dispatcher"].py_func
    module: str = function.__module__ or ""
    if not module.startswith("minadder.kernels."):
        return None
    return f"{module.split('.')[2]}.{function.__name__}"


event.register("numba:compile", CompilationNotice())
