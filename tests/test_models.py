"""The papers' networks: their layers, their sizes, and that each learns in each kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import models, nn
from minadder.autograd import Array

KINDS = ("conv", "adder", "binary")
every_kind = pytest.mark.parametrize("kind", KINDS)

NETS: dict[str, tuple[Callable[[str], nn.Sequential], tuple[int, ...]]] = {
    "lenet5_bn": (models.lenet5_bn, (1, 32, 32)),
    "lenet5_bn of 3 channels": (lambda kind: models.lenet5_bn(kind, num_classes=3, in_channels=3), (3, 32, 32)),
    "mlp": (lambda kind: models.mlp((6, 5, 4), kind), (6,)),
    "mlp of images": (lambda kind: models.mlp((12, 5, 3), kind), (3, 2, 2)),
    "mlp of one layer": (lambda kind: models.mlp((6, 3), kind), (6,)),
}
every_net = pytest.mark.parametrize(("make", "shape"), NETS.values(), ids=NETS)


def batch(shape: tuple[int, ...], count: int = 2) -> Array:
    """Return normal inputs."""
    return np.random.default_rng(0).standard_normal((count, *shape)).astype(np.float32)


@pytest.mark.parametrize("count", [2, 5])
@every_kind
@every_net
def test_forward_and_backward_reach_every_parameter(make: Any, shape: tuple[int, ...], kind: str, count: int) -> None:
    ma.manual_seed(1)
    net = make(kind)
    logits = net(batch(shape, count))
    assert logits.shape[0] == count
    nn.CrossEntropyLoss()(logits, np.arange(count) % logits.shape[1]).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert np.isfinite(parameter.grad.numpy()).all(), name
        # Of two values batch norm makes ±1 whatever they are, and lets (almost) no gradient through.
        if count > 2:
            assert np.abs(parameter.grad.numpy()).max() > 1e-6, name


@every_kind
@every_net
def test_evaluation_is_deterministic_and_learns_nothing(make: Any, shape: tuple[int, ...], kind: str) -> None:
    net = make(kind)
    net(batch(shape, 4))
    before = net.eval().state_dict()
    x = batch(shape, 3)
    together = net(x).numpy()
    np.testing.assert_array_equal(net(x).numpy(), together)
    one_by_one = np.concatenate([net(x[i : i + 1]).numpy() for i in range(3)])
    np.testing.assert_allclose(one_by_one, together, rtol=1e-4, atol=1e-5)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@every_kind
@every_net
def test_one_seed_gives_the_same_net_and_the_same_gradients(make: Any, shape: tuple[int, ...], kind: str) -> None:
    def run() -> list[Array]:
        ma.manual_seed(3)
        net = make(kind)
        y = net(batch(shape, 4))
        y.backward(batch(y.shape[1:], 4))
        gradients = [np.array(parameter.grad) for parameter in net.parameters()]
        return [y.numpy(), *net.state_dict().values(), *gradients]

    for one, other in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(one, other)


@every_kind
def test_lenet_has_the_papers_layers(kind: str) -> None:
    net = models.lenet5_bn(kind)
    weights = [module.weight.shape for module in net if hasattr(module, "weight") and module.weight.ndim > 1]
    assert weights == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 16, 5, 5), (84, 120), (10, 84)]
    # 5·5·1·6 + 5·5·6·16 + 5·5·16·120 + 120·84 + 84·10 weights, two numbers for each channel that a batch norm scales
    products = 150 + 2400 + 48000 + 10080 + 840
    assert products == 61470
    scales = 2 * (6 + 16 + 120 + 84)
    last = 10 if kind == "conv" else 2 * 10  # the CNN's last bias; else batch norm on the logits
    assert sum(parameter.size for parameter in net.parameters()) == products + scales + last
    assert {"conv": 61932, "adder": 61942, "binary": 61942}[kind] == products + scales + last


@every_kind
def test_lenet_gives_the_sizes_of_the_papers_figure(kind: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    net = models.lenet5_bn(kind)
    for name, module in net.named_children():
        module.register_forward_hook(lambda module, inputs, output, name=name: shapes.update({name: output.shape}))  # type: ignore[misc]
    net(batch((1, 32, 32)))
    wanted = {
        "conv1": (6, 28, 28),
        "pool1": (6, 14, 14),
        "conv2": (16, 10, 10),
        "pool2": (16, 5, 5),
        "conv3": (120, 1, 1),
        "flatten": (120,),
        "fc1": (84,),
        "fc2": (10,),
    }
    assert {name: shapes[name] for name in wanted} == {name: (2, *shape) for name, shape in wanted.items()}
    assert list(shapes) == [name for name, _ in net.named_children()]


@every_net
def test_every_adder_layer_has_a_batch_norm_behind_it(make: Any, shape: tuple[int, ...]) -> None:
    net = list(make("adder"))
    filters = [number for number, module in enumerate(net) if isinstance(module, (nn.Adder2d, nn.AdderLinear))]
    assert filters
    behind = [net[number + 1 : number + 3] for number in filters]
    for modules in behind:
        names = [type(module).__name__ for module in modules]
        assert names[0].startswith("BatchNorm"), names


@every_kind
def test_the_activations_fit_the_kind(kind: str) -> None:
    activations = [type(module) for module in models.lenet5_bn(kind) if isinstance(module, (nn.ReLU, nn.Hardtanh))]
    assert activations == [nn.Hardtanh if kind == "binary" else nn.ReLU] * 4


def test_only_adder_filters_carry_the_mark() -> None:
    marked = [name for name, parameter in models.lenet5_bn("adder").named_parameters() if parameter.adder]
    assert marked == [f"{name}.weight" for name in ("conv1", "conv2", "conv3", "fc1", "fc2")]
    for kind in ("conv", "binary"):
        assert not any(parameter.adder for parameter in models.lenet5_bn(kind).parameters())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: models.lenet5_bn("cubic"),
            ValueError,
            "the kind of layer must be one of 'conv', 'adder', 'adder-l2', 'adder-lp', 'binary', not 'cubic'",
        ),
        (
            lambda: models.mlp((2, 1), "cubic"),
            ValueError,
            "the kind of layer must be one of 'conv', 'adder', 'adder-l2', 'adder-lp', 'binary', not 'cubic'",
        ),
        (
            lambda: models.mlp((3,)),
            ValueError,
            "mlp needs the sizes of the input and of the output at least, not (3,)",
        ),
        (lambda: models.mlp((3, 0, 1)), ValueError, "sizes[1] must be at least 1, not 0"),
        (lambda: models.lenet5_bn(num_classes=0), ValueError, "num_classes must be at least 1, not 0"),
        (lambda: models.lenet5_bn(in_channels=True), TypeError, "in_channels must be an int, not True"),
    ],
)
def test_wrong_arguments_are_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
