"""Modules: names, state, modes, hooks, copies, and messages that say where."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import models, nn
from minadder.autograd import Array


def images(count: int = 4) -> Array:
    """Return a batch for LeNet-5."""
    return np.random.default_rng(0).standard_normal((count, 1, 32, 32)).astype(np.float32)


def same_state(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two modules have the same names, shapes, dtypes and bits."""
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(
        array.dtype == second[name].dtype and np.array_equal(array, second[name]) for name, array in first.items()
    )


class Shared(nn.Module):
    """Uses one layer under two names, and one parameter in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.again = self.first
        self.norm = nn.BatchNorm1d(2)
        self.tied = nn.Linear(2, 2, bias=False)
        self.tied.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.tied(self.norm(self.again(self.first(x))))


class Branches(nn.Module):
    """Layers at several depths, with a parameter of its own, defined in the order of their use."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 3)
        self.scale = nn.Parameter(np.full(1, 2.0, np.float32))
        self.body = nn.Sequential({"inner": nn.Sequential(nn.Linear(3, 3), nn.ReLU()), "norm": nn.BatchNorm1d(3)})
        self.head = nn.Linear(3, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(self.stem(x)) * self.scale)


def test_names_are_paths_in_the_order_of_definition() -> None:
    net = Branches()
    assert [name for name, _ in net.named_modules()] == [
        *("", "stem", "body", "body.inner", "body.inner.0", "body.inner.1", "body.norm", "head"),
    ]
    assert [name for name, _ in net.named_modules("net")][:4] == ["net", "net.stem", "net.body", "net.body.inner"]
    assert [name for name, _ in net.named_parameters()] == [
        *("scale", "stem.weight", "stem.bias", "body.inner.0.weight", "body.inner.0.bias"),
        *("body.norm.weight", "body.norm.bias", "head.weight", "head.bias"),
    ]
    assert [name for name, _ in net.named_children()] == ["stem", "body", "head"]
    assert list(net.children()) == [net.stem, net.body, net.head]
    assert len(list(net.modules())) == 8


def test_what_is_shared_comes_once_and_keeps_its_first_name() -> None:
    net = Shared()
    assert [name for name, _ in net.named_modules()] == ["", "first", "norm", "tied"]
    assert [name for name, _ in net.named_parameters()] == ["first.weight", "first.bias", "norm.weight", "norm.bias"]
    assert [name for name, _ in net.named_buffers()] == [
        *("norm.running_mean", "norm.running_var", "norm.num_batches_tracked"),
    ]
    assert "tied.weight" in net.state_dict()


def test_a_shared_parameter_adds_up_its_gradients() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data = [[3.0]]
    nn.Sequential(layer, layer)(ma.tensor([[1.0]])).backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.item() == 6


def test_train_and_eval_reach_every_module() -> None:
    net = Branches()
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.body.train()
    assert [name for name, module in net.named_modules() if module.training] == [
        *("body", "body.inner", "body.inner.0", "body.inner.1", "body.norm"),
    ]
    assert net.train(False) is net
    assert not any(module.training for module in net.modules())


def test_zero_grad_forgets_all_gradients() -> None:
    net = Branches()
    net(np.ones((4, 2), np.float32) * np.arange(4, dtype=np.float32)[:, None]).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("make", [Branches, Shared, models.lenet5_bn])
def test_state_goes_round(make: Callable[[], nn.Module]) -> None:
    net, other = make(), make()
    assert not same_state(net, other)
    net(images() if make is models.lenet5_bn else images()[:, 0, 0, :2])
    other.load_state_dict(net.state_dict())
    assert same_state(net, other)


def test_the_state_is_a_copy() -> None:
    net = Branches()
    for array in net.state_dict().values():
        array[...] = 7
    assert not any(np.all(array == 7) for array in net.state_dict().values())
    state = net.state_dict()
    net.load_state_dict(state)
    state["stem.weight"][...] = 7
    assert not np.any(net.stem.weight == 7)


