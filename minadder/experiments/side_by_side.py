"""Small nets of one shape trained side by side, as one net, so that Python's time is spent once for all of them.

The joint net's layers have a group of channels for each net, and its input is one image whose places are the points: a
window of size 1 then computes what a net's fully-connected layer does, and batch norm looks at each channel alone
anyway. No number of one net enters another's, and each gets the very bits that it gets alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import minadder as ma
from minadder import nn, ops, optim
from minadder.autograd import Array
from minadder.kernels.losses.cpu import bce_with_logits_backward
from minadder.nn.convert import KINDS
from minadder.nn.linear import FullyConnected, Linear


def joined(nets: Sequence[nn.Sequential], kind: str) -> nn.Sequential:
    """Return one net, from an image (1, S·in, 1, N) to (1, S·out, 1, N), of copies of S nets for points (N, in).

    Parameters
    ----------
    nets
        Nets of one shape, as `models.mlp` makes them.
    kind
        Their kind of layer.

    Examples
    --------
    >>> from minadder import models
    >>> from minadder.experiments.side_by_side import joined
    >>> joined([models.mlp((2, 1), "binary"), models.mlp((2, 1), "binary")], "binary")
    Sequential(
      (fc1): BinaryConv2d(4, 2, kernel_size=(1, 1), stride=(1, 1), groups=2)
      (bn1): BatchNorm2d(2, eps=1e-05, momentum=0.1)
    )
    """
    named = nets[0].named_children()
    joint = nn.Sequential({name: grouped(m, len(nets), kind) for name, m in named if not isinstance(m, nn.Flatten)})
    states = [net.state_dict() for net in nets]
    together = {}
    for name, like in joint.state_dict().items():
        arrays = [state[name] for state in states]
        together[name] = np.concatenate(arrays).reshape(like.shape) if like.ndim else arrays[0]
    joint.load_state_dict(together)
    return joint


def grouped(module: nn.Module, count: int, kind: str) -> nn.Module:
    """Return the layer that does what `count` such layers do, each on a group of channels of its own."""
    if isinstance(module, Linear):
        return LinearForEach(count, module)
    if isinstance(module, FullyConnected):
        sizes = count * module.in_features, count * module.out_features
        return KINDS[kind].windowed(*sizes, kernel_size=1, groups=count, **KINDS[kind].options)
    if isinstance(module, nn.BatchNorm1d):
        return nn.BatchNorm2d(count * module.num_features, module.eps, module.momentum)
    return type(module)()  # an activation


class LinearForEach(nn.Module):
    """Linear layers with a bias, one for each group of channels: a convolution, in half the time of `nn.Conv2d`.

    Parameters
    ----------
    count
        How many, S: from (1, S·in, 1, N) to (1, S·out, 1, N).
    like
        One of them, for the sizes.
    """

    def __init__(self, count: int, like: Linear) -> None:
        super().__init__()
        self.count = count
        self.weight = nn.Parameter(np.zeros((count, like.out_features, like.in_features), np.float32))
        self.bias = nn.Parameter(np.zeros((count, like.out_features, 1), np.float32))

    def forward(self, x: ma.Tensor) -> ma.Tensor:
        """Return W·x + b of each net, as one product of stacks of matrices."""
        y = self.weight @ x.reshape(self.count, -1, x.shape[-1]) + self.bias
        return y.reshape(1, -1, 1, x.shape[-1])


def parted(joint: nn.Sequential, likes: Sequence[nn.Sequential]) -> None:
    """Give nets, which `joined` may have joined, the state that they have in the joint net."""
    state = joint.state_dict()
    for number, net in enumerate(likes):
        own = net.state_dict()
        for name, like in own.items():
            own[name] = state[name].reshape(len(likes), *like.shape)[number] if like.ndim else state[name]
        net.load_state_dict(own)


class Descent:
    """Nets under training side by side: full batch, Nesterov momentum 0.9, cosine to 0, sigmoid and cross-entropy.

    Parameters
    ----------
    nets
        S nets of one shape from points (N, in) to one logit. They stay as they are until `finished` is asked for.
    kind
        Their kind of layer.
    points, labels
        For each net its points (N, in) and its labels (N, 1), 0.0 or 1.0, all float32.
    iterations
        After how many the learning rate is 0.
    lr, eta, weight_decay
        The learning rate at the start; η of the adder filters' rule, whose norm is that of each net's layer alone; the
        factor of the L2 penalty's gradient.
    """

    def __init__(
        self,
        nets: Sequence[nn.Sequential],
        kind: str,
        points: Sequence[Array],
        labels: Sequence[Array],
        iterations: int,
        lr: float,
        eta: float,
        weight_decay: float,
    ) -> None:
        self.count, self.iterations, self.done = len(nets), iterations, 0
        self.net = joined(nets, kind)
        self.points = ma.Tensor(np.concatenate([own.T for own in points])[None, :, None])
        self.labels = ma.Tensor(np.concatenate([own.T for own in labels])[None, :, None])
        self.logits = self.labels
        self.schedule, self.rule = optim.Cosine(), optim.AdaptiveLR(eta)
        parameters = list(self.net.parameters())
        self.filters = [parameter for parameter in parameters if parameter.adder]
        rule = optim.IncreasedLR(1)  # the gradients are scaled before, those of each net by themselves
        self.optimizer = optim.SGD(
            parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=weight_decay, adder_lr=rule
        )

    def go_on(self, iterations: int) -> None:
        """Do so many iterations."""
        share = np.full(self.labels.shape, 1 / self.points.shape[-1], np.float32)  # of a point in its net's mean loss
        for _ in range(iterations):
            self.schedule.set_lr(self.optimizer, self.done / self.iterations)
            self.done += 1
            self.optimizer.zero_grad()
            self.logits = self.net(self.points)
            # ops.bce_with_logits would compute the loss each time too; it is asked for at the end alone
            self.logits.backward(bce_with_logits_backward(share, self.logits.numpy(), self.labels.numpy()))
            for parameter in self.filters:
                self.scale(parameter)
            self.optimizer.step()

    def scale(self, filters: nn.Parameter) -> None:
        """Scale the gradient of each net's filters by the rule for adder filters."""
        assert filters.grad is not None
        gradients = np.array(filters.grad.numpy()).reshape(self.count, -1)  # kernels would copy each, to leave it
        scales = [[self.rule.scale(gradient)] for gradient in gradients]
        filters.grad = ma.Tensor((gradients * np.array(scales, gradients.dtype)).reshape(filters.shape))

    def losses(self) -> list[float]:
        """Return the loss of each net, as it was in the last iteration."""
        with ma.no_grad():
            each = ops.bce_with_logits(self.logits, self.labels, reduction="none").numpy()
        return [float(own.sum() / own.dtype.type(own.size)) for own in each[0, :, 0]]
