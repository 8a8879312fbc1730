"""A process that compiles its kernels computes the same bits as those that find them on disk.

A kernel's machine code holds copies of the functions that it calls. Where such a function sums floating-point numbers
it must become part of the kernel (`kernel(inline=True)`): a process that has compiled it by itself would run that
instead, whose sums may be in another order. Then a training that was stopped would not go on as it was.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fresh_process import run
from numba.core import config

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled under NUMBA_DISABLE_JIT=1")

PROGRAM = """
import hashlib
import numpy as np
from minadder import Tensor
from minadder.ops.registry import OPERATIONS
from minadder.ops.samples import Draw

def bits(array):
    return hashlib.sha1(np.ascontiguousarray(array).tobytes()).hexdigest()[:8]

def calls(operation, dtype):
    draw, rng = Draw(np.random.default_rng(0)), np.random.default_rng(1)
    for _ in range(30):
        sample = operation.sample(draw)
        noise = [0.01 * rng.standard_normal(np.shape(array)) for array in sample.arrays]  # sums of it are rounded
        inputs = [Tensor(np.array(a + n, dtype), requires_grad=True) for a, n in zip(sample.arrays, noise)]
        output = operation.function(*inputs, **sample.options)
        output = output[0] if isinstance(output, tuple) else output
        output.backward(rng.standard_normal(output.shape).astype(dtype))
        yield from (bits(output.numpy()), *(bits(x.grad.numpy()) for x in inputs if x.grad is not None))

for operation in OPERATIONS:
    if {names} is None or operation.name in {names}:
        for dtype in {dtypes}:
            print(operation.name, dtype, *calls(operation, dtype))
"""


def compare(cache: Path, names: set[str] | None, dtypes: tuple[str, ...], **environment: str) -> None:
    """Run operations in two processes, of which the first compiles, and compare what they give."""
    first, second = (run(PROGRAM.format(names=names, dtypes=dtypes), cache, **environment) for _ in range(2))
    assert "compiling" in first.stderr
    assert "compiling" not in second.stderr
    assert first.stdout.splitlines() == second.stdout.splitlines()


def test_batch_norm_and_losses_have_the_bits_of_every_process(tmp_path: Path) -> None:
    compare(tmp_path, {"batch_norm_train", "cross_entropy", "max_pool2d"}, ("float32",))


def test_adders_have_the_bits_of_every_process(tmp_path: Path) -> None:
    compare(tmp_path, {"adder2d"}, ("float64",))


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["0", "256", "512"])
def test_every_operation_has_the_bits_of_every_process(tmp_path: Path, bits: str) -> None:
    compare(tmp_path, None, ("float32", "float64"), MINADDER_VECTOR_BITS=bits)
