"""The decorator of kernels: what is compiled, and how often, and what is said about it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fresh_process import CALL, run
from numba.core import config
from numba.extending import is_jitted
from running import both_dtypes, cast, every_operation

import minadder as ma
from minadder import jit, models, nn, optim
from minadder.autograd import Array
from minadder.ops.registry import Operation
from minadder.ops.samples import Draw
from minadder.testing import LAYOUTS, read_only
from minadder.testing.running import forward

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled under NUMBA_DISABLE_JIT=1")


def kernel_modules() -> Iterator[ModuleType]:
    """Yield the imported modules that may hold kernels."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("minadder.kernels.") or name == "test_tasks":
            yield module


def variants() -> dict[str, set[str]]:
    """Return for each kernel how it has been compiled, but for the dtype.

    A kernel that others call may be compiled again for a constant, or for an index without a sign.
    """
    found: dict[str, set[str]] = {}
    for module in kernel_modules():
        for kernel in vars(module).values():
            if is_jitted(kernel) and kernel.py_func.__module__ == module.__name__:
                name = f"{module.__name__}.{kernel.py_func.__name__}"
                found[name] = {normalised(str(signature)) for signature in kernel.signatures}
    return found


def normalised(signature: str) -> str:
    """Return a signature with one float dtype and one integer dtype."""
    return re.sub(r"Literal\[int\]\(-?\d+\)|uint64", "int64", signature.replace("float64", "float32"))


def assert_one_variant_each() -> None:
    """No kernel may have been compiled for anything but a dtype; the loops over tasks, once for each kind of task."""
    found = variants()
    loops = {
        loop for name in ("call_tasks", "call_tasks_in_turn") for loop in found.pop(f"minadder.kernels.tasks.{name}")
    }
    several = {name: signatures for name, signatures in found.items() if len(signatures) > 1}
    assert several == {}
    tasks = {signature.removeprefix("(int64, ") for kernel in found.values() for signature in kernel}
    assert {loop.removeprefix("(int64, int64, Tuple((").removesuffix("))") for loop in loops} <= tasks


@both_dtypes
@every_operation
def test_no_kernel_is_compiled_for_a_shape_or_a_layout(operation: Operation, dtype: Any) -> None:
    draw = Draw(np.random.default_rng(0))
    for layout in (np.array, *LAYOUTS.values()):
        for _ in range(5):
            sample = operation.sample(draw)
            _, output = forward(operation.function, [layout(array) for array in cast(sample, dtype)], sample.options)
            output.backward(read_only(np.ones(output.shape, dtype)))
    assert_one_variant_each()


@pytest.mark.parametrize("kind", ["adder", "conv"])
def test_no_kernel_is_compiled_for_a_batch_size(kind: str) -> None:
    net = models.lenet5_bn(kind)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2))
    for count in (2, 3, 128):
        loss = nn.CrossEntropyLoss()(net(np.ones((count, 1, 32, 32), np.float32)), np.zeros(count, int))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    net.eval()(np.ones((1, 1, 32, 32), np.float32))
    assert_one_variant_each()


@jit.kernel
def fill(x: Array, value: float) -> None:
    """Write a value to all elements: a kernel for the tests in this process."""
    for i in range(x.shape[0]):
        x[i] = value


@jit.kernel
def total(x: Array, scale: float) -> float:
    """Return the sum: a kernel for the tests in this process."""
    s = x.dtype.type(0)
    for i in range(x.shape[0]):
        s += x[i] * scale
    return s


def test_a_read_only_array_needs_no_other_variant_and_stays_as_it_was() -> None:
    x = np.array([1.0, np.nan, 2.0])
    x.flags.writeable = False
    assert np.isnan(total(x, 2.0))
    assert total(x[2:], 2.0) == 4.0
    assert total(np.ones(2), 2.0) == 4.0
    assert len(total.signatures) == 1  # type: ignore[attr-defined]
    assert not x.flags.writeable


def test_a_kernel_that_changes_a_read_only_array_is_found_out() -> None:
    x = np.zeros(2)
    x.flags.writeable = False
    with pytest.raises(ValueError, match=r"^fill changes x, which is read-only: pass a copy$"):
        fill(x, 3.0)
    assert x.tolist() == [0.0, 0.0]
    fill(x, 0.0)


@jit.kernel
def fill_first(arrays: tuple[Array, ...], value: float) -> None:
    """Write a value to the first of some arrays: a kernel for the tests in this process."""
    arrays[0][0] = value


