"""nn.convert: which layers are exchanged, what they keep, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import models, nn
from minadder.autograd import Array

KINDS = {
    "conv": (nn.Conv2d, nn.Linear),
    "adder": (nn.Adder2d, nn.AdderLinear),
    "binary": (nn.BinaryConv2d, nn.BinaryLinear),
}
WEIGHTED = tuple(layer for pair in KINDS.values() for layer in pair)
kinds = st.sampled_from(sorted(KINDS))


def images(seed: int = 0) -> Array:
    """Return a batch for LeNet-5."""
    return np.random.default_rng(seed).standard_normal((4, 1, 32, 32)).astype(np.float32)


def types(net: nn.Module) -> list[str]:
    """Return the types of the weight layers in the order of definition."""
    return [type(module).__name__ for module in net.modules() if isinstance(module, WEIGHTED)]


class Residual(nn.Module):
    """A net whose last layer is an attribute of its own, beside nested ones, as in a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, padding=1)
        self.blocks = nn.Sequential(
            nn.Sequential({"conv": nn.Conv2d(2, 2, 3, padding=1), "norm": nn.BatchNorm2d(2), "relu": nn.ReLU()}),
            nn.Sequential({"conv": nn.Conv2d(2, 2, 3, padding=1), "norm": nn.BatchNorm2d(2), "relu": nn.ReLU()}),
        )
        self.fc = nn.Linear(2, 3)

    def forward(self, x: Any) -> Any:
        x = self.conv1(x)
        for block in self.blocks:
            x = x + block(x)
        return self.fc(x.mean(axis=(2, 3)))


def test_the_first_and_the_last_layer_and_all_other_state_are_kept() -> None:
    net = models.lenet5_bn("conv")
    net(images())
    before = net.state_dict()
    twin = nn.convert(net, "adder")
    assert types(twin) == ["Conv2d", "Adder2d", "Adder2d", "AdderLinear", "Linear"]
    new = {"conv2.weight", "conv3.weight", "fc1.weight"}
    assert list(twin.state_dict()) == list(before)
    for name, array in twin.state_dict().items():
        assert array.shape == before[name].shape
        assert np.array_equal(array, before[name]) == (name not in new), name
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert twin.conv1 is not net.conv1
    assert twin(images()).shape == (4, 10)


def test_first_and_last_go_by_the_order_of_definition_at_any_depth() -> None:
    net = Residual()
    twin = nn.convert(net, "adder")
    assert isinstance(twin, Residual)
    assert types(twin) == ["Conv2d", "Adder2d", "Adder2d", "Linear"]
    assert [name for name, _ in twin.named_modules()] == [name for name, _ in net.named_modules()]
    np.testing.assert_array_equal(twin.fc.weight.numpy(), net.fc.weight.numpy())
    twin(images()).sum().backward()
    assert types(nn.convert(net, "adder", keep_first_and_last=False)) == ["Adder2d"] * 3 + ["AdderLinear"]


def test_a_shared_layer_stays_shared() -> None:
    layer = nn.Linear(3, 3)
    net = nn.Sequential(nn.Linear(3, 3), layer, nn.ReLU(), layer, nn.Linear(3, 2))
    twin = nn.convert(net, "adder")
    assert isinstance(twin, nn.Sequential)
    assert isinstance(twin[1], nn.AdderLinear)
    assert twin[1] is twin[3]
    assert types(twin) == ["Linear", "AdderLinear", "Linear"]
    whole = nn.convert(nn.Sequential(layer, layer), "adder", keep_first_and_last=False)
    assert isinstance(whole, nn.Sequential)
    assert whole[0] is whole[1]


@given(start=kinds, way=st.lists(kinds, min_size=1, max_size=3))
def test_any_kind_into_any_other(start: str, way: list[str]) -> None:
    net = models.mlp((3, 4, 4, 2), start)
    for kind in way:
        net = nn.convert(net, kind, keep_first_and_last=False)  # type: ignore[assignment]
        assert types(net) == [KINDS[kind][1].__name__] * 3
        activations = [type(module) for module in net.modules() if isinstance(module, (nn.ReLU, nn.Hardtanh))]
        assert activations == [nn.Hardtanh if kind == "binary" else nn.ReLU] * 2
        assert net(np.eye(3, dtype=np.float32)).shape == (3, 2)


def test_there_and_back_has_the_names_and_types_of_the_original() -> None:
    net = models.lenet5_bn("conv")
    for kind in ("adder", "binary"):
        again = nn.convert(nn.convert(net, kind), "conv")
        assert [(name, type(module)) for name, module in again.named_modules()] == [
            (name, type(module)) for name, module in net.named_modules()
        ]
        again.load_state_dict(net.state_dict())
        np.testing.assert_array_equal(again.eval()(images()).numpy(), net.eval()(images()).numpy())
        net.train()


def test_layers_that_are_of_the_kind_already_keep_their_weights() -> None:
    net = models.lenet5_bn("adder")
    same = nn.convert(net, "adder", keep_first_and_last=False)
    for name, array in same.state_dict().items():
        np.testing.assert_array_equal(array, net.state_dict()[name])


def test_the_window_and_the_mode_are_kept() -> None:
    layer = nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=2, groups=2)
    net = nn.Sequential(layer, nn.ReLU()).eval()
    for kind in ("adder", "binary"):
        twin = nn.convert(net, kind, keep_first_and_last=False)
        assert isinstance(twin, nn.Sequential)
        assert isinstance(twin[0], KINDS[kind][0])
        assert twin[0].weight.shape == layer.weight.shape
        assert twin[0].window() == layer.window()
        assert not any(module.training for module in twin.modules())


@pytest.mark.parametrize("kind", ["cubic", "Adder", "adder-l3", None, 3])
def test_an_unknown_kind_is_named(kind: Any) -> None:
    with pytest.raises(ValueError) as raised:
        nn.convert(nn.Sequential(nn.Linear(1, 1)), kind)
    assert str(raised.value) == (
        f"the kind of layer must be one of 'conv', 'adder', 'adder-l2', 'adder-lp', 'binary', not {kind!r}"
    )


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)),
            "Sequential has 2 weight layer(s), none of them to exchange: the first and the last are kept; pass "
            "keep_first_and_last=False",
        ),
        (nn.Sequential(nn.ReLU()), "Sequential has 0 weight layer(s), none of them to exchange"),
    ],
)
def test_a_net_with_nothing_to_exchange_is_named(net: nn.Module, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        nn.convert(net, "adder")
    assert str(raised.value) == message
