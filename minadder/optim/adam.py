"""Adam and AdamW: steps from running averages of the gradient and of its square."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.checks import number, shown
from minadder.kernels.optim import cpu as kernels
from minadder.optim.adder_lr import AdderLR
from minadder.optim.optimizer import Optimizer, Parameters
from minadder.tensor import Tensor


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, Algorithm 1), as `torch.optim.Adam`: weight decay is an L2 penalty.

    With the gradient g of a parameter w, its averages m and v, and its number of steps t, one step is::

        g ← g · adder_lr.scale(g)                          adder filters only
        g ← g + weight_decay · w
        m ← β₁ · m + (1 − β₁) · g
        v ← β₂ · v + (1 − β₂) · g²
        w ← w − lr · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + eps)

    Parameters
    ----------
    params
        The parameters, such as `net.parameters()`; or dictionaries `{"params": [...], "lr": ...}`, one a group, whose
        other entries replace the arguments below for that group.
    lr
        The learning rate, above 0.
    betas
        (β₁, β₂), how much of the averages is kept, each in [0, 1).
    eps
        Keeps the quotient finite, above 0.
    weight_decay
        The factor of the L2 penalty's gradient, at least 0.
    adder_lr
        The rule for adder filters, `AdaptiveLR` or `IncreasedLR`; None treats them as all others.

    Raises
    ------
    TypeError, ValueError
        For a bad parameter list, an unknown entry of a group, or a value outside the ranges above.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import optim
    >>> w = ma.tensor([1.0, -3.0], requires_grad=True)
    >>> optimizer = optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(3)
    array([ 0.5, -2.5], dtype=float32)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        adder_lr: AdderLR | None = None,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "adder_lr": adder_lr}
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any], where: str) -> None:
        betas = options["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{where}betas must be a pair of numbers, got {shown(betas)}")
        options["betas"] = tuple(number(beta, f"{where}betas[{i}]", "[0, 1)") for i, beta in enumerate(betas))
        options["eps"] = number(options["eps"], f"{where}eps", "(0, inf)")

    def _new_state(self, parameter: Tensor) -> dict[str, Array]:
        return {
            "step": np.zeros((), np.int64),
            "exp_avg": np.zeros(parameter.shape, parameter.dtype),
            "exp_avg_sq": np.zeros(parameter.shape, parameter.dtype),
        }

    def _update(self, parameter: Tensor, weights: Array, gradient: Array, scale: float, group: dict[str, Any]) -> None:
        state = self._state_of(parameter)
        state["step"] += 1
        kernels.adam(
            weights,
            gradient,
            state["exp_avg"],
            state["exp_avg_sq"],
            int(state["step"]),
            scale,
            group["lr"],
            group["betas"],
            group["eps"],
            group["weight_decay"],
        )


class AdamW(Adam):
    """Adam whose weight decay is apart from the gradient (Loshchilov and Hutter 2019), as `torch.optim.AdamW`.

    One step is::

        w ← w − lr · weight_decay · w
        w ← w after a step of `Adam` without weight decay

    so that neither the averages nor `adder_lr` touch the decay.

    Parameters
    ----------
    params, lr, betas, eps, adder_lr
        As of `Adam`.
    weight_decay
        The share of the weights that is taken away, times lr, at each step; at least 0.

    Raises
    ------
    TypeError, ValueError
        As of `Adam`.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import optim
    >>> w = ma.tensor([1.0, -3.0], requires_grad=True)
    >>> optimizer = optim.AdamW([w], lr=0.5, weight_decay=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(3)
    array([ 0.45, -2.35], dtype=float32)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        adder_lr: AdderLR | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, adder_lr)

    def _update(self, parameter: Tensor, weights: Array, gradient: Array, scale: float, group: dict[str, Any]) -> None:
        np.multiply(weights, weights.dtype.type(1 - group["lr"] * group["weight_decay"]), out=weights)
        super()._update(parameter, weights, gradient, scale, {**group, "weight_decay": 0.0})
