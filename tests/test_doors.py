"""Every public callable, with values that are none in each of its arguments: an error names the argument or the value.

A door is a callable, and arguments that it takes. Each argument in turn is replaced by each of `WRONG`.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import minadder as ma
from minadder import analysis, checks, data, models, nn, ops, optim
from minadder.tensor import Tensor

WRONG: tuple[Any, ...] = (
    None, "x", b"x", [], {}, (), [None], ["adder"], {"a": 1}, object(), int, lambda *_: None, np.array(3),
    np.array([1.5, 2.0]), np.array(["x"]), Tensor(np.ones(2, np.float32)), 2**63, -(2**63) - 1, 10**400,
    10**5000, -1, 0, 1.5, float("nan"), float("inf"), np.float64("nan"), True,
    np.True_, 1j, Decimal(1), Fraction(10**400, 3),
)  # fmt: skip
"""None of them is a name, and most are no number that any argument takes."""


class Door(NamedTuple):
    """A callable of the library, how to call it, and arguments that it takes."""

    covers: Any
    call: Callable[..., Any]
    arguments: Callable[[], dict[str, Any]]


def image(**_: Any) -> Any:
    """Return an image of two channels."""
    return np.zeros((1, 2, 4, 4), np.float32)


def rows() -> Any:
    """Return two rows of two features."""
    return np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)


def layer(kind: Any, inputs: Any = image, **arguments: Any) -> Door:
    """Return the door of a layer, which is run once when it could be made."""
    return Door(kind, lambda **given: repr(kind(**given)) and kind(**given)(inputs()), lambda: arguments)


def maker(function: Any, /, **arguments: Any) -> Door:
    """Return the door of a function that takes arguments which it does not change."""
    return Door(function, function, lambda: arguments)


def parameter(*shape: int) -> nn.Parameter:
    """Return a parameter with a gradient."""
    result = nn.Parameter(np.ones(shape, np.float32))
    result.grad = Tensor(np.ones(shape, np.float32))
    return result


def optimiser(kind: Any, **options: Any) -> tuple[Door, Door]:
    """Return the doors of an optimiser: its arguments, and the entries of a group; one step is taken."""
    return (
        Door(kind, lambda **given: kind(**given).step(), lambda: {"params": [parameter(2)], "lr": 0.1, **options}),
        Door(
            kind,
            lambda **group: kind([group, {"params": [parameter(3)]}], lr=0.1).step(),
            lambda: {"params": [parameter(2)], "lr": 0.1, **options},
        ),
    )


def net() -> nn.Sequential:
    """Return a network for points of the plane."""
    return models.mlp((2, 2, 2), "conv")


def training() -> dict[str, Any]:
    """Return the arguments of a short training."""
    made = net()
    return {
        "net": made, "train": data.xor(8), "test": data.xor(8), "epochs": 1,
        "optimizer": optim.SGD(made.parameters(), lr=0.1), "schedule": None, "p_schedule": None, "loss": None,
        "callbacks": (), "resume": None, "batch_size": None, "renew_batches": 10, "verbose": False,
    }  # fmt: skip


def load_optimiser(**state: Any) -> None:
    """Load a state into an optimiser."""
    optimizer = optim.SGD([parameter(2)], lr=0.1)
    optimizer.load_state_dict({**optimizer.state_dict(), **state})


def change_group(**options: Any) -> None:
    """Take a step with an option that was changed."""
    optimizer = optim.SGD([parameter(2)], lr=0.1)
    optimizer.param_groups[0].update(options)
    optimizer.step()


class Own(optim.SGD):
    """An optimiser of a user's own, which calls the base's __init__ itself."""

    def __init__(self, params: Any, defaults: Any) -> None:
        optim.Optimizer.__init__(self, params, defaults)


WINDOW = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
SIZES = {"in_channels": 2, "out_channels": 2, **WINDOW, "groups": 1}
RULES = {"p": 1.5, "weight_grad": "sign", "input_grad": "sign"}
FEATURES = {"in_features": 2, "out_features": 2}
KIND = {"layer": "adder", "num_classes": 2, "in_channels": 1}
POINTS = {"n": 4, "seed": 0}
DEFAULTS = {"lr": 0.1, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "adder_lr": None}
IMAGES = Tensor(image())
FILTERS = Tensor(np.ones((2, 2, 1, 1), np.float32))
SLIDE = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
WEIGHT = Tensor(np.ones((2, 2), np.float32))

INTERVAL = analysis.Box([0.0], [1.0])
SAME = analysis.SameOrZero([1.0], [[True]], [0.0])


def heights(points: Any) -> Any:
    """Return a height for each point."""
    return points[:, 0]


DOORS: tuple[Door, ...] = (
    layer(nn.Conv2d, **SIZES, bias=True),
    layer(nn.Adder2d, **SIZES, **RULES),
    layer(nn.BinaryConv2d, **SIZES),
    layer(nn.Linear, rows, **FEATURES, bias=True),
    layer(nn.AdderLinear, rows, **FEATURES, **RULES),
    layer(nn.BinaryLinear, rows, **FEATURES),
    layer(nn.BatchNorm1d, rows, num_features=2, eps=1e-5, momentum=0.1),
    layer(nn.BatchNorm2d, num_features=2, eps=1e-5, momentum=0.1),
    layer(nn.MaxPool2d, **WINDOW),
    layer(nn.AvgPool2d, kernel_size=1, stride=1, padding=0, count_include_pad=True),
    layer(nn.Flatten, start_dim=1, end_dim=-1),
    layer(nn.Dropout, p=0.5),
    Door(nn.ModuleList, lambda modules: nn.ModuleList(modules), lambda: {"modules": [nn.ReLU()]}),
    Door(nn.Sequential, lambda modules: nn.Sequential(modules), lambda: {"modules": nn.ReLU()}),
    Door(
        nn.convert, lambda **given: nn.convert(net(), **given), lambda: {"kind": "adder", "keep_first_and_last": False}
    ),
    Door(nn.BatchNorm1d, lambda relu: nn.BatchNorm1d(2)(rows(), relu=relu), lambda: {"relu": False}),
    Door(nn.AdderLinear, lambda p: nn.AdderLinear(2, 2, p=2).set_p(p), lambda: {"p": 1.5}),
    *optimiser(optim.SGD, momentum=0.5, dampening=0.0, weight_decay=0.0, nesterov=False, adder_lr=None),
    *optimiser(optim.Adam, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0, adder_lr=None),
    *optimiser(optim.AdamW, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0, adder_lr=None),
    Door(optim.Optimizer, Own, lambda: {"params": [parameter(2)], "defaults": DEFAULTS}),
    Door(optim.SGD, change_group, lambda: DEFAULTS),
    Door(optim.SGD, load_optimiser, lambda: {"arrays": {}, "groups": load_groups(), "steps": 0}),
    Door(
        optim.SGD, lambda **entries: load_optimiser(groups=[{**load_groups()[0], **entries}]), lambda: load_groups()[0]
    ),
    maker(optim.AdaptiveLR, eta=0.2),
    Door(optim.AdaptiveLR, lambda grad: optim.AdaptiveLR().scale(grad), lambda: {"grad": rows()}),
    maker(optim.IncreasedLR, factor=50.0),
    maker(optim.Cosine, final=0.0, by="step"),
    maker(optim.Polynomial, power=1.0, final=0.0, by="step"),
    maker(optim.Step, milestones=(0.5, 0.75), gamma=0.1, by="step"),
    maker(optim.LinearP, start=2.0, end=1.0, until=0.75, by="step"),
    maker(optim.Cosine().factor, fraction=0.5),
    maker(optim.LinearP().p, fraction=0.5),
    Door(
        optim.Cosine,
        lambda optimizer, fraction: optim.Cosine().set_lr(optimizer, fraction),
        lambda: {"optimizer": optim.SGD([parameter(2)], lr=0.1), "fraction": 0.5},
    ),
    maker(models.mlp, sizes=(2, 3, 2), layer="adder"),
    maker(models.lenet5_bn, **KIND, pretrained=False),
    maker(models.lenetpp, **KIND),
    maker(models.vgg_small, **KIND),
    maker(models.resnet, depth=8, **KIND),
    maker(models.resnet20, **KIND),
    maker(models.resnet32, **KIND),
    maker(models.resnet18, **KIND),
    maker(models.resnet50, **KIND, stride_at="3x3"),
    maker(models.build, name="mlp", layer="adder", num_classes=2, input_shape=(1, 2, 2)),
    Door(
        data.Dataset,
        data.Dataset,
        lambda: {"inputs": rows(), "labels": np.array([0, 1]), "num_classes": 2, "name": "n"},
    ),
    Door(data.Dataset, lambda n: data.xor(4).subset(n), lambda: {"n": 2}),
    Door(
        data.Loader,
        lambda **given: list(itertools.islice(data.Loader(**given), 2)),
        lambda: {
            "dataset": data.xor(4),
            "batch_size": 2,
            "shuffle": True,
            "drop_last": True,
            "transform": None,
            "seed": 0,
        },
    ),
    Door(data.Loader, lambda epoch: data.Loader(data.xor(4)).set_epoch(epoch), lambda: {"epoch": 1}),
    Door(
        data.RandomCrop,
        lambda **given: data.RandomCrop(**given)(image(), np.random.default_rng(0)),
        lambda: {"size": 2, "padding": 1},
    ),
    Door(
        data.RandomHorizontalFlip,
        lambda p: data.RandomHorizontalFlip(p)(image(), np.random.default_rng(0)),
        lambda: {"p": 0.5},
    ),
    *(
        maker(transform, batch=image(), rng=np.random.default_rng(0))
        for transform in (data.RandomCrop(2), data.RandomHorizontalFlip())
    ),
    maker(data.Compose, transforms=(data.RandomHorizontalFlip(),)),
    *(maker(points, **POINTS) for points in (data.unit_ball, data.two_balls, data.xor)),
    maker(data.digits, seed=0),
    maker(data.load, name="digits"),
    maker(analysis.Box, low=[0.0], high=[1.0]),
    maker(analysis.Box.cube, dimension=2, low=0.0, high=1.0),
    maker(analysis.SameOrZero, scale=[1.0], mask=[[True]], bias=[0.0]),
    maker(analysis.count, net=net(), input_shape=(2,)),
    maker(ma.summary, net=net(), input_shape=(2,)),
    maker(analysis.cycles, operations=analysis.Operations(1, 1)),
    maker(analysis.energy, operations=analysis.Operations(1, 1), numbers="int8"),
    Door(
        analysis.register_counter,
        lambda layer, counter: analysis.register_counter(layer, counter),
        lambda: {"layer": type("Own", (nn.Module,), {}), "counter": lambda *_: {}},
    ),
    maker(analysis.closed_channels, net=net(), inputs=rows()),
    maker(analysis.filter_gradient_norms, net=net(), inputs=rows(), labels=np.array([0, 1])),
    maker(analysis.separation, features=rows(), labels=np.array([0, 1])),
    maker(analysis.fit_weights, weights=rows()),
    maker(analysis.descend, x=[1.0], start=[0.0], rate=0.5, steps=1, weight_grad="sign", target=1.0),
    *(
        maker(variance, entries=2, input_variance=1.0, filter_variance=1.0)
        for variance in (analysis.adder_variance, analysis.conv_variance, analysis.misprinted_adder_variance)
    ),
    maker(analysis.output_variance, entries=2, input_variance=1.0, filter_variance=1.0, samples=4, seed=0),
    maker(analysis.random_tents, function=heights, box=INTERVAL, count=2, radius=0.5, rng=np.random.default_rng(0)),
    maker(
        analysis.fitted_tents,
        tents=analysis.Tents(np.array([[0.5]]), np.ones(1), 1.0),
        function=heights,
        box=INTERVAL,
        samples=4,
        rng=np.random.default_rng(0),
    ),
    maker(analysis.lemma2_net, centres=[[0.0]], a=[1.0], b=[0.0], box=INTERVAL, constant=0.0),
    maker(analysis.radial_sum, points=[[1.0]], centres=[[0.0]], a=[1.0], b=[0.0]),
    maker(analysis.scaled_adder, filters=[[0.0]], scale=[1.0], bias=[0.0]),
    maker(analysis.lemma5_layers, layer=SAME, box=INTERVAL),
    maker(analysis.adder_net, layers=[SAME], box=INTERVAL),
    maker(analysis.linear_net, layers=[SAME]),
    maker(analysis.staircase, function=heights, box=INTERVAL, cells=2, ramp=0.5),
    Door(ma.fit, ma.fit, training),
    Door(ma.evaluate, ma.evaluate, lambda: {"net": net(), "data": data.xor(4), "loss": None}),
    Door(ops.conv2d, lambda **given: ops.conv2d(IMAGES, FILTERS, **given), lambda: SLIDE),
    Door(ops.adder2d, lambda **given: ops.adder2d(IMAGES, FILTERS, **given), lambda: {**SLIDE, **RULES}),
    Door(ops.adder_linear, lambda **given: ops.adder_linear(WEIGHT, WEIGHT, **given), lambda: RULES),
)

ALONE = {
    nn.ReLU, nn.Hardtanh, nn.Tanh, nn.Sigmoid, nn.Identity,  # without arguments
    nn.Module, nn.Parameter, nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, nn.MSELoss,  # with tensors and operations
    optim.AdderLR, optim.Schedule, data.Examples,  # abstract
    data.cifar10, data.cifar100, data.mnist,  # without arguments
    data.mnist5k, data.imagefolder, data.ImageFolder, data.HeldImages,  # files; their tests are theirs
    analysis.Count, analysis.LayerCount, analysis.Operations, analysis.OutputVariance, analysis.Separation,
    analysis.Tents, analysis.WeightFits,  # results
}  # fmt: skip


def load_groups() -> list[dict[str, Any]]:
    """Return the groups of the state of an optimiser."""
    groups: list[dict[str, Any]] = optim.SGD([parameter(2)], lr=0.1).state_dict()["groups"]
    return groups


def name_of(door: Door) -> str:
    """Return what a test calls a door."""
    name = getattr(door.covers, "__name__", type(door.covers).__name__)
    return f"{name}({', '.join(door.arguments())})"


doors = pytest.mark.parametrize("door", DOORS, ids=[f"{i}-{name_of(door)}" for i, door in enumerate(DOORS)])


@doors
def test_the_arguments_are_those_of_the_callable(door: Door) -> None:
    door.call(**door.arguments())
    if door.call is door.covers:
        assert list(door.arguments()) == list(inspect.signature(door.covers).parameters)


@pytest.mark.parametrize("package", [nn, optim, models, data, analysis])
def test_every_public_callable_is_a_door(package: Any) -> None:
    public = {value for name in package.__all__ if callable(value := getattr(package, name))}
    assert public - {door.covers for door in DOORS} - ALONE == set()


REFUSALS = TypeError, ValueError, MemoryError, FileNotFoundError


def error_of(door: Door, arguments: dict[str, Any]) -> Exception | None:
    """Return what goes wrong with these arguments; None when nothing does."""
    try:
        door.call(**arguments)
    except Exception as error:
        return error
    return None


def is_told(error: Exception | None, argument: str, value: Any) -> bool:
    """Return whether an error is one of those that tell, and names the argument or the value.

    There may be none: some values fit some arguments. A bare object fits none.
    """
    if error is None:
        return type(value) is not object
    message = str(error)
    if isinstance(error, FileNotFoundError):
        return str(value) in message
    if argument == "function" and value is int:
        return True  # a function, and the error is its own
    name = {"initial_lr": "lr", "params": "param"}.get(argument, argument).removesuffix("s")
    shape = "shape" if isinstance(error, ValueError) else name
    told = name, shape, checks.described(value), checks.shown(value), type(value).__name__
    return isinstance(error, REFUSALS) and "unhashable" not in message and any(word in message for word in told)


@pytest.mark.filterwarnings("ignore:no batch norm")
@doors
def test_a_wrong_value_is_named(door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    wrong: list[str] = []
    for argument, value in itertools.product(door.arguments(), WRONG):
        error = error_of(door, {**door.arguments(), argument: value})
        if not is_told(error, argument, value):
            wrong.append(f"{argument}={checks.shown(value)}: {error!r}")
    assert wrong == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.Linear(2**31, 2**31),
        lambda: nn.AdderLinear(2**40, 2),
        lambda: nn.BinaryLinear(2, 2**40),
        lambda: nn.Conv2d(2**20, 2**20, 3),
        lambda: nn.Adder2d(1, 1, 2**31 - 1),
        lambda: nn.BatchNorm2d(2**40),
        lambda: models.mlp((2**40, 2), "conv"),
        lambda: models.lenet5_bn(num_classes=2**40),
        lambda: ops.adder2d(IMAGES, FILTERS, padding=2**31 - 1),
        lambda: ops.conv2d(IMAGES, FILTERS, padding=2**20),
        lambda: nn.Conv2d(2, 2, 1, padding=2**30)(IMAGES),
        lambda: data.xor(10**12),
        lambda: data.RandomCrop(4, padding=2**30)(image(), np.random.default_rng(0)),
    ],
)
def test_what_no_memory_holds_is_refused_before_it_is_asked_for(call: Callable[[], Any]) -> None:
    with pytest.raises(MemoryError, match=r"would take [\d,]+ bytes and this machine has [\d,]+: make it smaller"):
        call()


def test_sizes_of_windows_are_machine_integers() -> None:
    for name in ("stride", "padding", "dilation"):
        with pytest.raises(ValueError, match=rf"{name} must be at most 2147483647, not {2**31}$"):
            ops.adder2d(IMAGES, FILTERS, **{name: 2**31})
    y = ops.adder2d(IMAGES, FILTERS, stride=2**31 - 1, padding=2**31 - 1)
    wanted = np.full((1, 2, 3, 3), -2.0, np.float32)
    wanted[..., 1, 1] = -2
    np.testing.assert_array_equal(y.numpy(), wanted)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"optimizer": "sgd"}, TypeError, r"optimizer must be an optimiser, such as optim\.SGD\(.*, not 'sgd' of type"),
        ({"optimizer": optim.SGD}, TypeError, r"not the class SGD: make one with SGD\(\.\.\.\)"),
        ({"optimizer": optim.SGD([parameter(2)], lr=0.1)}, ValueError, "changes no parameter of the net, a Sequential"),
        (
            {"train": [[1.0, 2.0]]},
            TypeError,
            r"train must be a pair \(X, y\) .* such as data\.Dataset\(X, y\), or a data\.Loader",
        ),
        (
            {"train": (np.ones((2, 2)), np.full(2, 0.5))},
            ValueError,
            r"y of train must be class numbers 0, 1, 2, …, not 0\.5",
        ),
        ({"test": np.ones((2, 2))}, TypeError, r"test must be a pair \(X, y\)"),
        ({"train": data.Dataset}, TypeError, "not the class Dataset"),
        ({"epochs": 2.5}, TypeError, r"epochs must be an int, not 2\.5"),
        ({"epochs": 10**30}, ValueError, "epochs must be at most 9223372036854775807, not 10{30}"),
        ({"loss": "ce"}, TypeError, r"loss must be a loss module, such as nn\.CrossEntropyLoss\(\), or None, not 'ce'"),
        ({"loss": ops.cross_entropy}, TypeError, "loss must be a loss module"),
        ({"loss": nn.CrossEntropyLoss}, TypeError, r"make one with CrossEntropyLoss\(\.\.\.\)"),
        ({"loss": nn.BCEWithLogitsLoss()}, ValueError, r"one logit .*example.* shape"),
        ({"loss": nn.ReLU()}, TypeError, "ReLU.forward"),
        ({"schedule": "cosine"}, TypeError, r"schedule must be a schedule .* such as optim\.Cosine\(\)"),
        ({"p_schedule": 2}, TypeError, r"p_schedule must be optim\.LinearP\(\), or None, not 2 of type int"),
        ({"callbacks": ma.callbacks.Progress()}, TypeError, r"callbacks must be a list of callbacks, such as \["),
        ({"callbacks": [ma.callbacks.Progress]}, TypeError, r"callbacks\[0\] must be a callback.*the class Progress: "),
        ({"callbacks": [print]}, TypeError, r"callbacks\[0\] must be a callback"),
        ({"resume": True}, TypeError, "resume must be the path of a checkpoint, or None, not True of type bool"),
        ({"resume": b"x"}, TypeError, "resume must be the path"),
        ({"net": nn.Linear}, TypeError, "net must be a network .* not the class Linear"),
    ],
)
def test_what_fit_refuses_and_what_it_advises(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = training()
    before = arguments["net"].state_dict()
    with pytest.raises(error, match=message):
        ma.fit(**{**arguments, **changes})
    for name, array in arguments["net"].state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_callbacks_of_an_iterator_are_told_of_everything() -> None:
    told: list[str] = []

    class Tells(ma.callbacks.Callback):
        def on_train_begin(self, run: Any) -> None:
            told.append("begin")

        def on_epoch_end(self, run: Any) -> None:
            told.append("epoch")

    ma.fit(**{**training(), "callbacks": iter([Tells()])})
    assert told == ["begin", "epoch"]


def test_numbers_of_any_kind_are_kept_as_python_has_them() -> None:
    rate = Fraction(1, 4)
    optimizer = optim.SGD([parameter(2)], lr=rate, momentum=np.float32(0.5))  # type: ignore[arg-type]
    optimizer.step()
    assert [type(optimizer.param_groups[0][name]) for name in ("lr", "initial_lr", "momentum")] == [float] * 3
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert repr(optim.Cosine(final=np.float64(0.5))) == "Cosine(final=0.5, by='step')"
    assert repr(optim.AdaptiveLR(rate)) == "AdaptiveLR(eta=0.25)"  # type: ignore[arg-type]
    assert type(nn.Linear(np.int64(2), np.int32(3)).in_features) is int
    assert nn.Linear(2, 3, bias=np.False_).bias is None  # type: ignore[arg-type]


def test_what_no_system_tells_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(checks.os, "sysconf", unknown, raising=False)
    checks.memory.cache_clear()
    try:
        checks.fits_memory((2**50,), 4, "weights")
        with pytest.raises(MemoryError, match="weights of shape"):
            checks.fits_memory((2**62,), 4, "weights")
    finally:
        checks.memory.cache_clear()
