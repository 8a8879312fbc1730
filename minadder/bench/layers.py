"""Measuring one layer: adder kernels, convolution, PyTorch's ways, and the machine's rates in the same rounds."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minadder as ma
from minadder.autograd import Array
from minadder.bench import peak, torch_layers
from minadder.bench.machine import MatrixProduct
from minadder.bench.peak import Spin
from minadder.bench.shapes import Layer
from minadder.bench.timing import Case, Effort, best, interleave
from minadder.kernels.adder import cpu as adder
from minadder.kernels.binary import cpu as binary
from minadder.kernels.conv import cpu as conv

OURS = (
    "adder forward",
    "adder input gradient",
    "adder filter gradient",
    "adder sign filter gradient",
    "adder forward+backward",
    "conv forward",
    "conv backward",
    "conv forward+backward",
    "binary forward",
    "l2 forward",
    "l2 forward+backward",
    "lp forward",
    "lp input gradient",
    "lp filter gradient",
    "lp forward+backward",
)
COMPARED = (
    "broadcast forward",
    "broadcast forward+backward",
    "cdist forward",
    "compiled forward",
    "compiled forward+backward",
    "torch conv forward",
    "torch conv forward+backward",
)
MATMUL = "matmul"

BETWEEN = 1.5
"""The exponent of the ℓp layers that are measured; their time does not depend on it, but for 1 and 2."""

TOLERANCE = 1e-3
"""How far sums of thousands of float32, in another order, may lie apart, relative to the largest."""


@dataclass
class Measured:
    """What was measured of a layer: seconds of each run by case, and factors by which times were scaled up."""

    layer: Layer
    seconds: dict[str, list[float]]
    factors: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def time(self, case: str) -> float | None:
        """Return the best seconds of a case for the whole batch, None where it was not measured."""
        if case not in self.seconds:
            return None
        return best(self.seconds[case]) * self.factors.get(case, 1)

    def ratio(self, other: str, ours: str) -> float | None:
        """Return how many times as long another case takes as ours, None where one was not measured."""
        theirs, mine = self.time(other), self.time(ours)
        return None if theirs is None or mine is None else theirs / mine


def arrays(layer: Layer, seed: int) -> tuple[Array, Array, Array]:
    """Return x, w and the output's gradient for a layer, from N(0, 1)."""
    rng = np.random.default_rng(seed)
    x, w, grad = (rng.standard_normal(shape, np.float32) for shape in (layer.x_shape, layer.w_shape, layer.y_shape))
    return x, w, grad


class Differentiated:
    """An operation forward and backward through the graph, as a case to measure."""

    def __init__(self, operation: Any, x: Array, w: Array, grad: Array) -> None:
        self.operation, self.grad = operation, grad
        self.x, self.w = (ma.Tensor(array, requires_grad=True) for array in (x, w))

    def __call__(self) -> ma.Tensor:
        """Run it, and return the output; the gradients are those of `x` and `w`."""
        self.x.grad = self.w.grad = None
        y: ma.Tensor = self.operation(self.x, self.w)
        y.backward(self.grad)
        return y


def adder_layer(layer: Layer, p: float = 1.0) -> Any:
    """Return the adder layer as an operation on x and w."""
    return functools.partial(ma.ops.adder2d, stride=layer.stride, padding=layer.padding, p=p)


def check_gradients(theirs: torch_layers.Pass, ours: Differentiated) -> None:
    """Raise ValueError when two ways to compute a layer's gradients disagree: to compare their speed says nothing."""
    ours()
    for name, found, wanted in (("input", theirs.x, ours.x), ("filter", theirs.w, ours.w)):
        exact = np.asarray(wanted.grad)
        error, scale = float(np.abs(found.grad.numpy() - exact).max()), float(np.abs(exact).max())
        if not error <= TOLERANCE * scale:
            raise ValueError(f"its {name} gradient is wrong by {error:.3g} of {scale:.3g}")