def test_a_state_may_hold_tensors_and_lack_the_count_of_batches() -> None:
    net, other = Branches(), Branches()
    state: dict[str, Any] = dict(net.named_parameters())
    state.update((name, array) for name, array in net.named_buffers() if "num_batches" not in name)
    other.load_state_dict(state)
    assert same_state(net, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.bias"), "the state does not fit Branches: missing ['head.bias'], unknown nothing"),
        (lambda s: s.update(extra=np.zeros(1)), "the state does not fit Branches: missing nothing, unknown ['extra']"),
        (lambda s: s.pop("body.norm.running_mean"), "missing ['body.norm.running_mean']"),
        (
            lambda s: s.update({"head.bias": np.zeros(4, np.float32)}),
            "head.bias of Branches has shape (1,), dtype float32, but the state holds shape (4,), dtype float32",
        ),
        (
            lambda s: s.update({"head.bias": np.zeros(1)}),
            "head.bias of Branches has shape (1,), dtype float32, but the state holds shape (1,), dtype float64",
        ),
        (
            lambda s: s.update({"body.norm.running_var": np.zeros((1, 3), np.float32)}),
            "body.norm.running_var of Branches has shape (3,), dtype float32, but the state holds shape (1, 3)",
        ),
        (lambda s: s.update({"body.norm.num_batches_tracked": np.array(1.0)}), "dtype int64, but the state holds"),
        (lambda s: s.update({"head.bias": "text"}), "head.bias of Branches"),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_changes_nothing(change: Any, message: str) -> None:
    net = Branches()
    before = net.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(ValueError) as raised:
        net.load_state_dict(state)
    assert message in str(raised.value)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_an_error_names_the_path_the_layer_and_the_shapes() -> None:
    inner = nn.Sequential(nn.ReLU(), nn.AdderLinear(4, 2))
    net = nn.Sequential(OrderedDict(body=nn.Sequential({"block": inner}), head=nn.ReLU()))
    fits = "the input's last axis must have size 4, as the filters of shape (2, 4) have; the input's shape is (5, 3)"
    for module, path in (
        (inner[1], "AdderLinear"),
        (inner, "Sequential.1 (AdderLinear)"),
        (net, "Sequential.body.block.1 (AdderLinear)"),
    ):
        with pytest.raises(ValueError) as raised:
            module(np.zeros((5, 3), np.float32))
        assert str(raised.value) == f"{path}: {fits}"


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((1, 3, 32, 32), np.float32), ValueError, "the input of shape (1, 3, 32, 32) has 3 channels"),
        (np.zeros((1, 1, 32, 32), np.int64), TypeError, "the input must be a Tensor or an array of float32 or float64"),
        (np.zeros((1, 1, 32, 32)), TypeError, "the input is float64 and the filters are float32"),
        (np.zeros((1, 1, 4, 32), np.float32), ValueError, "the window spans 5×5"),
        ([[1.0]], TypeError, "the input must be a Tensor or an array of float32 or float64, not list"),
        (None, TypeError, "the input must be a Tensor or an array of float32 or float64, not NoneType"),
    ],
)
def test_an_input_that_does_not_fit_a_network(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        models.lenet5_bn()(x)
    assert str(raised.value).startswith(f"Sequential.conv1 (Adder2d): {message}")


def test_an_image_of_the_wrong_size_fails_where_it_no_longer_fits() -> None:
    with pytest.raises(ValueError, match=r"^Sequential\.conv3 \(Adder2d\): the window spans 5×5 .* only 4×4"):
        models.lenet5_bn()(np.zeros((2, 1, 28, 28), np.float32))


def test_an_error_in_a_module_that_is_no_attribute_names_its_type() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(2, 2)]

        def forward(self, x: Any) -> Any:
            return self.layers[0](x)

    with pytest.raises(ValueError, match=r"^Listed \(Linear\): the input's last axis"):
        Listed()(np.zeros((1, 3), np.float32))


def test_an_error_that_is_handled_leaves_no_trace() -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            try:
                return self.layer(x)
            except ValueError:
                return self.layer(x[:, :2])

    assert Careful()(ma.tensor([[1.0, 2.0, 3.0]])).shape == (1, 2)


def test_a_module_without_forward_says_so() -> None:
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match="Empty has no forward method: write"):
        Empty()(1)


