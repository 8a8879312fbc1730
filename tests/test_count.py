"""Counting operations: exact figures, any geometry, networks left as they were, and what cannot be counted is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import analysis, cli, models, nn
from minadder.analysis.cost import ENERGY
from minadder.analysis.counting import COUNTERS, PARTS
from minadder.commands.count import NOTES
from minadder.kernels.adder import reference as adder
from minadder.kernels.conv import reference as conv
from minadder.nn.convert import KINDS

LENET = 416_520


def operations(kind: str, pairs: int) -> analysis.Operations:
    """Return what so many pairs (input, filter entry) take in a layer of a kind."""
    return {
        "conv": analysis.Operations(multiplications=pairs, additions=pairs),
        "adder": analysis.Operations(additions=2 * pairs),
        "adder-l2": analysis.Operations(multiplications=pairs, additions=2 * pairs),
        "binary": analysis.Operations(additions=pairs, xnors=pairs),
    }[kind]


@pytest.mark.parametrize("kind", ["conv", "adder", "binary"])
def test_lenet_takes_416520_pairs(kind: str) -> None:
    counted = analysis.count(models.lenet5_bn(kind), (1, 32, 32))
    assert counted.total() == operations(kind, LENET)
    by_layer = {layer.path: layer for layer in counted.layers if "filters" in layer.operations}
    wanted = {"conv1": 117_600, "conv2": 240_000, "conv3": 48_000, "fc1": 10_080, "fc2": 840}
    assert {path: layer.operations["filters"] for path, layer in by_layer.items()} == {
        path: operations(kind, pairs) for path, pairs in wanted.items()
    }
    assert by_layer["conv2"].output_shape == (16, 10, 10)
    assert counted.total(first_and_last=False) == operations(kind, LENET - 117_600 - 840)


@pytest.mark.parametrize("kind", ["conv", "adder", "binary"])
@pytest.mark.parametrize(("make", "wanted"), [(models.resnet20, 40_813_184), (models.resnet32, 69_124_736)])
def test_resnets_keep_the_first_and_the_last_layer_as_convolutions(make: Any, wanted: int, kind: str) -> None:
    counted = analysis.count(make(kind), (3, 32, 32))
    first_and_last = 32 * 32 * 16 * 27 + 64 * 10
    inner = operations(kind, wanted - first_and_last)
    assert counted.total() == inner + operations("conv", first_and_last)
    assert counted.total(first_and_last=False) == inner
    shortcuts = [layer for layer in counted.layers if layer.kind == "BasicBlock"]
    assert sum(layer.total().additions for layer in shortcuts) == (len(shortcuts) // 3) * (16_384 + 8_192 + 4_096)


@pytest.mark.parametrize(
    ("make", "shape", "wanted"),
    [
        (models.vgg_small, (3, 32, 32), 607_600_640),
        (models.resnet18, (3, 224, 224), 1_814_073_344),
        (models.resnet50, (3, 224, 224), 4_089_184_256),
    ],
)
def test_larger_networks_take_what_is_known_of_them(make: Any, shape: tuple[int, ...], wanted: int) -> None:
    net = make("conv")
    counted = analysis.count(net, shape)
    assert counted.total() == operations("conv", wanted)
    assert counted.parameters == sum(parameter.size for parameter in net.parameters())
    first, *_, last = (layer.operations["filters"] for layer in counted.layers if "filters" in layer.operations)
    assert counted.total(first_and_last=False) + first + last == counted.total()
    blocks = [layer for layer in counted.layers if layer.kind in ("BasicBlock", "Bottleneck")]
    assert len(blocks) == {models.vgg_small: 0, models.resnet18: 8, models.resnet50: 16}[make]
    assert all(block.total().additions == np.prod(block.output_shape) for block in blocks)


def test_what_else_lenet_takes() -> None:
    counted = analysis.count(models.lenet5_bn("conv"), (1, 32, 32))
    normed = 6 * 28**2 + 16 * 10**2 + 120 + 84
    means = 6 * 14**2 + 16 * 5**2
    assert counted.total(("bias",)) == analysis.Operations(additions=10)
    assert counted.total(("batch norm",)) == analysis.Operations(normed, normed)
    assert counted.total(("rest",)) == analysis.Operations(means, 3 * means)
    assert counted.total(PARTS) == sum((layer.total() for layer in counted.layers), analysis.Operations())
    net = models.lenet5_bn("conv")
    assert counted.parameters == sum(parameter.size for parameter in net.parameters())


@st.composite
def geometries(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, int]]:
    """Draw the arguments of a layer, and the height and width of an image that it takes."""
    groups = draw(st.integers(1, 3))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    padding = st.tuples(st.integers(0, 2), st.integers(0, 2))
    layer = {
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": draw(pair),
        "stride": draw(pair),
        "padding": draw(padding),
        "dilation": draw(pair),
        "groups": groups,
    }
    least = [d * (k - 1) + 1 for d, k in zip(layer["dilation"], layer["kernel_size"], strict=True)]
    return layer, (least[0] + draw(st.integers(0, 5)), least[1] + draw(st.integers(0, 5)))


class Tally:
    """A number that only counts what is done with it."""

    done = analysis.Operations()

    def adds(self, other: Any) -> Tally:
        Tally.done += analysis.Operations(additions=1)
        return self

    def multiplies(self, other: Any) -> Tally:
        Tally.done += analysis.Operations(multiplications=1)
        return self

    def __pow__(self, exponent: float) -> Tally:
        return self if exponent == 1 else self.multiplies(exponent)

    def __abs__(self) -> Tally:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = adds
    __mul__ = __rmul__ = multiplies


def tallies(*shape: int) -> Any:
    array = np.empty(shape, object)
    array[...] = Tally()
    return array


@pytest.mark.parametrize("kind", ["conv", "adder", "adder-l2", "binary"])
@given(geometry=geometries())
def test_the_reference_kernels_do_as_many_operations_as_are_counted(kind: str, geometry: Any) -> None:
    options, size = geometry
    layer = KINDS[kind].windowed(**options, **KINDS[kind].options)
    counted = analysis.count(layer, (options["in_channels"], *size))
    x, w = tallies(1, options["in_channels"], *size), tallies(*layer.weight.shape)
    window = options["stride"], options["padding"], options["dilation"], options["groups"]
    Tally.done = analysis.Operations()
    output = conv.forward(x, w, *window) if kind in ("conv", "binary") else adder.forward(x, w, *window, p=layer.p)
    found = Tally.done
    if kind == "binary":  # an XNOR stands for the product of two signs
        found = analysis.Operations(additions=found.additions, xnors=found.multiplications)
    assert counted.total() == found
    assert counted.layers[0].output_shape == output.shape[1:]
    assert counted.parameters == layer.weight.size + (options["out_channels"] if kind == "conv" else 0)


@pytest.mark.parametrize("kind", ["conv", "adder", "adder-l2", "binary"])
@given(geometry=geometries())
def test_any_geometry_counts_what_the_windows_hold(kind: str, geometry: Any) -> None:
    options, size = geometry
    places = 1
    for side, kernel, stride, padding, dilation in zip(
        size, *(options[name] for name in ("kernel_size", "stride", "padding", "dilation")), strict=True
    ):
        reach = dilation * (kernel - 1)
        places *= sum(start % stride == 0 for start in range(side + 2 * padding - reach))
    pairs = 0
    for _ in range(options["out_channels"]):
        for _ in range(options["in_channels"] // options["groups"]):
            pairs += places * options["kernel_size"][0] * options["kernel_size"][1]
    layer = KINDS[kind].windowed(**options, **KINDS[kind].options)
    counted = analysis.count(layer, (options["in_channels"], *size))
    assert counted.total() == operations(kind, pairs)
    assert counted.layers[0].output_shape[0] == options["out_channels"]
    outputs = pairs // (layer.weight.size // options["out_channels"])
    bias = {"conv": analysis.Operations(additions=outputs), "binary": analysis.Operations(multiplications=outputs)}
    assert counted.total(("bias",)) == bias.get(kind, analysis.Operations())


@pytest.mark.parametrize("kind", ["conv", "adder", "adder-l2", "binary"])
def test_a_fully_connected_layer_counts_for_every_row(kind: str) -> None:
    layer = KINDS[kind].fully_connected(4, 3, **KINDS[kind].options)
    assert analysis.count(layer, (5, 4)).total() == operations(kind, 5 * 4 * 3)


@pytest.mark.parametrize("layer", [nn.Adder2d(2, 3, 1), nn.AdderLinear(2, 3)])
def test_squares_are_multiplications_and_other_powers_have_no_count(layer: Any) -> None:
    shape = (2, 1, 1) if isinstance(layer, nn.Adder2d) else (2,)
    for p, multiplications in ((1.0, 0), (2.0, 6)):
        layer.p = p
        assert analysis.count(layer, shape).total() == analysis.Operations(multiplications, 12)
    layer.p = 1.5
    with pytest.raises(ValueError, match=r"p = 1\.5"):
        analysis.count(layer, shape)


def test_counting_leaves_the_network_as_it_was() -> None:
    net = models.resnet(8, "adder")
    net(np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)).sum().backward()
    net.layer1.eval()
    heard: list[nn.Module] = []
    net.conv1.register_forward_hook(lambda module, inputs, output: heard.append(module))
    state, modes = net.state_dict(), [module.training for module in net.modules()]
    hooks, gradients = [module._hooks for module in net.modules()], [p.grad for p in net.parameters()]
    counted = analysis.count(net, (3, 32, 32))
    assert heard == []
    assert [module.training for module in net.modules()] == modes
    assert [module._hooks for module in net.modules()] == hooks
    assert all(p.grad is grad for p, grad in zip(net.parameters(), gradients, strict=True))
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)
    assert analysis.count(net, (3, 32, 32)) == counted


def test_networks_of_float64_are_counted_too() -> None:
    assert analysis.count(models.lenet5_bn("adder").to("float64"), (1, 32, 32)).total().additions == 2 * LENET


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3, bias=False)
        self.again = self.layer
        self.spare = nn.AdderLinear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.layer(self.again(x))


def test_a_layer_that_is_called_twice_counts_twice_and_has_its_parameters_once() -> None:
    counted = analysis.count(Twice(), (3,))
    layer, spare = counted.layers
    assert layer == analysis.LayerCount("layer", "Linear", (3,), 9, {"filters": analysis.Operations(18, 18)})
    assert spare == analysis.LayerCount("spare", "AdderLinear", None, 6, {})
    assert counted.parameters == 15


def test_tied_weights_are_parameters_once() -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    counted = analysis.count(net, (3,))
    assert [layer.parameters for layer in counted.layers] == [9, 0]
    assert counted.total().multiplications == 18


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(np.ones(1, np.float32))

    def forward(self, x: Any) -> Any:
        return x * self.factor


class OwnLinear(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (Scale(), r"the net \(Scale\)"),
        (nn.Sequential({"fc": nn.Linear(3, 3), "scale": Scale()}), r"scale \(Scale\)"),
        (nn.Sequential(nn.Sequential(OwnLinear(3, 3))), r"0\.0 \(OwnLinear\)"),
    ],
)
def test_unknown_modules_with_parameters_are_named(net: nn.Module, named: str) -> None:
    with pytest.raises(TypeError, match=f"^{named} has parameters.*register_counter"):
        analysis.count(net, (3,))


def test_a_registered_counter_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minadder.analysis.counting.COUNTERS", dict(COUNTERS))
    analysis.register_counter(Scale, lambda layer, output: {"rest": analysis.Operations(output.size)})
    counted = analysis.count(nn.Sequential(nn.Linear(3, 5), Scale()), (3,))
    assert counted.total(("rest",)) == analysis.Operations(multiplications=5)
    with pytest.raises(TypeError, match="'Scale'"):
        analysis.register_counter("Scale", lambda layer, output: {})  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(0, 32, 32), (1, -1, 32), (1, 32.0, 32), (True, 32, 32)])
def test_wrong_shapes_are_refused(shape: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"input_shape\[\d\] must be (an int|at least 1), not "):
        analysis.count(models.lenet5_bn(), shape)


def test_a_shape_that_the_network_cannot_take_names_the_layer() -> None:
    with pytest.raises(ValueError, match=r"conv1 \(Adder2d\)"):
        analysis.count(models.lenet5_bn(), (3, 32, 32))


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ValueError, match="not 'filter'"):
        analysis.count(nn.Linear(2, 2), (2,)).total(("filter",))


def test_cycles_are_the_papers() -> None:
    conv, adder = (analysis.count(models.lenet5_bn(kind), (1, 32, 32)).total() for kind in ("conv", "adder"))
    assert analysis.cycles(conv) == 6 * LENET
    assert analysis.cycles(adder) == 4 * LENET
    assert analysis.cycles(analysis.Operations(additions=870_000)) == 1_740_000


@pytest.mark.parametrize("numbers", ENERGY)
def test_energy_adds_up(numbers: str) -> None:
    addition = analysis.energy(analysis.Operations(additions=1), numbers)
    multiplication = analysis.energy(analysis.Operations(multiplications=1), numbers)
    assert 0 < addition < multiplication
    both = analysis.energy(analysis.Operations(3, 5), numbers)
    assert both == pytest.approx(3 * multiplication + 5 * addition)


def test_energies_are_those_of_horowitz_table() -> None:
    picojoules = {"float32": (0.9, 3.7), "int32": (0.1, 3.1), "int8": (0.03, 0.2)}
    assert {name: (cost.addition, cost.multiplication) for name, cost in ENERGY.items()} == picojoules


def test_costs_that_nobody_knows_are_refused() -> None:
    for cost in (analysis.cycles, analysis.energy):
        with pytest.raises(ValueError, match="7 XNORs"):
            cost(analysis.Operations(xnors=7))
    with pytest.raises(ValueError, match="'int4'"):
        analysis.energy(analysis.Operations(), "int4")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["count", *arguments]) == 0
    return capsys.readouterr().out


def test_the_command_prints_the_counts_beside_the_papers(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "lenet5-bn")
    lines = {line.split("  ")[0].strip(): line.split() for line in text.splitlines()}
    assert lines["filters of all layers"][-3:] == ["0", "833,040", "0"]
    assert lines["conv2 (Adder2d)"][2:] == ["16×10×10", "2,400", "0", "480,000", "0"]
    assert "~870" in lines["papers"]
    assert "1,666,080\n  papers" in text
    assert "~1.7 M\n" in text
    assert "0.7497 µJ" in text  # 833,040 additions of 0.9 pJ
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", models.NETWORKS)
def test_the_command_counts_every_network_of_every_kind(
    capsys: pytest.CaptureFixture[str], network: str, kind: str
) -> None:
    text = printed(capsys, network, "--layer", kind)
    assert f"{network}, {kind} layers" in text
    assert ("no figure for an XNOR" in text) == (kind == "binary")


def test_nets_whose_p_falls_are_counted_where_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    falling, adder_net = (printed(capsys, "resnet20", "--layer", kind) for kind in ("adder-lp", "adder"))
    assert falling.splitlines()[1:] == adder_net.splitlines()[1:]
    assert falling.startswith("resnet20, adder-lp layers at p = 1, where training ends, 3×32×32")


def test_what_is_said_of_the_papers_figures_holds(capsys: pytest.CaptureFixture[str]) -> None:
    def total(net: nn.Module, *shape: int) -> int:
        return analysis.count(net, shape).total().multiplications

    for network, note in NOTES.items():
        text = " ".join(printed(capsys, network, "--layer", "conv").split())
        assert note in text
        assert note not in " ".join(printed(capsys, network, "--num-classes", "7").split())
    lenet = analysis.count(models.lenet5_bn("conv"), (1, 32, 32)).total(PARTS)
    assert f"{lenet.multiplications:,} multiplications and {lenet.additions:,} additions" in NOTES["lenet5-bn"]
    small = total(models.vgg_small("conv"), 3, 32, 32)
    binary_net = [nn.Linear(512 * 16, 1024), nn.Linear(1024, 1024), nn.Linear(1024, 10)]
    wide = small - 512 * 16 * 10 + total(nn.Sequential(*binary_net), 512 * 16)
    deep = small + total(nn.Conv2d(512, 512, 3, padding=1), 512, 4, 4)
    for pairs, said in ((small, "0.608 G"), (wide, "0.617 G"), (deep, "0.645 G")):
        assert f"{pairs / 1e9:.3f} G" == said
        assert said in NOTES["vgg-small"]
        assert f"{pairs:,}" in str(models.vgg_small.__doc__)
    assert f"{(41_170_000 - total(models.resnet20('conv'), 3, 32, 32)) / 1e6:.2f} M more" in NOTES["resnet20"]
    for where in ("3x3", "1x1"):
        pairs = total(models.resnet50("conv", stride_at=where), 3, 224, 224)
        assert f"{pairs / 1e9:.2f} G" in NOTES["resnet50"]
    assert f"{total(models.lenetpp('conv'), 1, 32, 32):,} multiply-adds" in str(models.lenetpp.__doc__)


def test_the_papers_figures_are_of_their_own_network_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "lenet5-bn", "--layer", "conv", "--input", "3x32x32", "--num-classes", "7")
    assert "\npapers" not in text
    assert "3×32×32, 7 classes" in text
    assert f"{LENET + 2 * 117_600 - 3 * 84:,}" in text


@pytest.mark.parametrize("text", ["32x32", "3x0x32", "3x32x32x32", "three", "3x-2x32", ""])
def test_wrong_shapes_are_usage_errors(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["count", "lenet5-bn", "--input", text])
    assert caught.value.code == 2
    assert repr(text) in capsys.readouterr().err


def test_what_the_network_refuses_is_one_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "resnet20", "--input", "3×16×16"]) == 1
    assert capsys.readouterr().err.endswith("not 16×16: for those there is mlp\n")


def test_images_beyond_all_memory_are_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "lenet5-bn", "--input", "1000000000000000x32x32"]) == 1
    assert capsys.readouterr().err.startswith(
        "minadder: the memory is not enough: weights of shape (6, 1000000000000000, 5, 5) would take 600,000,"
    )


@pytest.mark.parametrize("number", ["0", "-3", "x"])
def test_a_wrong_number_of_classes_is_a_usage_error(capsys: pytest.CaptureFixture[str], number: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["count", "lenet5-bn", "--num-classes", number])
    assert caught.value.code == 2
    assert "--num-classes: must be an integer of at least 1" in capsys.readouterr().err