def our_cases(layer: Layer, x: Array, w: Array, grad: Array) -> dict[str, Case]:
    """Return the cases of `OURS`: NumPy arrays (N, C, H, W) in, NumPy arrays out."""
    window = layer.strides, layer.paddings, (1, 1), 1
    scale = np.ones(len(w), w.dtype)
    cases: dict[str, Case] = {
        "adder forward": lambda: adder.forward(x, w, *window),
        "adder input gradient": lambda: adder.input_grad(grad, x, w, *window, "hardtanh"),
        "adder filter gradient": lambda: adder.weight_grad(grad, x, w, *window, "full_precision"),
        "adder sign filter gradient": lambda: adder.weight_grad(grad, x, w, *window, "sign"),
        "adder forward+backward": Differentiated(adder_layer(layer), x, w, grad),
        "binary forward": lambda: binary.forward(x, w, scale, *window),
    }
    cases["lp input gradient"] = lambda: adder.input_grad(grad, x, w, *window, "power", BETWEEN)
    cases["lp filter gradient"] = lambda: adder.weight_grad(grad, x, w, *window, "exact", BETWEEN)
    for name, p in (("l2", 2.0), ("lp", BETWEEN)):
        cases[f"{name} forward"] = functools.partial(adder.forward, x, w, *window, p)
        cases[f"{name} forward+backward"] = Differentiated(adder_layer(layer, p), x, w, grad)
    if layer.fully_connected:  # the CNN twin is a linear layer, which has no window
        points, filters, slopes = x[:, :, 0, 0], w[:, :, 0, 0], grad[:, :, 0, 0]
        cases["conv forward"] = lambda: points @ filters.T
        cases["conv backward"] = lambda: (slopes @ filters, slopes.T @ points)
        cases["conv forward+backward"] = Differentiated(ma.ops.linear, points, filters, slopes)
        return cases

    def conv_backward() -> tuple[Array, Array]:
        return conv.input_grad(grad, x.shape, w, *window), conv.weight_grad(grad, x, w.shape, *window)

    cases["conv forward"] = lambda: conv.forward(x, w, *window)
    cases["conv backward"] = conv_backward
    cases["conv forward+backward"] = Differentiated(
        functools.partial(ma.ops.conv2d, stride=layer.stride, padding=layer.padding), x, w, grad
    )
    return cases


def torch_cases(measured: Measured, x: Array, w: Array, grad: Array, compile_too: bool) -> dict[str, Case]:
    """Return the cases of `COMPARED` that can be measured here, and note the others' reasons and the factors."""
    layer = measured.layer
    if torch_layers.torch is None:
        measured.skipped.update(dict.fromkeys(COMPARED, "no PyTorch"))
        return {}
    batch = torch_layers.batch_that_fits(layer)
    part = layer.with_batch(batch), (x[:batch], w, grad[:batch])
    whole = layer, (x, w, grad)
    cases: dict[str, Case] = {}
    for backward, suffix in ((False, "forward"), (True, "forward+backward")):
        measured.factors[f"broadcast {suffix}"] = layer.x_shape[0] / batch
        cases[f"broadcast {suffix}"] = torch_layers.Pass(torch_layers.broadcast, *part, backward)
        cases[f"torch conv {suffix}"] = torch_layers.Pass(torch_layers.convolution, *whole, backward)
    cases["cdist forward"] = torch_layers.Pass(torch_layers.cdist, *whole, False)
    reason = torch_layers.no_compiler() if compile_too else "quick"
    if reason is not None:
        measured.skipped.update(dict.fromkeys([case for case in COMPARED if "compiled" in case], reason))
        return cases
    expression = torch_layers.compiled()
    compiled = {
        "compiled forward": torch_layers.Pass(expression, *whole, False),
        "compiled forward+backward": torch_layers.Pass(expression, *whole, True),
    }
    try:
        for case in compiled.values():
            case()
        check_gradients(compiled["compiled forward+backward"], Differentiated(adder_layer(layer), x, w, grad))
    except Exception as error:  # of many classes: what is wrong is the compiler's or PyTorch's affair
        lines = str(error).strip().splitlines() or [type(error).__name__]
        measured.skipped.update(dict.fromkeys(compiled, f"torch.compile failed: {lines[0]}"))
        return cases
    return cases | compiled


def machine_cases() -> dict[str, Spin | MatrixProduct]:
    """Return the cases whose speed is the machine's: the peak of each mix, and a matrix product."""
    return {MATMUL: MatrixProduct(), **peak.cases()}


def machine_rates(
    cases: Mapping[str, Spin | MatrixProduct], runs: Iterable[Mapping[str, list[float]]]
) -> dict[str, float]:
    """Return the best terms a second of each of the machine's cases over all runs, given as seconds by case."""
    found = list(runs)
    return {name: case.terms / min(best(seconds[name]) for seconds in found) for name, case in cases.items()}


def measure(layer: Layer, seed: int, effort: Effort, machine: Mapping[str, Case], compile_too: bool) -> Measured:
    """Measure a layer in every way that this machine has, interleaved with the machine's own rates."""
    measured = Measured(layer, {})
    inputs = arrays(layer, seed)
    cases = our_cases(layer, *inputs) | torch_cases(measured, *inputs, compile_too) | dict(machine)
    measured.seconds = interleave(cases, effort)
    return measured
