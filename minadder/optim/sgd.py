"""Stochastic gradient descent, with momentum or Nesterov's accelerated gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.checks import flag, number
from minadder.kernels.optim import cpu as kernels
from minadder.optim.adder_lr import AdderLR
from minadder.optim.optimizer import Optimizer, Parameters
from minadder.tensor import Tensor


class SGD(Optimizer):
    """Stochastic gradient descent, as `torch.optim.SGD`; with `nesterov=True` the NAG of the AdderNet papers.

    With the gradient g of a parameter w and its buffer b, one step is::

        g ← g · adder_lr.scale(g)                          adder filters only
        g ← g + weight_decay · w
        b ← momentum · b + (1 − dampening) · g             b = g at the first step
        w ← w − lr · (g + momentum · b  if nesterov else  b)

    Parameters
    ----------
    params
        The parameters, such as `net.parameters()`; or dictionaries `{"params": [...], "lr": ...}`, one a group, whose
        other entries replace the arguments below for that group.
    lr
        The learning rate, above 0.
    momentum
        How much of the buffer is kept, in [0, 1).
    dampening
        How much of the gradient the buffer leaves out.
    weight_decay
        The factor of the L2 penalty's gradient, at least 0.
    nesterov
        Look ahead along the buffer; needs momentum above 0 and no dampening.
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
    >>> w = ma.tensor([1.0], requires_grad=True)
    >>> optimizer = optim.SGD([w], lr=0.25, momentum=0.5, nesterov=True)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w
    tensor([-0.0625], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        adder_lr: AdderLR | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "adder_lr": adder_lr,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any], where: str) -> None:
        options["momentum"] = momentum = number(options["momentum"], f"{where}momentum", "[0, 1)")
        options["dampening"] = dampening = number(options["dampening"], f"{where}dampening", "(-inf, inf)")
        options["nesterov"] = nesterov = flag(options["nesterov"], f"{where}nesterov")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"{where}nesterov=True needs momentum above 0 and dampening 0, "
                f"got momentum={momentum}, dampening={dampening}"
            )

    def _new_state(self, parameter: Tensor) -> dict[str, Array]:
        return {"momentum_buffer": np.zeros(parameter.shape, parameter.dtype)}

    def _update(self, parameter: Tensor, weights: Array, gradient: Array, scale: float, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        first = parameter not in self.state
        kernels.sgd(
            weights,
            gradient,
            self._state_of(parameter)["momentum_buffer"] if momentum != 0 else None,
            first,
            scale,
            group["lr"],
            momentum,
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
        )
