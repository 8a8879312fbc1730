"""How large the gradients of the filters are, layer by layer (Chen et al. 2020, Table 1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder import nn
from minadder.autograd import Array
from minadder.checks import instance


def filter_gradient_norms(net: nn.Module, inputs: Any, labels: Array) -> dict[str, float]:
    """Return the ℓ2 norm of the gradient of each layer's filters for one batch (Chen et al. 2020, Table 1).

    The loss is the mean cross-entropy, and the gradient the raw one, before any learning-rate scaling. Run on a new
    network this is the paper's "1st iteration". The network's running statistics move by one batch; its gradients
    are left empty.

    Parameters
    ----------
    net
        A network from inputs to logits, in training mode.
    inputs
        A batch, a Tensor or an array.
    labels
        Class numbers (N,).

    Returns
    -------
    The norms by path, in the order of the layers, of parameters of two axes or more.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import analysis, models
    >>> net = models.mlp((4, 3, 2), "conv")
    >>> list(analysis.filter_gradient_norms(net, np.ones((5, 4), np.float32), np.zeros(5, int)))
    ['fc1.weight', 'fc2.weight']
    """
    instance(net, "net", nn.Module, "a network (an nn.Module)")
    net.zero_grad()
    nn.CrossEntropyLoss()(net(inputs), labels).backward()
    norms = {
        path: float(np.linalg.norm(parameter.grad.numpy().astype(np.float64)))
        for path, parameter in net.named_parameters()
        if parameter.ndim > 1 and parameter.grad is not None
    }
    net.zero_grad()
    return norms
