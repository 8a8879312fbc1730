"""Matrix products on one thread of the BLAS: the same bits for any number of its threads, in products and trainings."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from fresh_process import PACKAGE
from numba.core import config

import minadder as ma
from minadder import blas

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="takes minutes as plain Python")

PRODUCTS = """
import hashlib
import numpy as np
import minadder as ma

def bits(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:8]

rng = np.random.default_rng(0)
shapes = [((256, 120), (120, 84)), ((1, 5000), (5000, 10)), ((3, 3000), (3000, 1)), ((700, 700), (700, 700)),
          ((2, 1, 4000), (2, 4000, 7)), ((5000,), (5000, 3)), ((9999,), (9999,))]
for dtype in ("float32", "float64"):
    for shape, other in shapes:
        x, y = (ma.tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in (shape, other))
        product = x @ y
        product.backward(rng.standard_normal(product.shape).astype(dtype))
        print(bits(product.numpy()), bits(x.grad.numpy()), bits(y.grad.numpy()))
"""

TRAINING = """
import hashlib
import numpy as np
import minadder as ma
from minadder import data, models, optim

def bits(net):
    return hashlib.sha256(b"".join(array.tobytes() for array in net.state_dict().values())).hexdigest()[:8]

rng = np.random.default_rng(0)
for network, shape, count in NETWORKS:
    for layer in ("conv", "adder", "adder-l2", "binary"):
        ma.manual_seed(0)
        net = models.build(network, layer, 10, shape)
        inputs, labels = rng.standard_normal((count, *shape)).astype(np.float32), rng.integers(0, 10, count)
        images = data.Dataset(inputs, labels, 10, "noise")
        optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR())
        history = ma.fit(net, data.Loader(images, count // 2), epochs=1, optimizer=optimizer)
        print(network, layer, bits(net), history[0]["train_loss"])
"""

SMALL = [("lenet5-bn", (1, 32, 32), 512), ("mlp", (1, 32, 32), 512)]
ALL = [
    ("lenetpp", (1, 32, 32), 64),
    ("vgg-small", (3, 32, 32), 16),
    ("resnet20", (3, 32, 32), 64),
    ("resnet32", (3, 32, 32), 16),
    ("resnet18", (3, 64, 64), 8),
    ("resnet50", (3, 64, 64), 8),
]


def output(program: str, threads: int) -> list[str]:
    """Run a program in a process where kernels and BLAS have so many threads, and return the lines it prints."""
    number = str(threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    given = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), **dict.fromkeys(names, number)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=given, capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_products_have_the_same_bits_for_any_number_of_threads() -> None:
    assert len(output(PRODUCTS, 1)) == 14
    assert output(PRODUCTS, 1) == output(PRODUCTS, 2) == output(PRODUCTS, 4)


@compiled
def test_trainings_have_the_same_bits_for_any_number_of_threads() -> None:
    program = f"NETWORKS = {SMALL}\n{TRAINING}"
    assert output(program, 1) == output(program, 2)


@compiled
@pytest.mark.slow
def test_trainings_of_all_networks_have_the_same_bits_for_any_number_of_threads() -> None:
    program = f"NETWORKS = {ALL}\n{TRAINING}"
    assert output(program, 1) == output(program, 2)


def test_the_blas_has_its_threads_again_afterwards() -> None:
    before = [library.get_num_threads() for library in blas.libraries()]
    assert before, "no BLAS is known whose threads could be set"
    with blas.one_thread():
        assert all(library.get_num_threads() == 1 for library in blas.libraries())
        with pytest.raises(ValueError, match="inner"), blas.one_thread():
            ma.tensor([[1.0]]) @ ma.tensor([[1.0], [2.0]])
        assert all(library.get_num_threads() == 1 for library in blas.libraries())
    assert [library.get_num_threads() for library in blas.libraries()] == before


def test_several_threads_of_python_leave_the_blas_as_it_was() -> None:
    before = [library.get_num_threads() for library in blas.libraries()]
    x = np.ones((50, 50))

    def work() -> None:
        for _ in range(200):
            assert blas.product(x, x)[0, 0] == 50

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [library.get_num_threads() for library in blas.libraries()] == before