def test_a_forgotten_super_init_does_no_harm() -> None:
    class Forgot(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.BatchNorm1d(2)

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    net = Forgot()
    assert net.training
    assert net.eval()(np.ones((1, 2), np.float32)).shape == (1, 2)
    assert not net.layer.training
    assert len(net.state_dict()) == 5
    with pytest.raises(TypeError):
        nn.ReLU(3)  # type: ignore[call-arg]


def test_hooks_see_the_call_until_removed() -> None:
    net = nn.Sequential(nn.ReLU())
    seen: list[Any] = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        seen.append((module, inputs, output))

    first, second = net[0].register_forward_hook(hook), net[0].register_forward_hook(hook)
    x = ma.tensor([-1.0])
    y = net(x)
    assert [(module, inputs) for module, inputs, _ in seen] == [(net[0], (x,))] * 2
    assert seen[0][2] is y
    first.remove()
    first.remove()
    net(x)
    assert len(seen) == 3
    second.remove()
    net(x)
    assert len(seen) == 3


def test_a_hook_may_remove_itself() -> None:
    net, seen = nn.ReLU(), []
    handle = net.register_forward_hook(lambda *_: (seen.append(1), handle.remove()))  # type: ignore[arg-type]
    other = net.register_forward_hook(lambda *_: seen.append(2))
    for _ in range(2):
        net(ma.tensor([1.0]))
    assert seen == [1, 2, 2]
    other.remove()


def test_a_hook_of_one_module_is_not_anothers() -> None:
    one, other, seen = nn.ReLU(), nn.ReLU(), []
    one.register_forward_hook(lambda *_: seen.append(1))
    other(ma.tensor([1.0]))
    assert seen == []


def test_to_float64_and_back() -> None:
    net = models.mlp((2, 3, 1))
    start = net.state_dict()
    assert net.to("float64") is net
    assert {str(a.dtype) for name, a in net.state_dict().items()} == {"float64", "int64"}
    assert net(np.ones((4, 2)) * np.arange(4)[:, None]).dtype == np.float64
    net(np.ones((4, 2)) * np.arange(4)[:, None]).sum().backward()
    assert net.fc1.weight.grad is not None
    assert net.fc1.weight.grad.dtype == np.float64
    assert net.fc1.weight.adder
    net.to(np.float32)
    assert net.fc1.weight.grad is None
    for name, parameter in net.named_parameters():
        np.testing.assert_array_equal(parameter.numpy(), start[name])
    for wrong in ("float16", "int32", "cuda"):
        with pytest.raises(TypeError, match=wrong):
            net.to(wrong)


def test_a_deep_copy_is_independent() -> None:
    net = Shared()
    net(np.eye(2, dtype=np.float32)).sum().backward()
    other = copy.deepcopy(net)
    assert other.tied.weight is other.first.weight
    assert other.again is other.first
    assert same_state(net, other)
    with ma.no_grad():
        for parameter in other.parameters():
            parameter += 1
    other.norm.running_mean += 1
    other.eval()
    assert net.training
    for (name, one), (_, copied) in zip(net.state_dict().items(), other.state_dict().items(), strict=True):
        assert name.endswith(("running_var", "tracked")) == np.array_equal(one, copied), name
    marked = copy.deepcopy(nn.AdderLinear(2, 2))
    assert marked.weight.adder


def test_a_copy_by_pickle_is_the_same() -> None:
    net = models.lenet5_bn()
    other = pickle.loads(pickle.dumps(net))
    assert same_state(net, other)
    np.testing.assert_array_equal(net.eval()(images()).numpy(), other.eval()(images()).numpy())


def test_an_error_in_a_copy_with_its_graph_says_what_to_do() -> None:
    net = nn.Linear(2, 2)
    net.last = net(np.ones((1, 2), np.float32))  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"node=Add.*detach"):
        copy.deepcopy(net)


def test_repr_shows_the_tree() -> None:
    assert repr(Branches()) == (
        "Branches(\n"
        "  (stem): Linear(2, 3, bias=True)\n"
        "  (body): Sequential(\n"
        "    (inner): Sequential(\n"
        "      (0): Linear(3, 3, bias=True)\n"
        "      (1): ReLU()\n"
        "    )\n"
        "    (norm): BatchNorm1d(3, eps=1e-05, momentum=0.1)\n"
        "  )\n"
        "  (head): Linear(3, 1, bias=True)\n"
        ")"
    )
