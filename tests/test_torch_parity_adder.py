"""The adder layer written in PyTorch's broadcasting: outputs and gradients of the layer, and of a whole LeNet-5-BN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minadder as ma
from minadder import models, nn
from minadder.autograd import Array

torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

seeds = st.integers(0, 1000)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def normal(seed: int, *shape: int) -> Array:
    """Return normal values of float64."""
    return np.random.default_rng(seed).standard_normal(shape)


class Adder(torch.autograd.Function):
    """The papers' adder layer on rows: full precision for the filters, HardTanh for the input."""

    @staticmethod
    def forward(context: Any, x: Any, w: Any) -> Any:
        context.save_for_backward(x, w)
        return -(x[:, None, :] - w[None]).abs().sum(2)

    @staticmethod
    def backward(context: Any, grad: Any) -> Any:
        x, w = context.saved_tensors
        difference = x[:, None, :] - w[None]
        return (
            (-difference).clamp(-1, 1).mul(grad[:, :, None]).sum(1),
            difference.mul(grad[:, :, None]).sum(0),
        )


def adder2d(x: Any, w: Any, rule: Any = Adder.apply, **window: Any) -> Any:
    """Return the adder layer of images by rows of patches; `rule` is a function of rows and filters."""
    columns = torch.nn.functional.unfold(x, w.shape[2:], **window)  # (N, K, places)
    rows = columns.transpose(1, 2).reshape(-1, columns.shape[1])
    size = [
        (side + 2 * window.get("padding", (0, 0))[i] - window.get("dilation", (1, 1))[i] * (k - 1) - 1)
        // window.get("stride", (1, 1))[i]
        + 1
        for i, (side, k) in enumerate(zip(x.shape[2:], w.shape[2:], strict=True))
    ]
    y = rule(rows, w.reshape(w.shape[0], -1)).reshape(x.shape[0], -1, w.shape[0])
    return y.transpose(1, 2).reshape(x.shape[0], w.shape[0], *size)


@st.composite
def windows(draw: Any) -> dict[str, Any]:
    """Draw stride, padding and dilation."""
    return {
        "stride": draw(pairs),
        "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "dilation": draw(pairs),
    }


@given(seed=seeds, kernel=pairs, channels=st.integers(1, 3), window=windows())
def test_the_adder_layer_is_the_broadcast_expression(seed: int, kernel: Any, channels: int, window: Any) -> None:
    for side, k, d, p in zip((6, 5), kernel, window["dilation"], window["padding"], strict=True):
        assume(side + 2 * p > d * (k - 1))
    x, w = normal(seed, 2, channels, 6, 5), normal(seed + 1, 4, channels, *kernel)
    mine, filters = ma.tensor(x, requires_grad=True), ma.tensor(w, requires_grad=True)
    other, their_w = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    y, z = ma.ops.adder2d(mine, filters, **window), adder2d(other, their_w, **window)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10)
    cotangent = normal(seed + 2, *y.shape)
    y.backward(cotangent)
    z.backward(torch.tensor(cotangent))
    assert mine.grad is not None
    assert filters.grad is not None
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(filters.grad.numpy(), their_w.grad.numpy(), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("rule", ["exact", "sign"])
@given(seed=seeds, kernel=pairs)
def test_the_exact_gradient_is_that_of_cdist(rule: str, seed: int, kernel: Any) -> None:
    x, w = normal(seed, 2, 2, 5, 4), normal(seed + 1, 3, 2, *kernel)
    mine, filters = ma.tensor(x, requires_grad=True), ma.tensor(w, requires_grad=True)
    other, their_w = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    y = ma.ops.adder2d(mine, filters, weight_grad=rule, input_grad=rule)
    z = adder2d(other, their_w, rule=lambda rows, filters: -torch.cdist(rows, filters, p=1))
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10)
    cotangent = normal(seed + 2, *y.shape)
    y.backward(cotangent)
    z.backward(torch.tensor(cotangent))
    assert mine.grad is not None
    assert filters.grad is not None
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(filters.grad.numpy(), their_w.grad.numpy(), rtol=1e-10, atol=1e-11)


class TheirAdder2d(torch.nn.Module):
    """A convolution-like adder layer."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(filters, channels, 5, 5))

    def forward(self, x: Any) -> Any:
        return adder2d(x, self.weight)


class TheirAdderLinear(torch.nn.Module):
    """A fully-connected adder layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(outputs, inputs))

    def forward(self, x: Any) -> Any:
        return Adder.apply(x, self.weight)


def lenet_in_torch() -> Any:
    """Return LeNet-5-BN of adder layers in PyTorch, with the names of ours."""
    layers = torch.nn
    net = layers.Sequential()
    for number, (channels, filters) in enumerate(((1, 6), (6, 16), (16, 120)), start=1):
        net.add_module(f"conv{number}", TheirAdder2d(channels, filters))
        net.add_module(f"bn{number}", layers.BatchNorm2d(filters))
        net.add_module(f"relu{number}", layers.ReLU())
        if number < 3:
            net.add_module(f"pool{number}", layers.AvgPool2d(2))
    net.add_module("flatten", layers.Flatten())
    net.add_module("fc1", TheirAdderLinear(120, 84))
    net.add_module("bn4", layers.BatchNorm1d(84))
    net.add_module("relu4", layers.ReLU())
    net.add_module("fc2", TheirAdderLinear(84, 10))
    net.add_module("bn5", layers.BatchNorm1d(10))
    return net


def test_an_adder_lenet_is_the_same_in_pytorch() -> None:
    ma.manual_seed(0)
    net, theirs = models.lenet5_bn("adder").to("float64"), lenet_in_torch().double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in net.state_dict().items()}, strict=True)
    x, labels = normal(1, 6, 1, 32, 32), np.arange(6)
    mine, other = ma.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = net(mine), theirs(other)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-8, atol=1e-9)
    nn.CrossEntropyLoss()(y, labels).backward()
    torch.nn.CrossEntropyLoss()(z, torch.tensor(labels)).backward()
    gradients = {"input": other.grad, **{name: parameter.grad for name, parameter in theirs.named_parameters()}}
    for name, tensor in (("input", mine), *net.named_parameters()):
        wanted = gradients[name].numpy()
        assert tensor.grad is not None
        assert np.any(wanted)
        np.testing.assert_allclose(
            tensor.grad.numpy(), wanted, rtol=1e-6, atol=1e-8 * np.abs(wanted).max(), err_msg=name
        )
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(net.state_dict()[name], value.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(
        net.eval()(x).numpy(), theirs.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-8, atol=1e-9
    )
