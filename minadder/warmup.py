"""Compile all kernels now, so that no training has to wait for a compiler: `minadder warmup`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba.core import config
from numba.extending import is_jitted

from minadder import ops, optim, streams
from minadder.files import shown
from minadder.kernel_cache import cache_folder, can_keep
from minadder.kernels.batchnorm.cpu import update_running
from minadder.nn.parameter import Parameter
from minadder.ops.registry import OPERATIONS, Operation
from minadder.ops.samples import Draw
from minadder.tensor import Tensor

DTYPES = {"float32": (np.float32,), "float64": (np.float64,), "both": (np.float32, np.float64)}
"""What `--dtype` may be."""

SAMPLES = 12
"""Calls of each operation: enough to meet every way through it."""

IMAGES, FILTERS, ROWS, LOGITS = (8, 16, 64, 64), (16, 16, 3, 3), (512, 64), (8192, 10)
"""Shapes large enough to run on all threads, for which kernels are compiled separately."""


class Counts(NamedTuple):
    """How many kernels a process has compiled, and how many it has loaded from the cache."""

    compiled: int
    loaded: int


def counts() -> Counts:
    """Return what this process has compiled and loaded up to now."""
    compiled = loaded = 0
    for kernel in kernels():
        compiled += sum(kernel.stats.cache_misses.values())
        loaded += sum(kernel.stats.cache_hits.values())
    return Counts(compiled, loaded)


def kernels() -> Iterator[Any]:
    """Yield the kernels of all imported modules of `minadder.kernels`."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("minadder.kernels."):
            for value in vars(module).values():
                if is_jitted(value) and value.py_func.__module__ == name:
                    yield value


def run_samples(operation: Operation, dtype: Any) -> None:
    """Run an operation forward and backward on tiny inputs."""
    draw = Draw(np.random.default_rng(0))
    for _ in range(SAMPLES):
        sample = operation.sample(draw)
        tensors = [Tensor(array.astype(dtype), requires_grad=True) for array in sample.arrays]
        forward_and_backward(partial(operation.function, *tensors, **sample.options))


def forward_and_backward(call: Callable[[], Any]) -> None:
    """Call an operation and run the backward pass of its output; some operations return statistics behind it."""
    output = call()
    y = output[0] if isinstance(output, tuple) else output
    y.backward(np.ones(y.shape, y.dtype))


def large_calls(dtype: Any) -> dict[str, Callable[[], Any]]:
    """Return calls of operations on inputs that all threads share."""

    def zeros(shape: tuple[int, ...]) -> Tensor:
        return Tensor(np.zeros(shape, dtype), requires_grad=True)

    channels = (IMAGES[1],)
    norm = partial(ops.batch_norm_train, zeros(IMAGES), zeros(channels), zeros(channels))
    statistics = np.zeros(channels, dtype), np.ones(channels, dtype)
    labels, targets = np.zeros(LOGITS[0], np.int64), np.zeros(LOGITS, dtype)
    calls: dict[str, Callable[[], Any]] = {
        "batch_norm_train": norm,
        "batch_norm_eval": partial(ops.batch_norm_eval, zeros(IMAGES), zeros(channels), zeros(channels), *statistics),
        "relu": partial(ops.relu, zeros(IMAGES)),
        "max_pool2d": partial(ops.max_pool2d, zeros(IMAGES), 2),
        "avg_pool2d": partial(ops.avg_pool2d, zeros(IMAGES), 2),
        "cross_entropy": partial(ops.cross_entropy, zeros(LOGITS), labels),
        "bce_with_logits": partial(ops.bce_with_logits, zeros(LOGITS), targets),
        "adder_linear": partial(ops.adder_linear, zeros(ROWS), zeros((64, 64))),
        "linear": partial(ops.linear, zeros(ROWS), zeros((64, 64))),
    }
    calls["binary_conv2d"] = partial(ops.binary_conv2d, zeros(IMAGES), zeros(FILTERS), zeros(FILTERS[:1]), padding=1)
    for name, layer in (("adder2d", ops.adder2d), ("conv2d", ops.conv2d)):
        calls[name] = partial(layer, zeros(IMAGES), zeros(FILTERS), padding=1)
        calls[f"{name}, stride 2"] = partial(layer, zeros(IMAGES), zeros(FILTERS), stride=2)
    return calls


def run_updates(dtype: Any) -> None:
    """Take a step with each optimiser, and move a batch norm's running statistics."""
    mean, var = np.zeros(3, dtype), np.ones(3, dtype)
    update_running(mean, var, np.zeros(3), np.ones(3), 2, 0.1)  # a batch has its statistics in float64
    for make in (
        partial(optim.SGD, lr=0.1, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR()),
        partial(optim.Adam, lr=0.1, adder_lr=optim.AdaptiveLR()),
    ):
        parameter = Parameter(np.ones(3, dtype), adder=True)
        (parameter * parameter).sum().backward()
        make([parameter]).step()


def steps(dtype: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield (name, call) of everything that makes kernels be compiled for a dtype."""
    for operation in OPERATIONS:
        yield operation.name, partial(run_samples, operation, dtype)
    for name, call in large_calls(dtype).items():
        yield f"{name} on all threads", partial(forward_and_backward, call)
    yield "updates in place", partial(run_updates, dtype)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = (
        "Compile all kernels and keep them in the cache, so that no training waits for the compiler. It takes about a "
        "minute; a second run only loads what is there."
    )
    parser.add_argument(
        "--dtype", choices=tuple(DTYPES), default="float32", help="of which numbers (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Compile what is not in the cache yet, and say what was done; return the exit code.

    It is 1 when nothing can be kept for other processes, since then nothing was gained.
    """
    if config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT is set, so that kernels are plain Python: unset it to compile them")
    begin, at_first = time.perf_counter(), counts()
    for dtype in DTYPES[options.dtype]:
        for name, call in steps(dtype):
            start, before = time.perf_counter(), counts()
            call()
            done = since(before)
            if any(done):
                seconds = time.perf_counter() - start
                streams.say(f"{name}, {np.dtype(dtype)}: {seconds:.1f} s, {in_words(done)}")
    streams.say(f"{time.perf_counter() - begin:.1f} s in all: kernels {in_words(since(at_first))}")
    folder = cache_folder()
    if folder is None or not can_keep():
        streams.say("the cache cannot be written, so other processes will compile again; `minadder doctor` says more")
        return 1
    streams.say(f"the cache is {shown(folder)}")
    return 0


def since(before: Counts) -> Counts:
    """Return what was compiled and loaded since."""
    now = counts()
    return Counts(now.compiled - before.compiled, now.loaded - before.loaded)


def in_words(done: Counts) -> str:
    """Return the counts in words."""
    return f"{done.compiled} compiled, {done.loaded} loaded from the cache"
