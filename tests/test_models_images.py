"""LeNet++, VGG-small, ResNet-18 and ResNet-50: shapes, sizes, names, operations, learning; and networks by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import models, nn, optim
from minadder.autograd import Array
from minadder.models.networks import NETWORKS
from minadder.models.residual import BasicBlock, Bottleneck
from minadder.nn.batchnorm import BatchNorm
from minadder.nn.conv import Windowed
from minadder.nn.convert import KINDS
from minadder.nn.linear import FullyConnected

every_kind = pytest.mark.parametrize("kind", KINDS)

SMALL: dict[str, tuple[Callable[[str], nn.Module], tuple[int, ...]]] = {
    "lenetpp": (lambda kind: models.lenetpp(kind, num_classes=4), (1, 32, 32)),
    "vgg-small": (lambda kind: models.vgg_small(kind, num_classes=4), (3, 32, 32)),
    "resnet18": (lambda kind: models.resnet18(kind, num_classes=4), (3, 64, 64)),
    "resnet50": (lambda kind: models.resnet50(kind, num_classes=4), (3, 64, 64)),
    "resnet50, stride at 1×1": (lambda kind: models.resnet50(kind, 4, stride_at="1x1"), (3, 64, 64)),
}
"""Each network for four classes, with images that are small enough for a test."""

every_net = pytest.mark.parametrize(("make", "shape"), SMALL.values(), ids=SMALL)


def batch(shape: tuple[int, ...], count: int = 2, seed: int = 0) -> Array:
    """Return normal inputs."""
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def layers(net: nn.Module) -> dict[str, Any]:
    """Return the weight layers by path."""
    return {path: module for path, module in net.named_modules() if isinstance(module, (Windowed, FullyConnected))}


def shapes(net: nn.Module, x: Array) -> dict[str, tuple[int, ...]]:
    """Return the shape, without the batch, of what each module makes of a batch."""
    found: dict[str, tuple[int, ...]] = {}
    for path, module in net.named_modules():
        module.register_forward_hook(lambda module, inputs, output, path=path: found.update({path: output.shape[1:]}))  # type: ignore[misc]
    with ma.no_grad():
        net.eval()(x)
    return found


def products(net: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Return how many pairs (input, filter entry) an image meets in each layer."""
    sizes = shapes(net, np.zeros((1, *shape), np.float32))
    return {path: int(np.prod(sizes[path])) * layer.weight[0].size for path, layer in layers(net).items()}


def parameters(net: nn.Module) -> int:
    """Return the number of learnt numbers."""
    return sum(parameter.size for parameter in net.parameters())


@every_kind
@every_net
def test_gradients_reach_every_parameter_and_two_steps_move_them(make: Any, shape: tuple[int, ...], kind: str) -> None:
    ma.manual_seed(0)
    net = make(kind)
    inputs, labels = batch(shape, 6), np.arange(6) % 4
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2))
    before = {name: parameter.numpy().copy() for name, parameter in net.named_parameters()}
    for _ in range(2):
        logits = net(inputs)
        assert logits.shape == (6, 4)
        loss = nn.CrossEntropyLoss()(logits, labels)
        assert np.isfinite(loss.item())
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            gradient = parameter.grad.numpy()
            assert np.isfinite(gradient).all(), name
            assert np.abs(gradient).max() > 0, name
        optimizer.step()
    for name, parameter in net.named_parameters():
        assert np.isfinite(parameter.numpy()).all(), name
        assert not np.array_equal(parameter.numpy(), before[name]), name


@pytest.mark.parametrize(
    ("name", "kind", "steps"),
    [
        ("lenetpp", "conv", 10),
        ("lenetpp", "adder", 10),
        ("vgg-small", "conv", 6),
        ("vgg-small", "adder", 6),
        ("resnet18", "conv", 10),
        pytest.param("resnet18", "adder", 40, marks=pytest.mark.slow),
    ],
)
def test_a_few_steps_at_the_papers_learning_rate_lower_the_loss(name: str, kind: str, steps: int) -> None:
    make, shape = SMALL[name]
    ma.manual_seed(0)
    net = make(kind)
    labels = np.arange(12) % 4
    inputs = (batch(shape, 4)[labels] + 0.3 * batch(shape, 12, seed=1)).astype(np.float32)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2))
    losses = []
    for _ in range(steps):
        loss = nn.CrossEntropyLoss()(net(inputs), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]


