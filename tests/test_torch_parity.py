"""Where PyTorch has the thing, it and minadder agree: outputs, gradients, statistics, state dicts."""

from __future__ import annotations

import inspect
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minadder as ma
from minadder import models, nn

torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-11}}
dtypes = st.sampled_from(["float32", "float64"])
seeds = st.integers(0, 1000)


def assert_same(ours, theirs, dtype):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(np.asarray(ours), theirs, **TOLERANCE[dtype])


def compare(ours, theirs, x, dtype, seed):
    """Compare two modules: outputs, and the gradients of a random cotangent for the input and every parameter."""
    ours.to(dtype)
    theirs.to(getattr(torch, dtype))
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = x.astype(dtype)
    mine, other = ma.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(mine), theirs(other)
    assert_same(y, z, dtype)
    cotangent = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    y.backward(cotangent)
    z.backward(torch.tensor(cotangent))
    assert_same(mine.grad, other.grad, dtype)
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert_same(parameter.grad, gradients[name].grad, dtype)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), rtol=1e-5, atol=1e-6)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@given(data=st.data(), dtype=dtypes, seed=seeds)
def test_conv2d(data, dtype, seed):
    groups = data.draw(st.sampled_from([1, 2, 3]))
    size = st.tuples(st.integers(1, 3), st.integers(1, 3))
    options = {
        "stride": data.draw(size),
        "padding": data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "dilation": data.draw(size),
        "groups": groups,
        "bias": data.draw(st.booleans()),
    }
    kernel = data.draw(size)
    channels, filters = groups * data.draw(st.integers(1, 3)), groups * data.draw(st.integers(1, 3))
    height, width = data.draw(st.tuples(st.integers(3, 9), st.integers(3, 9)))
    for side, k, d, p in zip((height, width), kernel, options["dilation"], options["padding"], strict=True):
        assume(side + 2 * p > d * (k - 1))
    arguments = (channels, filters, kernel)
    x = normal(seed, data.draw(st.integers(1, 3)), channels, height, width)
    compare(nn.Conv2d(*arguments, **options), torch.nn.Conv2d(*arguments, **options), x, dtype, seed)


@given(
    batch=st.lists(st.integers(1, 4), max_size=2),
    inputs=st.integers(1, 6),
    bias=st.booleans(),
    dtype=dtypes,
    seed=seeds,
)
def test_linear(batch, inputs, bias, dtype, seed):
    x = normal(seed, *batch, inputs)
    compare(nn.Linear(inputs, 3, bias=bias), torch.nn.Linear(inputs, 3, bias=bias), x, dtype, seed)


@pytest.mark.parametrize("mode", ["train", "eval"])
@given(channels=st.integers(1, 5), side=st.integers(0, 4), dtype=dtypes, seed=seeds)
def test_batch_norm(mode, channels, side, dtype, seed):
    shape = (5, channels) if side == 0 else (3, channels, side, side + 1)
    kind = "BatchNorm1d" if side == 0 else "BatchNorm2d"
    ours, theirs = getattr(nn, kind)(channels), getattr(torch.nn, kind)(channels)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(normal(seed, channels)))
        theirs.bias.copy_(torch.tensor(normal(seed + 1, channels)))
        theirs.running_mean.copy_(torch.tensor(normal(seed + 2, channels)))
    getattr(ours, mode)()
    getattr(theirs, mode)()
    compare(ours, theirs, 3 * normal(seed, *shape) + 2, dtype, seed)


@given(
    kind=st.sampled_from(["BatchNorm1d", "BatchNorm2d"]),
    counts=st.lists(st.integers(2, 6), min_size=1, max_size=4),
    momentum=st.sampled_from([0.1, 0.3, 1.0]),
    eps=st.sampled_from([1e-5, 1e-2]),
    dtype=dtypes,
    seed=seeds,
)
def test_batch_norm_over_several_batches_and_then_in_evaluation(kind, counts, momentum, eps, dtype, seed):
    ours = getattr(nn, kind)(3, eps=eps, momentum=momentum).to(dtype)
    theirs = getattr(torch.nn, kind)(3, eps=eps, momentum=momentum).to(getattr(torch, dtype))
    rest = (2,) if kind == "BatchNorm1d" else (2, 1)  # (N, C, L) and (N, C, H, W)
    for mode, count in [*(("train", count) for count in counts), ("eval", 2)]:
        getattr(ours, mode)()
        getattr(theirs, mode)()
        ours.zero_grad()
        theirs.zero_grad()
        compare(ours, theirs, normal(seed + count, count, 3, *rest) * count + 1, dtype, seed)
    assert ours.num_batches_tracked == len(counts)


