"""One decorator for every CPU kernel: compile options, the cache of compiled kernels, the notice of a compilation.

Numba compiles a kernel on its first call for a dtype, never for a shape. `kernel_cache.py` keeps the machine code.
"""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, overload

import numba
import numpy as np
from numba.core import config, event

from minadder.kernel_cache import PACKAGE, KernelCache, cache_folder, can_keep
from minadder.notices import notice

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

FASTMATH = {"reassoc", "nsz", "contract"}
"""Sums may be reordered into vector lanes and products fused; NaN and Inf keep their meaning."""

# Idle OpenMP threads would spin on the cores that NumPy's BLAS needs next: a matrix product after a kernel took 80
# times as long. Read once, when Numba starts its threads; a user's own setting is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@overload
def kernel(function: Kernel) -> Kernel: ...
@overload
def kernel(*, parallel: bool = ..., inline: bool = ..., reorder: bool = ...) -> Callable[[Kernel], Kernel]: ...
def kernel(function: Any = None, *, parallel: bool = False, inline: bool = False, reorder: bool = True) -> Any:
    """Compile a function with Numba on its first call for each dtype.

    Parameters
    ----------
    function
        The function to compile. It may call other kernels.
    parallel
        Whether `numba.prange` loops in it run on all threads. Off while bounds are checked
        (`NUMBA_BOUNDSCHECK=1`), since an exception would be lost inside a parallel loop.
    inline
        Whether its code becomes part of the kernels that call it. Otherwise these have a copy of it, compiled once
        more, with sums in another order perhaps; but a process that has compiled the function itself runs that, and
        gets other bits than the next process. So it is for functions of floating-point sums that others call.
    reorder
        Whether sums may be reordered, as sums over vectors need. Off where elements are written that are sums of three
        and more terms: such a loop has a form for vectors and one for single values, between which the arrays'
        addresses decide, and each form would be reordered in its own way.

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
        return lambda function: compiled(function, parallel, inline, reorder)
    return compiled(function, parallel, inline, reorder)


def compiled(function: Callable[..., Any], parallel: bool, inline: bool, reorder: bool) -> Any:
    """Return the function under Numba's dispatcher, its machine code kept in `cache_folder()`."""
    options: dict[str, Any] = {
        "fastmath": FASTMATH if reorder else FASTMATH - {"reassoc"},
        "error_model": "numpy",
        "forceinline": inline,
    }
    options["no_cfunc_wrapper"] = True  # nobody calls kernels from C, and it takes a tenth of the time to compile
    if parallel and not config.BOUNDSCHECK:
        options["parallel"] = True
    dispatcher = numba.njit(function, **options)
    if config.DISABLE_JIT:
        return dispatcher
    dispatcher._compile_for_args = partial(compile_for_arguments, dispatcher, dispatcher._compile_for_args)
    # A cached kernel must come from a file, since the digest is of files: a notebook cell or a doctest is not cached.
    folder = cache_folder() if PACKAGE in Path(function.__code__.co_filename).parents else None
    if folder is not None:
        dispatcher._cache = KernelCache(function, folder)
    return dispatcher


def compile_for_arguments(dispatcher: Any, compile_anew: Callable[..., Any], *arguments: Any) -> Any:
    """Return what to call with arguments for which no machine code has been loaded yet.

    Numba would compile a kernel a second time for a read-only array; it is called with copies of those instead.
    """
    if without_read_only(arguments) is not arguments:
        return partial(call_with_copies, dispatcher)
    return compile_anew(*arguments)


def without_read_only(argument: Any) -> Any:
    """Return an argument with copies of the read-only arrays in it, itself where there are none."""
    if isinstance(argument, tuple):
        copies = tuple(map(without_read_only, argument))
        return copies if any(map(operator.is_not, copies, argument)) else argument
    is_read_only = isinstance(argument, np.ndarray) and not argument.flags.writeable
    return np.array(argument) if is_read_only else argument


def call_with_copies(dispatcher: Any, *arguments: Any) -> Any:
    """Call a kernel with copies of the read-only arrays; ValueError when it changes one of them."""
    copies = without_read_only(arguments)
    result = dispatcher(*copies)
    for name, argument, copied in zip(dispatcher.py_func.__code__.co_varnames, arguments, copies, strict=False):
        if is_changed(argument, copied):
            raise ValueError(f"{dispatcher.py_func.__name__} changes {name}, which is read-only: pass a copy")
    return result


def is_changed(argument: Any, copied: Any) -> bool:
    """Return whether the copies in an argument differ from the read-only arrays that they were made of."""
    if argument is copied:
        return False
    if isinstance(argument, tuple):
        return any(map(is_changed, argument, copied))
    changed: bool = argument.tobytes() != copied.tobytes()
    return changed


class CompilationNotice(event.Listener):
    """Tells, once for each name, that a kernel is being compiled: why a first call takes seconds; adds those up."""

    def __init__(self) -> None:
        self.depth = 0
        self.announced: set[str] = set()
        self.begin = self.seconds = 0.0

    def on_start(self, event: Any) -> None:
        """Announce the outermost of minadder's kernels under compilation."""
        name = kernel_name(event)
        if name is None:
            return
        self.depth += 1
        if self.depth == 1:
            self.begin = time.perf_counter()
        if self.depth == 1 and name not in self.announced:
            self.announced.add(name)
            kept = "once for this machine" if can_keep() else "no cache folder can be written, so in each process"
            notice(f"minadder: compiling {name} ({kept}) …")

    def on_end(self, event: Any) -> None:
        """Count the kernel as done."""
        if kernel_name(event) is not None:
            self.depth -= 1
            self.seconds += 0.0 if self.depth else time.perf_counter() - self.begin


def kernel_name(event: Any) -> str | None:
    """Return `folder.function` of the kernel that a compile event is about, None where it is not minadder's.

    Kernels live in `minadder.kernels.<folder>.cpu`; the folder names the operation.
    """
    function = event.data["dispatcher"].py_func
    module: str = function.__module__ or ""
    if not module.startswith("minadder.kernels."):
        return None
    return f"{module.split('.')[2]}.{function.__name__}"


NOTICE = CompilationNotice()
event.register("numba:compile", NOTICE)


def seconds_compiling() -> float:
    """Return how many seconds this process has been compiling kernels so far, which no estimate should count on."""
    return NOTICE.seconds