def test_read_only_arrays_in_a_tuple_are_treated_alike() -> None:
    x, y = np.zeros(2), np.ones(2)
    y.flags.writeable = False
    fill_first((x, y), 3.0)
    assert x.tolist() == [3.0, 0.0]
    with pytest.raises(ValueError, match=r"^fill_first changes arrays, which is read-only: pass a copy$"):
        fill_first((y, x), 3.0)
    assert y.tolist() == [1.0, 1.0]
    assert len(fill_first.signatures) == 1  # type: ignore[attr-defined]


def test_the_notice_comes_once_for_a_kernel_with_its_helpers(tmp_path: Path) -> None:
    """`gather_outputs` calls `copy_planes` and others, which are compiled with it."""
    code = (
        "import numpy as np; from minadder.kernels.unfold import gather_outputs, layout\n"
        "plan = layout((1, 1, 1, 3), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 8, 1, 1)\n"
        "g, y = np.zeros(3), np.ones((1, 1, 1, 3))\n"
        "for _ in range(2): gather_outputs(y, 0, 1, 0, 1, 0, 1, plan.geometry, g, 3)\n"
        "print(g.tolist())"
    )
    result = run(code, tmp_path)
    assert result.stdout == "[1.0, 1.0, 1.0]\n"
    assert result.stderr == "minadder: compiling unfold.gather_outputs (once for this machine) …\n"


def test_the_notice_comes_once_for_both_dtypes(tmp_path: Path) -> None:
    code = "from minadder.kernels.plain_tiles import hardtanh; import numpy as np\n"
    code += "print(hardtanh(3.0, 1.0), hardtanh(np.float32(3), np.float32(1)))"
    result = run(code, tmp_path)
    assert result.stdout == "1.0 1.0\n"
    assert result.stderr.count("compiling plain_tiles.hardtanh") == 1


def test_bounds_are_checked_on_demand(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from minadder.kernels.plain_tiles import copy_planes\n"
        "try: copy_planes(np.zeros(1), 0, 0, 0, np.ones(1), 0, 0, 0, 1, 1, 2, 1)\n"
        "except IndexError: print('caught')"
    )
    assert run(code, tmp_path, NUMBA_BOUNDSCHECK="1").stdout == "caught\n"


def test_settings_of_the_users_numba_stay_as_they_were(tmp_path: Path) -> None:
    """A kernel of the user's, decorated after the import, is kept where it would be kept without minadder."""
    module = tmp_path / "theirs.py"
    module.write_text(
        "import numba\nbefore = numba.config.CACHE_DIR\nimport minadder\n\n\n"
        "@numba.njit(cache=True)\ndef one():\n    return 1\n\n\n"
        "one()\nprint(before == numba.config.CACHE_DIR, one.stats.cache_path)\n"
    )
    result = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import theirs", tmp_path / "cache")
    same, _, path = result.stdout.strip().partition(" ")
    assert same == "True"
    assert Path(path) == tmp_path / "__pycache__"
    assert result.stderr == ""


def test_idle_threads_sleep_unless_the_user_wants_them_awake(tmp_path: Path) -> None:
    code = "import minadder, os; print(os.environ['OMP_WAIT_POLICY'])"
    unset = {name: value for name, value in os.environ.items() if name == "OMP_WAIT_POLICY"}
    assert unset.get("OMP_WAIT_POLICY", "passive") in run(code, tmp_path).stdout
    assert run(code, tmp_path, OMP_WAIT_POLICY="active").stdout == "active\n"


def test_kernels_outside_the_package_are_compiled_and_not_kept() -> None:
    assert total(np.array([1.5]), 2.0) == 3.0
    assert total.stats.cache_path is None  # type: ignore[attr-defined]


def test_a_kernel_that_is_compiled_says_so_once_for_a_machine(tmp_path: Path) -> None:
    assert "(once for this machine)" in run(CALL, tmp_path).stderr


def test_the_gradients_of_a_read_only_batch_are_those_of_a_writable_one() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 5, 5)).astype(np.float32)
    w = ma.tensor(np.ones((2, 2, 3, 3), np.float32), requires_grad=True)
    gradients = []
    for batch in (x, read_only(x)):
        w.grad = None
        ma.ops.adder2d(ma.Tensor(batch), w).sum().backward()
        gradients.append(np.array(w.grad))
    np.testing.assert_array_equal(*gradients)