def test_batch_norms_running_statistics_over_several_batches():
    ours, theirs = nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    for seed in range(5):
        x = (normal(seed, 4, 3, 2, 2) * (seed + 1)).astype("float32")
        ours(x)
        theirs(torch.tensor(x))
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["MaxPool2d", "AvgPool2d"])
@given(data=st.data(), dtype=dtypes, seed=seeds)
def test_pooling(kind, data, dtype, seed):
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    options = {
        "stride": data.draw(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": tuple(data.draw(st.integers(0, k // 2)) for k in kernel),
    }
    if kind == "MaxPool2d":
        options["dilation"] = data.draw(st.integers(1, 2))
    else:
        options["count_include_pad"] = data.draw(st.booleans())
    x = normal(seed, 2, 2, data.draw(st.integers(5, 8)), data.draw(st.integers(5, 8)))
    compare(getattr(nn, kind)(kernel, **options), getattr(torch.nn, kind)(kernel, **options), x, dtype, seed)


@pytest.mark.parametrize("kind", ["ReLU", "Tanh", "Sigmoid", "Hardtanh"])
def test_activations(kind):
    compare(getattr(nn, kind)(), getattr(torch.nn, kind)(), 3 * normal(0, 50), "float64", 1)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@given(count=st.integers(1, 6), classes=st.integers(1, 6), dtype=dtypes, seed=seeds)
def test_cross_entropy(reduction, count, classes, dtype, seed):
    logits = (10 * normal(seed, count, classes)).astype(dtype)
    labels = np.random.default_rng(seed).integers(0, classes, count)
    mine, other = ma.tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    y = nn.CrossEntropyLoss(reduction)(mine, labels)
    z = torch.nn.CrossEntropyLoss(reduction=reduction)(other, torch.tensor(labels))
    assert_same(y, z, dtype)
    y.sum().backward()
    z.sum().backward()
    assert_same(mine.grad, other.grad, dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@given(dtype=dtypes, seed=seeds, scale=st.sampled_from([1, 100, 1000]))
def test_binary_cross_entropy(reduction, dtype, seed, scale):
    logits = (scale * normal(seed, 3, 2)).astype(dtype)
    targets = np.random.default_rng(seed).uniform(size=(3, 2)).astype(dtype)
    mine, other = ma.tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    y = nn.BCEWithLogitsLoss(reduction)(mine, targets)
    z = torch.nn.BCEWithLogitsLoss(reduction=reduction)(other, torch.tensor(targets))
    assert_same(y, z, dtype)
    y.sum().backward()
    z.sum().backward()
    assert_same(mine.grad, other.grad, dtype)


def lenet_in_torch():
    layers = torch.nn
    return layers.Sequential(
        OrderedDict(
            conv1=layers.Conv2d(1, 6, 5, bias=False),
            bn1=layers.BatchNorm2d(6),
            relu1=layers.ReLU(),
            pool1=layers.AvgPool2d(2),
            conv2=layers.Conv2d(6, 16, 5, bias=False),
            bn2=layers.BatchNorm2d(16),
            relu2=layers.ReLU(),
            pool2=layers.AvgPool2d(2),
            conv3=layers.Conv2d(16, 120, 5, bias=False),
            bn3=layers.BatchNorm2d(120),
            relu3=layers.ReLU(),
            flatten=layers.Flatten(),
            fc1=layers.Linear(120, 84, bias=False),
            bn4=layers.BatchNorm1d(84),
            relu4=layers.ReLU(),
            fc2=layers.Linear(84, 10),
        )
    )


NAMES = ("Linear", "Conv2d", "BatchNorm1d", "BatchNorm2d", "MaxPool2d", "AvgPool2d", "Flatten", "CrossEntropyLoss")


@pytest.mark.parametrize("name", [*NAMES, "BCEWithLogitsLoss", "ReLU", "Hardtanh", "Tanh", "Sigmoid"])
def test_arguments_have_pytorchs_names_places_and_defaults(name):
    ours, theirs = (inspect.signature(getattr(library, name)).parameters for library in (nn, torch.nn))
    for parameter in ours.values():
        assert parameter.default == theirs[parameter.name].default, parameter
    if not name.endswith("Loss"):  # there `reduction` is the fifth or the fourth argument of PyTorch's
        places = [key for key, parameter in ours.items() if parameter.kind is not parameter.KEYWORD_ONLY]
        assert places == list(theirs)[: len(places)]


def test_the_defaults_of_pooling_strides_are_the_kernels():
    for kind in ("MaxPool2d", "AvgPool2d"):
        compare(getattr(nn, kind)(3), getattr(torch.nn, kind)(3), normal(0, 2, 2, 8, 7), "float64", 0)


def test_a_lenet_goes_to_pytorch_and_back():
    x = normal(0, 8, 1, 32, 32).astype("float32")
    net, theirs = models.lenet5_bn("conv"), lenet_in_torch()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in net.state_dict().items()}, strict=True)
    assert_same(net(x), theirs(torch.tensor(x)), "float32")  # in training mode: the running statistics move too
    assert_same(net.eval()(x), theirs.eval()(torch.tensor(x)), "float32")
    other = models.lenet5_bn("conv").eval()
    assert sorted(other.state_dict()) == sorted(theirs.state_dict())
    other.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(other(x).numpy(), net(x).numpy(), rtol=1e-4, atol=1e-5)


def test_training_step_by_step_is_pytorchs():
    x, labels = normal(1, 16, 1, 32, 32), np.arange(16) % 10
    net, theirs = models.lenet5_bn("conv").to("float64"), lenet_in_torch().double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in net.state_dict().items()})
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    optimizer = ma.optim.SGD(net.parameters(), **options)
    other = torch.optim.SGD(theirs.parameters(), **options)
    for _ in range(4):
        optimizer.zero_grad()
        other.zero_grad()
        loss = nn.CrossEntropyLoss()(net(x), labels)
        their_loss = torch.nn.CrossEntropyLoss()(theirs(torch.tensor(x)), torch.tensor(labels))
        assert loss.item() == pytest.approx(their_loss.item(), rel=1e-9)
        loss.backward()
        their_loss.backward()
        optimizer.step()
        other.step()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: nn.Linear(50, 400), lambda: torch.nn.Linear(50, 400)),
        (lambda: nn.Conv2d(10, 200, 3), lambda: torch.nn.Conv2d(10, 200, 3)),
    ],
)
def test_initial_weights_have_pytorchs_range(ours, theirs):
    ma.manual_seed(0)
    torch.manual_seed(0)
    for mine, other in zip(ours().parameters(), theirs().parameters(), strict=True):
        assert np.abs(mine.numpy()).max() == pytest.approx(other.detach().abs().max().item(), rel=0.02)
        assert mine.numpy().std() == pytest.approx(other.detach().std().item(), rel=0.1)
