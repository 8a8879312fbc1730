"""Modules and layers: names, state, modes, messages."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minadder as ma
from minadder import models, nn

KINDS = ("conv", "adder", "binary")


def images(count=4, size=32, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 1, size, size)).astype(np.float32)


class Shared(nn.Module):
    """Uses one layer under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.again = self.first
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(self.again(self.first(x)))


def test_parameters_come_once_and_names_are_paths():
    net = Shared()
    assert [name for name, _ in net.named_parameters()] == ["first.weight", "first.bias", "norm.weight", "norm.bias"]
    assert [name for name, _ in net.named_buffers()] == [
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    ]
    assert [name for name, _ in net.named_modules()] == ["", "first", "norm"]


def test_train_and_eval_reach_every_module():
    net = models.lenet5_bn()
    assert not any(module.training for module in net.eval().modules())
    assert all(module.training for module in net.train().modules())


def test_state_goes_round():
    net, other = models.lenet5_bn(), models.lenet5_bn()
    net(images())
    other.load_state_dict(net.state_dict())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
    state = net.state_dict()
    state["conv1.weight"][:] = 0
    assert np.any(net.state_dict()["conv1.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bias"), r"missing \['bias'\]"),
        (lambda s: s.update(extra=np.zeros(1)), r"unknown \['extra'\]"),
        (lambda s: s.update(bias=np.zeros(4, np.float32)), r"bias of Linear has shape \(3,\).*\(4,\)"),
        (lambda s: s.update(bias=np.zeros(3)), "float32.*float64"),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_changes_nothing(change, message):
    net = nn.Linear(2, 3)
    before = net.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        net.load_state_dict(state)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_an_error_names_the_layers_path_and_the_shapes():
    net = nn.Sequential({"body": nn.Sequential(nn.ReLU(), nn.AdderLinear(4, 2)), "head": nn.ReLU()})
    with pytest.raises(ValueError, match=r"^Sequential\.body\.1 \(AdderLinear\): .*size 4.*\(2, 4\).*\(5, 3\)$"):
        net(np.zeros((5, 3), np.float32))
    with pytest.raises(ValueError, match=r"conv1 \(Adder2d\): the input of shape \(1, 3, 32, 32\) has 3 channels"):
        models.lenet5_bn()(np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(TypeError, match=r"conv1 \(Adder2d\): .*array of int64.*ma\.tensor"):
        models.lenet5_bn()(np.zeros((1, 1, 32, 32), np.int64))
    with pytest.raises(TypeError, match=r"conv1 \(Adder2d\): the input is float64 and the filters are float32"):
        models.lenet5_bn()(np.zeros((1, 1, 32, 32)))


def test_a_module_without_forward_says_so():
    with pytest.raises(TypeError, match=r"Module has no forward method"):
        nn.Module()(1)


def test_hooks_see_the_call_until_removed():
    net, seen = nn.ReLU(), []
    handle = net.register_forward_hook(lambda module, inputs, output: seen.append((module, inputs, output)))
    x = ma.tensor([-1.0])
    y = net(x)
    handle.remove()
    handle.remove()
    net(x)
    assert len(seen) == 1
    assert seen[0][0] is net
    assert seen[0][1] == (x,)
    assert seen[0][2] is y


def test_to_float64_and_back():
    net = models.mlp((2, 3, 1)).to("float64")
    assert {array.dtype for name, array in net.state_dict().items() if "num_batches" not in name} == {
        np.dtype("float64")
    }
    net(np.zeros((4, 2))).sum().backward()
    with pytest.raises(TypeError, match="float16"):
        net.to("float16")


def test_a_deep_copy_is_independent():
    net = models.mlp((2, 3, 1))
    other = copy.deepcopy(net)
    with ma.no_grad():
        other.fc1.weight += 1
    assert not np.array_equal(net.fc1.weight.numpy(), other.fc1.weight.numpy())
    assert other.fc1.weight.adder


def test_repr_shows_the_tree():
    assert repr(models.mlp((2, 3, 1))) == (
        "Sequential(\n"
        "  (flatten): Flatten(start_dim=1, end_dim=-1)\n"
        "  (fc1): AdderLinear(2, 3, weight_grad='full_precision', input_grad='hardtanh')\n"
        "  (bn1): BatchNorm1d(3, eps=1e-05, momentum=0.1)\n"
        "  (relu1): ReLU()\n"
        "  (fc2): AdderLinear(3, 1, weight_grad='full_precision', input_grad='hardtanh')\n"
        "  (bn2): BatchNorm1d(1, eps=1e-05, momentum=0.1)\n"
        ")"
    )
    layer = nn.Conv2d(4, 6, (3, 5), padding=1, dilation=2, groups=2)
    assert repr(layer) == (
        "Conv2d(4, 6, kernel_size=(3, 5), stride=(1, 1), padding=(1, 1), dilation=(2, 2), groups=2, bias=True)"
    )


def test_sequential_takes_modules_and_good_names():
    net = nn.Sequential(nn.ReLU(), nn.Tanh())
    assert len(net) == 2
    assert isinstance(net[1], nn.Tanh)
    with pytest.raises(TypeError, match="'0' is int"):
        nn.Sequential(3)
    for name in ("a.b", "training", "forward"):
        with pytest.raises(ValueError, match="cannot name a module"):
            nn.Sequential({name: nn.ReLU()})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(0, 1), ValueError, "in_features must be at least 1, not 0"),
        (lambda: nn.AdderLinear(2, 1.5), TypeError, "out_features must be an int, not 1.5"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, r"groups \(=2\) must divide in_channels \(=3\)"),
        (lambda: nn.Adder2d(1, 1, 0), ValueError, "kernel_size must be at least 1, not 0"),
        (lambda: nn.Adder2d(1, 1, 3, stride=(1, 0)), ValueError, r"stride must be at least 1, not \(1, 0\)"),
        (lambda: nn.Adder2d(1, 1, 3, padding=-1), ValueError, "padding must be at least 0, not -1"),
        (lambda: nn.Adder2d(1, 1, (3, 3, 3)), TypeError, r"kernel_size must be an int or a pair.*\(3, 3, 3\)"),
        (lambda: nn.Adder2d(1, 1, True), TypeError, "True"),
        (lambda: nn.Adder2d(1, 1, 3, weight_grad="l3"), ValueError, "weight_grad must be one of.*'l3'"),
        (lambda: nn.BatchNorm2d(3, eps=0), ValueError, "eps must be above 0, not 0"),
        (lambda: nn.BatchNorm1d(3, momentum=2), ValueError, r"momentum must lie in \(0, 1\], not 2"),
        (lambda: nn.CrossEntropyLoss(reduction="max"), ValueError, "reduction must be one of.*'max'"),
        (lambda: models.lenet5_bn("cubic"), ValueError, "must be one of 'conv', 'adder', 'binary', not 'cubic'"),
        (lambda: models.mlp((3,)), ValueError, r"not \(3,\)"),
    ],
)
def test_wrong_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Adder2d(1, 1, 5)(images(1, 4)), "spans 5×5.*padded input is only 4×4"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((1, 3), np.float32)), r"more than 1 value per channel.*\(1, 3\)"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 3), np.float32)), r"4 axes; its shape is \(2, 3\)"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 4, 1, 1), np.float32)), r"has 4 channels.*\(3,\)"),
        (lambda: nn.MaxPool2d(3, padding=2)(images(1, 8)), "padding .*at most half of kernel_size"),
        (lambda: nn.CrossEntropyLoss()(np.zeros((2, 3), np.float32), [0, 3]), "label 3 is out of range.*0 to 2"),
        (lambda: nn.CrossEntropyLoss()(np.zeros((2, 3), np.float32), [0]), r"labels of shape \(2,\), not \(1,\)"),
        (lambda: nn.BCEWithLogitsLoss()(np.zeros(2, np.float32), [0.0, 1.5]), "target 1.5 is out of range"),
    ],
)
def test_wrong_inputs_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_batch_norm_in_evaluation_takes_a_single_example():
    layer = nn.BatchNorm1d(3).eval()
    assert layer(np.ones((1, 3), np.float32)).shape == (1, 3)
    assert layer.num_batches_tracked == 0


