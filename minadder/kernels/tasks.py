"""Running a kernel's tasks on all threads.

`numba.prange` would do, but Numba compiles what a parallel loop calls again for the loop, four times in all, and the
windowed layers' tasks are large. Here the loop knows the task by its address alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba.core import config, extending, types

from minadder.jit import kernel, without_read_only

intrinsic: Callable[..., Any] = extending.intrinsic  # what it returns is called in kernels alone


@intrinsic
def call_task(typing: Any, address: Any, task: Any, arguments: Any) -> Any:
    """Call the compiled kernel at an address as kernel(task, *arguments); it must return None."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        given = (types.int64, *arguments.types)
        function_type = context.call_conv.get_function_type(types.none, given)
        function = builder.inttoptr(values[0], function_type.as_pointer())
        unpacked = [builder.extract_value(values[2], index) for index in range(len(arguments.types))]
        number = context.cast(builder, values[1], task, types.int64)
        context.call_conv.call_function(builder, function, types.none, given, [number, *unpacked])
        return context.get_dummy_value()

    return types.void(address, task, arguments), emit


@kernel(parallel=True)
def call_tasks(address: int, tasks: int, arguments: tuple[Any, ...]) -> None:
    """Call the kernel at an address with the numbers of all tasks."""
    for task in numba.prange(tasks):
        call_task(address, task, arguments)


@kernel
def call_tasks_in_turn(address: int, tasks: int, arguments: tuple[Any, ...]) -> None:
    """Call the kernel at an address with the numbers of all tasks, one after the other."""
    for task in range(tasks):
        call_task(address, task, arguments)


_one_at_a_time = threading.Lock()
"""Held by the thread whose tasks run on all threads: some of Numba's threading layers abort on a second one."""


class _Threads:
    """Whether this process has started Numba's threads, and whether it may."""

    started = False
    lost = False


def after_fork() -> None:
    """Note in a forked process that Numba's threads, if there were any, are still its parent's."""
    _Threads.lost = _Threads.lost or _Threads.started


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=after_fork)


def call_all(address: int, tasks: int, arguments: tuple[Any, ...], threads: bool) -> None:
    """Call the kernel at an address with the numbers of all tasks: on all threads where that is wanted and possible.

    It is not in a process that was forked from one with threads (OpenMP would end it), nor while another thread of
    Python has tasks on them. The tasks run in turn then, and give the same bits.
    """
    if threads and not _Threads.lost and _one_at_a_time.acquire(blocking=False):
        try:
            _Threads.started = True
            call_tasks(address, tasks, arguments)
        finally:
            _one_at_a_time.release()
    else:
        call_tasks_in_turn(address, tasks, arguments)


def on_threads(one_task: Any) -> Callable[..., None]:
    """Return a function (tasks, *arguments) that calls one_task(task, *arguments) for all tasks, on all threads.

    With `threads=False` it calls them here, one after the other, without Python between them.

    Parameters
    ----------
    one_task
        A kernel of arrays and numbers that returns nothing. Its first argument is the number of the task; the dtype
        of the last one tells for which dtype it is to be compiled.
    """
    addresses: dict[Any, int] = {}

    def all_tasks(tasks: int, *arguments: Any, threads: bool = True) -> None:
        if config.DISABLE_JIT or config.BOUNDSCHECK:
            for task in range(tasks):
                one_task(task, *arguments)
            return
        dtype = arguments[-1].dtype
        if dtype not in addresses:
            addresses[dtype] = address_of(one_task, arguments)
        call_all(addresses[dtype], tasks, arguments, threads)

    return all_tasks


def address_of(one_task: Any, arguments: tuple[Any, ...]) -> int:
    """Return the address of a kernel compiled for arguments."""
    given = (types.int64, *map(numba.typeof, without_read_only(arguments)))
    one_task.compile(given)
    compiled = one_task.overloads[given]
    address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return address
