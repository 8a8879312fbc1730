"""The residual networks for 32×32 images: shapes, names, sizes, fused operations, learning, and a twin in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import models, nn, optim
from minadder.autograd import Array
from minadder.nn.conv import Windowed

KINDS = ("conv", "adder", "binary")
every_kind = pytest.mark.parametrize("kind", KINDS)
BLOCK_LAYER = {"conv": nn.Conv2d, "adder": nn.Adder2d, "binary": nn.BinaryConv2d}


def images(count: int, seed: int = 0) -> Array:
    """Return normal images."""
    return np.random.default_rng(seed).standard_normal((count, 3, 32, 32)).astype(np.float32)


def layers(net: nn.Module) -> dict[str, Windowed]:
    """Return the weight layers by path."""
    return {path: module for path, module in net.named_modules() if isinstance(module, Windowed)}


def products(net: nn.Module) -> int:
    """Return how many pairs (input, filter entry) an image meets in all layers."""
    total = 0

    def count(module: Any, inputs: Any, output: ma.Tensor) -> None:
        nonlocal total
        total += output.size * module.weight[0].size

    handles = [layer.register_forward_hook(count) for layer in layers(net).values()]
    with ma.no_grad():
        net.eval()(np.zeros((1, 3, 32, 32), np.float32))
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize(("make", "wanted"), [(models.resnet20, 40_813_184), (models.resnet32, 69_124_736)])
@every_kind
def test_the_operations_of_an_image_are_the_direct_count(make: Any, wanted: int, kind: str) -> None:
    assert products(make(kind)) == wanted


@pytest.mark.parametrize(("depth", "count"), [(8, 9), (20, 21), (32, 33)])
@every_kind
def test_all_layers_but_the_first_and_the_last_are_of_the_kind(kind: str, depth: int, count: int) -> None:
    found = layers(models.resnet(depth, kind))
    assert len(found) == count + 1  # with the two 1×1 layers of the shortcuts
    assert type(found.pop("conv1")) is type(found.pop("fc")) is nn.Conv2d
    assert {type(layer) for layer in found.values()} == {BLOCK_LAYER[kind]}


def expected_names(blocks: int) -> list[str]:
    """Return the state's names of the authors' released network, with `weight` for its `adder`."""

    def norm(path: str) -> list[str]:
        return [f"{path}.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    names = ["conv1.weight", *norm("bn1")]
    for stage in (1, 2, 3):
        for block in range(blocks):
            path = f"layer{stage}.{block}"
            for number in (1, 2):
                names += [f"{path}.conv{number}.weight", *norm(f"{path}.bn{number}")]
            if stage > 1 and block == 0:
                names += [f"{path}.downsample.0.weight", *norm(f"{path}.downsample.1")]
    return [*names, "fc.weight", *norm("bn2")]


@every_kind
def test_the_state_has_the_names_of_the_released_network(kind: str) -> None:
    state = models.resnet20(kind).state_dict()
    assert sorted(state) == sorted(expected_names(3))
    shapes = {
        name: state[f"{name}.weight"].shape for name in ("conv1", "layer2.0.conv1", "layer2.0.downsample.0", "fc")
    }
    assert shapes == {
        "conv1": (16, 3, 3, 3),
        "layer2.0.conv1": (32, 16, 3, 3),
        "layer2.0.downsample.0": (32, 16, 1, 1),
        "fc": (10, 64, 1, 1),
    }
    filters = sum(array.size for name, array in state.items() if array.ndim == 4)
    assert filters == 432 + 6 * 2304 + (4608 + 5 * 9216 + 512) + (18432 + 5 * 36864 + 2048) + 640


def test_only_the_blocks_filters_carry_the_adders_mark() -> None:
    net = models.resnet20("adder")
    marked = {name for name, parameter in net.named_parameters() if parameter.adder}
    assert marked == {f"{path}.weight" for path in layers(net)} - {"conv1.weight", "fc.weight"}


def test_stages_halve_the_image() -> None:
    net = models.resnet20("adder")
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("conv1", "layer1", "layer2", "layer3", "avgpool", "fc"):
        getattr(net, name).register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: output.shape[1:]})
        )
    assert net(images(2)).shape == (2, 10)
    assert shapes == {
        "conv1": (16, 32, 32),
        "layer1": (16, 32, 32),
        "layer2": (32, 16, 16),
        "layer3": (64, 8, 8),
        "avgpool": (64, 1, 1),
        "fc": (10, 1, 1),
    }


@every_kind
def test_gradients_reach_every_parameter(kind: str) -> None:
    ma.manual_seed(0)
    net = models.resnet(8, kind, num_classes=3)
    nn.CrossEntropyLoss()(net(images(6)), np.arange(6) % 3).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        gradient = parameter.grad.numpy()
        assert np.isfinite(gradient).all(), name
        assert np.abs(gradient).max() > 1e-7, name


@every_kind
def test_a_few_steps_lower_the_loss(kind: str) -> None:
    ma.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 4
    inputs = (images(4)[labels] + 0.3 * rng.standard_normal((16, 3, 32, 32))).astype(np.float32)
    net = models.resnet(8, kind, num_classes=4)
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2))
    losses = []
    for _ in range(12):
        loss = nn.CrossEntropyLoss()(net(inputs), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_relu_in_one_operation_change_nothing(training: bool) -> None:
    def run(hooked: bool) -> list[Array]:
        ma.manual_seed(1)
        net = models.resnet(8, "adder").train(training)
        seen: list[str] = []
        if hooked:  # whoever looks at a layer's output gets it, so nothing is fused
            for path, module in net.named_modules():
                module.register_forward_hook(lambda module, inputs, output, path=path: seen.append(path))
        y = net(images(3))
        if hooked:
            assert {"relu", "bn1", "layer1.0.relu", "layer2.0.bn1"} <= set(seen)
        y.backward(np.random.default_rng(2).standard_normal(y.shape).astype(np.float32))
        return [y.numpy(), *(np.array(parameter.grad) for parameter in net.parameters())]

    for fused, separate in zip(run(False), run(True), strict=True):
        np.testing.assert_allclose(fused, separate, rtol=1e-4, atol=1e-5 * np.abs(separate).max())


@pytest.mark.parametrize("kind", ["adder", "binary"])
def test_converting_the_cnn_gives_the_same_net(kind: str) -> None:
    converted, built = nn.convert(models.resnet20("conv"), kind), models.resnet20(kind)
    assert repr(converted) == repr(built)
    built.load_state_dict(converted.state_dict())
    x = images(2)
    np.testing.assert_array_equal(converted.eval()(x).numpy(), built.eval()(x).numpy())


def test_the_net_survives_saving(tmp_path: Any) -> None:
    ma.manual_seed(0)
    net = models.resnet(8, "adder").eval()
    ma.save(net, tmp_path / "net.safetensors")
    ma.manual_seed(1)
    other = models.resnet(8, "adder").eval()
    ma.load(other, tmp_path / "net.safetensors")
    np.testing.assert_array_equal(net(images(2)).numpy(), other(images(2)).numpy())


def torch_twin(depth: int) -> Any:
    """Return the CNN in PyTorch, or skip without it."""
    torch = pytest.importorskip("torch")

    class Block(torch.nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(outputs)
            self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(outputs)
            self.downsample = None
            if stride == 2:
                projection = torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.downsample = torch.nn.Sequential(projection, torch.nn.BatchNorm2d(outputs))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + (x if self.downsample is None else self.downsample(x)))

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(16)
            for number, (inputs, outputs) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
                first = Block(inputs, outputs, 1 if number == 1 else 2)
                rest = [Block(outputs, outputs, 1) for _ in range((depth - 2) // 6 - 1)]
                setattr(self, f"layer{number}", torch.nn.Sequential(first, *rest))
            self.fc = torch.nn.Conv2d(64, 10, 1, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(10)

        def forward(self, x: Any) -> Any:
            x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
            return self.bn2(self.fc(torch.nn.functional.adaptive_avg_pool2d(x, 1))).flatten(1)

    return Net().double()


@pytest.mark.parametrize("training", [True, False])
def test_the_cnn_agrees_with_its_twin_in_pytorch(training: bool) -> None:
    theirs = torch_twin(20).train(training)
    torch = pytest.importorskip("torch")
    ma.manual_seed(0)
    ours = models.resnet20("conv").train(training)
    for parameter in ours.parameters():
        parameter._array = parameter._array.astype(np.float64)
    for module in ours.modules():
        for name in ("running_mean", "running_var"):
            if hasattr(module, name):
                setattr(module, name, getattr(module, name).astype(np.float64))
    state = {name: torch.tensor(array) for name, array in ours.state_dict().items()}
    theirs.load_state_dict(state)  # strict: the names agree
    x, grad = images(4).astype(np.float64), np.random.default_rng(3).standard_normal((4, 10))
    y, wanted = ours(x), theirs(torch.tensor(x))
    np.testing.assert_allclose(y.numpy(), wanted.detach().numpy(), rtol=1e-9, atol=1e-10)
    y.backward(grad)
    wanted.backward(torch.tensor(grad))
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        reference = gradients[name].grad.numpy()
        np.testing.assert_allclose(
            np.array(parameter.grad), reference, rtol=1e-7, atol=1e-9 * np.abs(reference).max() + 1e-12, err_msg=name
        )
    for name, array in ours.state_dict().items():
        np.testing.assert_allclose(array, theirs.state_dict()[name].numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: models.resnet(18),
            ValueError,
            "depth must be 6n + 2 with n of at least 1 (8, 14, 20, 26, 32, …), not 18",
        ),
        (
            lambda: models.resnet(2),
            ValueError,
            "depth must be 6n + 2 with n of at least 1 (8, 14, 20, 26, 32, …), not 2",
        ),
        (lambda: models.resnet("20"), TypeError, "depth must be an int, not '20'"),  # type: ignore[arg-type]
        (
            lambda: models.resnet20("cubic"),
            ValueError,
            "the kind of layer must be one of 'conv', 'adder', 'adder-l2', 'adder-lp', 'binary', not 'cubic'",
        ),
        (lambda: models.resnet20(num_classes=0), ValueError, "num_classes must be at least 1, not 0"),
        (
            lambda: models.resnet20()(np.zeros((1, 3, 28, 28), np.float32)),
            ValueError,
            "ResNet: the images must have shape (N, channels, 32, 32), not (1, 3, 28, 28)",
        ),
    ],
)
def test_wrong_arguments_are_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