@every_kind
@pytest.mark.parametrize("name", ["vgg-small", "resnet18", "resnet50"])
def test_all_layers_but_the_first_and_the_last_are_of_the_kind(name: str, kind: str) -> None:
    found = list(layers(SMALL[name][0](kind)).values())
    assert type(found[0]) is nn.Conv2d
    assert type(found[-1]) in (nn.Conv2d, nn.Linear)
    assert {type(layer) for layer in found[1:-1]} == {KINDS[kind].windowed}


@every_kind
def test_all_layers_of_lenetpp_are_of_the_kind(kind: str) -> None:
    found = list(layers(models.lenetpp(kind)).values())
    assert [type(layer) for layer in found[:6]] == [KINDS[kind].windowed] * 6
    assert type(found[6]) is KINDS[kind].fully_connected
    assert type(found[7]) is (nn.Linear if kind == "binary" else KINDS[kind].fully_connected)


@every_net
def test_every_adder_layer_has_a_batch_norm_behind_it(make: Any, shape: tuple[int, ...]) -> None:
    modules = list(make("adder").modules())
    behind = [after for layer, after in itertools.pairwise(modules) if isinstance(layer, (nn.Adder2d, nn.AdderLinear))]
    assert len(behind) >= 5
    assert all(isinstance(module, BatchNorm) for module in behind)


@pytest.mark.parametrize("name", ["vgg-small", "resnet18", "resnet50"])
def test_converting_the_cnn_gives_the_adder_net(name: str) -> None:
    make, shape = SMALL[name]
    converted, built = nn.convert(make("conv"), "adder"), make("adder")
    assert repr(converted) == repr(built)
    built.load_state_dict(converted.state_dict())
    x = batch(shape)
    np.testing.assert_array_equal(converted.eval()(x).numpy(), built.eval()(x).numpy())


def test_lenetpp_makes_two_features() -> None:
    net = models.lenetpp("adder")
    assert net.features(batch((1, 32, 32), 3)).shape == (3, 2)
    found = shapes(net, batch((1, 32, 32)))
    assert [found[f"features.{name}"] for name in ("conv1", "pool1", "conv4", "pool2", "conv6", "pool3", "fc")] == [
        (32, 32, 32),
        (32, 16, 16),
        (64, 16, 16),
        (64, 8, 8),
        (128, 8, 8),
        (128, 4, 4),
        (2,),
    ]
    weights = [layer.weight.shape for layer in layers(net).values()]
    channels = (1, 32, 32, 64, 64, 128, 128)
    assert weights == [
        *((after, before, 5, 5) for before, after in itertools.pairwise(channels)),
        (2, 2048),
        (10, 2),
    ]


def test_the_logits_of_lenetpp_come_from_its_features_alone() -> None:
    ma.manual_seed(0)
    net = models.lenetpp("adder").eval()
    x = batch((1, 32, 32), 3)
    np.testing.assert_array_equal(net.classifier(net.features(x)).numpy(), net(x).numpy())


def test_vgg_small_halves_the_image_three_times() -> None:
    found = shapes(models.vgg_small("adder"), batch((3, 32, 32)))
    assert [found[name] for name in ("conv1", "conv2", "pool1", "conv4", "pool2", "conv6", "pool3", "fc")] == [
        (128, 32, 32),
        (128, 32, 32),
        (128, 16, 16),
        (256, 16, 16),
        (256, 8, 8),
        (512, 8, 8),
        (512, 4, 4),
        (10,),
    ]


