"""NumPy's matrix products on one thread of its BLAS, so that their bits do not depend on how many threads it has.

How a BLAS cuts its sums depends on the number of its threads: a training on two cores would not have the bits of one on
a single core. A second reason is time: its threads would keep the cores from the next kernel for a while.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from minadder.autograd import Array


@cache
def libraries() -> list[Any]:
    """Return what controls the BLAS libraries that are loaded; NumPy has loaded its own."""
    controllers: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return controllers


_lock = threading.Lock()
_threads_before: list[int] = []
_inside = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the BLAS use one thread inside; behind the last of several such blocks as many as before the first."""
    global _inside, _threads_before
    with _lock:
        if _inside == 0:
            _threads_before = [library.get_num_threads() for library in libraries()]
            set_threads([1] * len(_threads_before))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                set_threads(_threads_before)


def set_threads(numbers: list[int]) -> None:
    """Set how many threads each of the libraries uses."""
    for library, number in zip(libraries(), numbers, strict=True):
        library.set_num_threads(number)


def product(x: Array, y: Array) -> Array:
    """Return x @ y of stacks of matrices, the same bits for any number of threads.

    macOS's Accelerate cannot be told how many threads to use.
    """
    with one_thread():
        return np.matmul(x, y)
