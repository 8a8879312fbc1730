"""`minadder warmup`: after it, nothing is compiled. It works on the cache that all tests share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numba.core import config

from minadder import cli, warmup

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled under NUMBA_DISABLE_JIT=1")

TRAIN = """
import numpy as np
from numba.core import event

compiled = []

class Listener(event.Listener):
    def on_start(self, event):
        compiled.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event):
        pass

event.register("numba:compile", Listener())

from minadder import models, nn, optim

for make, count in MAKERS:
    net = make()
    shape = (1, 32, 32) if "conv3" in dict(net.named_children()) else (3, 32, 32)
    for optimizer in (
        optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2)),
        optim.Adam(net.parameters(), lr=0.1, adder_lr=optim.IncreasedLR(1)),
    ):
        loss = nn.CrossEntropyLoss()(net(np.ones((count, *shape), np.float32)), np.zeros(count, int))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()(np.ones((count, *shape), np.float32))
print(compiled)
"""

ROOTS = """
from minadder import warmup
from minadder.kernels import simd
from minadder.cli import main

assert main(["warmup", "--dtype", "both"]) == 0
kernels = list(warmup.kernels())
functions = [kernel.py_func for kernel in kernels]
called = {name for function in functions for name in function.__code__.co_names}
bound = {id(function.__globals__.get(name)) for function in functions for name in function.__code__.co_names}
unused = "minadder.kernels.plain_tiles" if simd.VECTOR_BITS else "minadder.kernels.vector_tiles"
for kernel in kernels:
    function = kernel.py_func
    if function.__name__ not in called and id(kernel) not in bound and function.__module__ != unused:
        dtypes = {word for word in ("float32", "float64") if word in str(kernel.signatures)}
        print("missing" if dtypes != {"float32", "float64"} else "complete", function.__module__, function.__name__)
"""
"""Warms up and tells of each kernel that no other kernel calls whether it is there for both dtypes."""


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a new process with the cache that all tests share."""
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=900, env={**os.environ, **environment}
    )


@pytest.fixture(scope="module")
def warm() -> subprocess.CompletedProcess[str]:
    """Warm up for both dtypes, and return what `ROOTS` printed."""
    result = python("-c", ROOTS)
    assert result.returncode == 0, result.stderr
    return result


def test_every_kernel_that_is_called_from_python_is_ready_for_both_dtypes(warm: Any) -> None:
    told = [line for line in warm.stdout.splitlines() if line.startswith(("missing", "complete"))]
    assert [line for line in told if line.startswith("missing")] == []
    names = {line.split()[-1] for line in told}
    assert names >= {"sgd_pass", "adam_pass", "update_running", "cross_entropy_task"}


def test_a_second_warmup_compiles_nothing_and_takes_seconds(warm: Any) -> None:
    result = python("-m", "minadder", "warmup", "--dtype", "both")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    *steps, total, place = result.stdout.splitlines()
    found = re.fullmatch(r"([\d.]+) s in all: kernels 0 compiled, (\d+) loaded from the cache", total)
    assert found is not None, total
    assert float(found[1]) < 20  # on a busy machine; 2 s on an idle one
    assert int(found[2]) > 40
    assert re.fullmatch(r"the cache is .*minadder-[0-9a-f]{16}", place)
    assert all(
        re.fullmatch(r".*, float(32|64): [\d.]+ s, 0 compiled, \d+ loaded from the cache", line) for line in steps
    )
    assert any(line.startswith("adder2d") for line in steps)
    assert any(line.startswith("updates") for line in steps)


@pytest.mark.parametrize(
    "makers",
    [
        "[(lambda: models.lenet5_bn('adder'), 256), (lambda: models.lenet5_bn('adder'), 2)]",
        "[(lambda: models.lenet5_bn('conv'), 256), (lambda: models.lenet5_bn('conv'), 2)]",
        "[(lambda: models.resnet(8, kind), 16) for kind in ('adder', 'conv', 'binary')]",
    ],
    ids=["lenet5-bn of adders", "lenet5-bn of convolutions", "resnet"],
)
def test_after_a_warmup_training_compiles_nothing(warm: Any, makers: str) -> None:
    result = python("-c", TRAIN.replace("MAKERS", makers))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[]\n"
    assert result.stderr == ""


def test_a_warmup_in_this_process_compiles_nothing_either(warm: Any, capsys: Any) -> None:
    assert cli.main(["warmup"]) == 0
    assert ": kernels 0 compiled, " in capsys.readouterr().out


def test_plain_python_cannot_be_warmed_up() -> None:
    result = python("-m", "minadder", "warmup", NUMBA_DISABLE_JIT="1")
    assert result.returncode == 1
    assert result.stderr.startswith("minadder: NUMBA_DISABLE_JIT is set")


def test_a_cache_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(warmup, "can_keep", lambda: False)
    monkeypatch.setattr(warmup, "steps", lambda dtype: [])
    assert cli.main(["warmup"]) == 1
    assert "the cache cannot be written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [((), ["f"]), (("--dtype", "float64"), ["d"]), (("--dtype", "both"), ["f", "d"])],
)
def test_the_dtype_can_be_chosen(monkeypatch: pytest.MonkeyPatch, chosen: tuple[str, ...], wanted: list[str]) -> None:
    seen: list[str] = []
    monkeypatch.setattr(warmup, "steps", lambda dtype: [("look", lambda: seen.append(np.dtype(dtype).char))])
    cli.main(["warmup", *chosen])
    assert seen == wanted