def test_the_stages_of_resnet18_halve_the_image() -> None:
    found = shapes(models.resnet18("adder", num_classes=10), batch((3, 224, 224), 1))
    stages = [found[name] for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4", "fc")]
    assert stages == [
        (64, 112, 112),
        (64, 56, 56),
        (64, 56, 56),
        (128, 28, 28),
        (256, 14, 14),
        (512, 7, 7),
        (10, 1, 1),
    ]


@pytest.mark.parametrize(
    ("make", "shape", "total", "between"),
    [
        # the papers: 0.65 G
        (models.vgg_small, (3, 32, 32), 607_600_640, 603_979_776),
        # the papers: 1.8 G
        (models.resnet18, (3, 224, 224), 1_814_073_344, 1_695_547_392),
        # torchvision: 4.09 G
        (models.resnet50, (3, 224, 224), 4_089_184_256, 3_969_122_304),
        # the papers: 3.9 G, and 7.7 G additions in the adder net
        (lambda kind: models.resnet50(kind, stride_at="1x1"), (3, 224, 224), 3_857_973_248, 3_737_911_296),
    ],
    ids=["vgg-small", "resnet18", "resnet50", "resnet50, stride at 1×1"],
)
def test_the_operations_of_an_image_are_the_direct_count(
    make: Any, shape: tuple[int, ...], total: int, between: int
) -> None:
    counts = list(products(make("conv"), shape).values())
    assert (sum(counts), sum(counts[1:-1])) == (total, between)


@every_kind
@pytest.mark.parametrize(
    ("make", "torchvision", "filters"), [(models.resnet18, 11_689_512, 512), (models.resnet50, 25_557_032, 2048)]
)
def test_the_parameters_are_torchvisions_but_for_the_last_layer(
    make: Any, torchvision: int, filters: int, kind: str
) -> None:
    net = make(kind)
    assert net.fc.weight.shape == (1000, filters, 1, 1)
    # in place of the last layer's bias stands a batch norm, with a scale and a shift for each class
    assert parameters(net) == torchvision - 1000 + 2 * 1000


@pytest.mark.parametrize(
    ("make", "block", "counts"),
    [(models.resnet18, BasicBlock, (2, 2, 2, 2)), (models.resnet50, Bottleneck, (3, 4, 6, 3))],
    ids=["resnet18", "resnet50"],
)
def test_the_state_has_torchvisions_names(make: Any, block: type, counts: tuple[int, ...]) -> None:
    def norm(path: str) -> list[str]:
        return [f"{path}.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    names = ["conv1.weight", *norm("bn1")]
    for stage, count in enumerate(counts, start=1):
        for number in range(count):
            path = f"layer{stage}.{number}"
            for layer in (1, 2, 3) if block is Bottleneck else (1, 2):
                names += [f"{path}.conv{layer}.weight", *norm(f"{path}.bn{layer}")]
            if number == 0 and (stage > 1 or block is Bottleneck):
                names += [f"{path}.downsample.0.weight", *norm(f"{path}.downsample.1")]
    net = make("adder", num_classes=3)
    assert sorted(net.state_dict()) == sorted([*names, "fc.weight", *norm("bn2")])
    assert all(isinstance(one, block) for stage in (net.layer1, net.layer2, net.layer3, net.layer4) for one in stage)


@pytest.mark.parametrize(("stride_at", "strides"), [("3x3", (1, 2)), ("1x1", (2, 1))])
def test_the_stride_of_a_bottleneck_sits_where_it_is_said(stride_at: str, strides: tuple[int, int]) -> None:
    first = models.resnet50("adder", 3, stride_at=stride_at).layer2[0]
    assert (first.conv1.stride, first.conv2.stride) == tuple((stride, stride) for stride in strides)
    assert first.downsample[0].stride == (2, 2)


def torch_resnet18() -> Any:
    """Return ResNet-18 in PyTorch, written down plainly, or skip without it."""
    torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

    class Block(torch.nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(outputs)
            self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(outputs)
            self.downsample = None
            if stride == 2:
                change = torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.downsample = torch.nn.Sequential(change, torch.nn.BatchNorm2d(outputs))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + (x if self.downsample is None else self.downsample(x)))

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(64)
            for number, (inputs, outputs) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), start=1):
                blocks = Block(inputs, outputs, 1 if number == 1 else 2), Block(outputs, outputs, 1)
                setattr(self, f"layer{number}", torch.nn.Sequential(*blocks))
            self.fc = torch.nn.Conv2d(512, 5, 1, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(5)

        def forward(self, x: Any) -> Any:
            x = torch.nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.bn2(self.fc(torch.nn.functional.adaptive_avg_pool2d(x, 1))).flatten(1)

    return Net()


def test_resnet18_agrees_with_its_twin_in_pytorch() -> None:
    theirs = torch_resnet18().double()
    torch = pytest.importorskip("torch")
    ma.manual_seed(0)
    ours = models.resnet18("conv", num_classes=5).to("float64")
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})  # strict
    x = batch((3, 38, 45), 4).astype(np.float64)
    y, wanted = ours(x), theirs(torch.tensor(x))
    np.testing.assert_allclose(y.numpy(), wanted.detach().numpy(), rtol=1e-8, atol=1e-9)
    grad = np.random.default_rng(3).standard_normal((4, 5))
    y.backward(grad)
    wanted.backward(torch.tensor(grad))
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        reference = gradients[name].grad.numpy()
        np.testing.assert_allclose(
            np.array(parameter.grad), reference, rtol=1e-6, atol=1e-8 * np.abs(reference).max(), err_msg=name
        )