@pytest.mark.parametrize("kind", KINDS)
def test_lenet_has_the_papers_layers_and_learns_in_each(kind):
    ma.manual_seed(0)
    net = models.lenet5_bn(kind)
    shapes = [parameter.shape for parameter in net.parameters() if parameter.ndim > 1]
    assert shapes == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 16, 5, 5), (84, 120), (10, 84)]
    weights = 150 + 2400 + 48000 + 10080 + 840
    norms = 2 * (6 + 16 + 120 + 84)
    assert sum(parameter.size for parameter in net.parameters()) == weights + norms + (10 if kind == "conv" else 20)
    nn.CrossEntropyLoss()(net(images()), np.arange(4)).backward()
    for name, parameter in net.named_parameters():
        assert np.isfinite(parameter.grad.numpy()).all(), name
        assert np.any(parameter.grad.numpy()), name
    net.eval()
    np.testing.assert_array_equal(net(images()).numpy(), net(images()).numpy())


def test_only_adder_filters_carry_the_mark():
    marked = [name for name, parameter in models.lenet5_bn("adder").named_parameters() if parameter.adder]
    assert marked == [f"{name}.weight" for name in ("conv1", "conv2", "conv3", "fc1", "fc2")]
    assert not any(parameter.adder for parameter in models.lenet5_bn("conv").parameters())


def test_convert_keeps_the_first_and_last_layer_and_the_rest_of_the_state():
    net = models.lenet5_bn("conv")
    net(images())
    before = net.state_dict()
    twin = nn.convert(net, "adder")
    kinds = [
        type(module).__name__ for module in twin if hasattr(module, "weight") and "Batch" not in type(module).__name__
    ]
    assert kinds == ["Conv2d", "Adder2d", "Adder2d", "AdderLinear", "Linear"]
    changed = {"conv2.weight", "conv3.weight", "fc1.weight"}
    for name, array in twin.state_dict().items():
        assert np.array_equal(array, before[name]) == (name not in changed), name
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert twin(images()).shape == (4, 10)


def test_convert_goes_everywhere_and_back():
    net = models.lenet5_bn("conv")
    binary = nn.convert(net, "binary")
    assert sum(isinstance(module, nn.Hardtanh) for module in binary) == 4
    again = nn.convert(binary, "conv")
    assert [type(module) for module in again] == [type(module) for module in net]
    whole = nn.convert(nn.Sequential(nn.Linear(2, 2)), "adder", keep_first_and_last=False)
    assert isinstance(whole[0], nn.AdderLinear)


def test_convert_keeps_the_window():
    layer = nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=2, groups=2)
    twin = nn.convert(nn.Sequential(layer), "adder", keep_first_and_last=False)[0]
    assert twin.weight.shape == layer.weight.shape
    assert twin.window() == layer.window()


def test_convert_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="'cubic'"):
        nn.convert(nn.Sequential(nn.Linear(1, 1)), "cubic")
    with pytest.raises(ValueError, match=r"2 weight layer\(s\), none of them to exchange.*keep_first_and_last=False"):
        nn.convert(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), "adder")
