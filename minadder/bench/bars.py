"""The figures that this library promises, each with its bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from minadder.bench import steps
from minadder.bench.layers import Measured
from minadder.bench.results import Results
from minadder.bench.shapes import Layer


@dataclass(frozen=True)
class Bar:
    """A figure that should be at least, or at most, a value; None where it was not measured."""

    figure: str
    value: float | None
    bar: float
    at_least: bool
    unit: str

    @property
    def verdict(self) -> str:
        """Return "reached", "short" or "not measured"."""
        if self.value is None:
            return "not measured"
        reached = self.value >= self.bar if self.at_least else self.value <= self.bar
        return "reached" if reached else "short"

    def line(self) -> str:
        """Return figure – bar – verdict."""
        value = "–" if self.value is None else f"{self.value:.4g}{self.unit}"
        sign = "≥" if self.at_least else "≤"
        return f"{self.figure}: {value} – bar {sign} {self.bar:g}{self.unit} – {self.verdict}"


def resnet20(layer: Layer) -> bool:
    """Whether a layer is ResNet-20's."""
    return layer.network == "ResNet-20"


def resnet20_3x3(layer: Layer) -> bool:
    """Whether a layer is one of ResNet-20's with windows of 3×3."""
    return resnet20(layer) and layer.w_shape[2] == 3


def lenet_windows(layer: Layer) -> bool:
    """Whether a layer is one of LeNet-5's with windows."""
    return layer.network == "LeNet-5" and not layer.fully_connected


def windows(layer: Layer) -> bool:
    """Whether a layer is one with windows: the twin of a fully-connected one is a matrix product, no convolution."""
    return not layer.fully_connected


def any_layer(layer: Layer) -> bool:
    """Whether a layer is one."""
    return True


def over(
    results: Results,
    wanted: Callable[[Layer], bool],
    value: Callable[[Measured], float | None],
    of_all: Callable[[list[float]], float] = median,
) -> float | None:
    """Return the median of a value over the layers wanted, or what else is given; None where there is none."""
    found: Iterable[float | None] = (value(measured) for measured in results.layers if wanted(measured.layer))
    known = [number for number in found if number is not None]
    return of_all(known) if known else None


def bars(results: Results) -> list[Bar]:
    """Return all bars with what was measured. Figures of several layers are medians, or the worst where it says so."""

    def percent(case: str, wanted: Callable[[Layer], bool]) -> float | None:
        return over(results, wanted, lambda measured: results.percent(measured, case))

    def ratio(other: str, ours: str, wanted: Callable[[Layer], bool], factor: float = 1) -> float | None:
        found = over(results, wanted, lambda measured: measured.ratio(other, ours))
        return None if found is None else factor * found

    def worst(slower: str, faster: str, wanted: Callable[[Layer], bool]) -> float | None:
        return over(results, wanted, lambda measured: measured.ratio(slower, faster), max)

    both, sign_rule = "forward+backward", "adder sign filter gradient"
    found = [
        Bar("adder forward, ResNet-20 3×3, of peak", percent("adder forward", resnet20_3x3), 70, True, " %"),
        Bar("adder forward, LeNet-5 5×5, of peak", percent("adder forward", lenet_windows), 45, True, " %"),
        Bar(
            "HardTanh input gradient, ResNet-20 3×3, of peak",
            percent("adder input gradient", resnet20_3x3),
            60,
            True,
            " %",
        ),
        Bar(
            "full-precision filter gradient, ResNet-20 3×3, of the matrix product's rate",
            percent("adder filter gradient", resnet20_3x3),
            60,
            True,
            " %",
        ),
        Bar(
            "adder forward+backward, ResNet-20, faster than PyTorch's broadcast expression",
            ratio(f"broadcast {both}", f"adder {both}", resnet20),
            150,
            True,
            " ×",
        ),
        Bar(
            "adder forward+backward, ResNet-20, faster than torch.compile",
            ratio(f"compiled {both}", f"adder {both}", resnet20),
            4,
            True,
            " ×",
        ),
        Bar(
            "adder forward+backward, ResNet-20, time over PyTorch's convolution",
            ratio(f"adder {both}", f"torch conv {both}", resnet20),
            2,
            False,
            " ×",
        ),
        Bar(
            "convolution forward, all layers, speed of PyTorch's",
            ratio("torch conv forward", "conv forward", any_layer, 100),
            50,
            True,
            " %",
        ),
        *(
            Bar(f"{figure}, worst layer", worst(slower, faster, wanted), bar, False, " ×")
            for figure, slower, faster, wanted, bar in (
                ("ℓp adder forward, time over the ℓ1 adder's", "lp forward", "adder forward", any_layer, 4),
                ("ℓp input gradient, time over HardTanh's", "lp input gradient", "adder input gradient", any_layer, 4),
                ("ℓp filter gradient, time over the sign's", "lp filter gradient", sign_rule, any_layer, 4),
                ("ℓ2 adder forward, time over the convolution's", "l2 forward", "conv forward", windows, 2),
                (f"ℓ2 adder {both}, time over the convolution's", f"l2 {both}", f"conv {both}", windows, 2),
            )
        ),
    ]
    return [*found, *whole_bars(results)]


def whole_bars(results: Results) -> list[Bar]:
    """Return the bars of whole steps: epochs, the toy experiment, memory."""
    lenet = next((found for found in results.steps if found.network == steps.LENET.title), None)
    epoch = None if lenet is None else lenet.epoch(steps.ADDER)
    twin = None if lenet is None else lenet.epoch(steps.TORCH)
    growth = {(m.network, m.kind): m.growth for m in results.memory}
    ours, theirs = (growth.get(("resnet20", kind)) for kind in (steps.ADDER, steps.TORCH))
    return [
        Bar("LeNet-5-BN adder epoch", epoch, 4, False, " s"),
        Bar(
            "LeNet-5-BN adder epoch over PyTorch's CNN epoch",
            None if epoch is None or twin is None else epoch / twin,
            3,
            False,
            " ×",
        ),
        Bar("toy experiment", None if results.toy is None else results.toy.seconds, 5, False, " s"),
        Bar(
            "memory of a ResNet-20 adder step over PyTorch's CNN step",
            None if not ours or not theirs else ours / theirs,
            1.5,
            False,
            " ×",
        ),
    ]