@every_kind
@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network.input_shape[1] == 32])
def test_networks_are_built_by_name(name: str, kind: str) -> None:
    network = NETWORKS[name]
    assert models.build(name, kind)(batch(network.input_shape)).shape == (2, 10)
    shape = (2, *network.input_shape[1:])
    assert models.build(name, kind, num_classes=3, input_shape=shape)(batch(shape)).shape == (2, 3)


def test_the_imagenet_networks_are_built_by_name() -> None:
    for name, wanted in (("resnet18", models.resnet18), ("resnet50", models.resnet50)):
        assert repr(models.build(name, "adder")) == repr(wanted("adder"))
        assert repr(models.build(name, "conv", 7, (1, 224, 224))) == repr(wanted("conv", 7, 1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: models.lenetpp("cubic"), ValueError, "the kind of layer must be one of 'conv', 'adder', "),
        (lambda: models.vgg_small("cubic"), ValueError, "the kind of layer must be one of 'conv', 'adder', "),
        (lambda: models.resnet18("cubic"), ValueError, "the kind of layer must be one of 'conv', 'adder', "),
        (lambda: models.vgg_small(num_classes=0), ValueError, "num_classes must be at least 1, not 0"),
        (lambda: models.resnet50(num_classes=0), ValueError, "num_classes must be at least 1, not 0"),
        (lambda: models.lenetpp(in_channels=0), ValueError, "in_channels must be at least 1, not 0"),
        (lambda: models.resnet50(stride_at="5x5"), ValueError, "stride_at must be one of '3x3', '1x1', not '5x5'"),
        (
            lambda: models.lenetpp()(np.zeros((1, 1, 28, 28), np.float32)),
            ValueError,
            "LeNetPP: the images must have shape (N, channels, 32, 32), not (1, 1, 28, 28)",
        ),
        (
            lambda: models.resnet18(num_classes=2)(np.zeros((3, 64, 64), np.float32)),
            ValueError,
            "ImageNetResNet: the images must have shape (N, channels, height, width), not (3, 64, 64)",
        ),
        (lambda: models.build("alexnet"), ValueError, "the network must be one of 'lenet5-bn', 'lenetpp', 'mlp', "),
        (
            lambda: models.build("resnet20", input_shape=(3, 224, 224)),
            ValueError,
            "resnet20 takes images of 32×32, not 224×224: for those there are mlp, resnet18, resnet50",
        ),
        (
            lambda: models.build("resnet20", input_shape=(100,)),
            ValueError,
            "resnet20 takes images of 32×32, not shape (100,): for those there is mlp",
        ),
    ],
)
def test_wrong_arguments_are_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value).startswith(message)
