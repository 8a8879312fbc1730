"""The summary of a net: its numbers are those that are counted, any net has one, and the net stays as it was."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import analysis, cli, models, nn, ops
from minadder.analysis.counting import PARTS
from minadder.nn.convert import KINDS
from minadder.random import generator_state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", ["lenet5-bn", "lenetpp", "mlp", "resnet20"])
def test_the_numbers_are_those_of_count(network: str, kind: str) -> None:
    shape = models.NETWORKS[network].input_shape
    net = models.build(network, kind)
    summary, counted = ma.summary(net, shape), analysis.count(net, shape)
    assert summary.total() == counted.total()
    assert summary.total(first_and_last=False) == counted.total(first_and_last=False)
    total = counted.total(PARTS)
    assert (summary.multiplications, summary.additions, summary.xnors) == (
        total.multiplications,
        total.additions,
        total.xnors,
    )
    assert summary.parameters == counted.parameters == sum(parameter.size for parameter in net.parameters())
    assert summary.parameter_bytes == 4 * summary.parameters
    assert summary.input_shape == shape
    by_path = {layer.path: layer for layer in summary.layers}
    for layer in counted.layers:
        for field in ("kind", "output_shape", "parameters", "operations"):
            assert getattr(by_path[layer.path], field) == getattr(layer, field)
        assert by_path[layer.path].additions == layer.total().additions
        assert by_path[layer.path].multiplications == layer.total().multiplications
        assert by_path[layer.path].xnors == layer.total().xnors


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of a table's lines by the first cell."""
    cells = [re.split(r"  +", line) for line in text.splitlines()]
    return {line[0]: line[1:] for line in cells if len(line) > 1}


@pytest.mark.parametrize("kind", ["adder", "conv", "binary"])
def test_its_lines_are_those_of_the_command(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "lenet5-bn", "--layer", kind]) == 0
    command = rows(capsys.readouterr().out.split("totals (")[0])
    summary = rows(str(ma.summary(models.lenet5_bn(kind), (1, 32, 32))))
    columns = slice(None) if kind == "binary" else slice(-1)  # other nets have no XNORs, so no column of them
    assert {name: cells[columns] for name, cells in command.items()} == {name: summary[name] for name in command}
    assert summary.keys() - command.keys() == {
        *(f"relu{number} ({'Hardtanh' if kind == 'binary' else 'ReLU'})" for number in range(1, 5)),
        "flatten (Flatten)",
    }


def test_the_lines_are_aligned_and_the_sums_are_said() -> None:
    text = str(ma.summary(models.resnet20("binary"), (3, 32, 32)))
    lines = text.splitlines()
    last = next(number for number, line in enumerate(lines) if line.startswith("all "))
    assert len({len(line) for line in lines[1 : last + 1]}) == 1
    assert "XNORs" in lines[1]
    assert lines[0] == "ResNet, one example of shape (3, 32, 32), in evaluation"
    assert repr(ma.summary(models.resnet20("binary"), (3, 32, 32))) == text
    summary = ma.summary(nn.Linear(2, 3).to("float64"), (2,))
    assert summary.parameter_bytes == 72
    assert "9 parameters take 72 bytes (float64)" in str(summary)
    assert str(summary).splitlines()[3].split() == ["Linear", "3", "9", "6", "9"]
    assert "0 parameters take 0 bytes" in str(ma.summary(nn.ReLU(), (2,)))


def test_a_notebook_shows_the_same() -> None:
    summary = ma.summary(models.lenet5_bn("adder"), (1, 32, 32))
    shown = summary._repr_html_()
    cells = [
        [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)]
        for line in re.findall(r"<tr>(.*?)</tr>", shown)
    ]
    assert {name: [cell for cell in line if cell] for name, *line in cells} == rows(str(summary))
    assert "61,942 parameters take 247,768 bytes" in shown


class Gate(nn.Module):
    """A layer of one's own: it has a parameter, and no counter knows it."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(np.ones(1, np.float32))

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Own(nn.Module):
    """A net of one's own: layers called twice and not at all, under two names, tied weights, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.again = self.first
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.first.weight
        self.gate = Gate()
        self.inner = nn.Sequential(nn.Sequential(nn.AdderLinear(3, 2)), nn.ReLU())
        self.spare = nn.Linear(3, 1, bias=False)

    def forward(self, x: Any) -> Any:
        x = self.gate(self.tied(self.again(self.first(x))))
        return {"logits": self.inner(x), "features": [x, None]}


def test_nets_of_ones_own_have_a_summary_and_what_is_not_counted_is_said() -> None:
    net = Own()
    summary = ma.summary(net, (3,))
    layers = {layer.path: layer for layer in summary.layers}
    assert list(layers) == ["first", "tied", "gate", "inner.0.0", "inner.1", "spare"]
    assert summary.parameters == sum(parameter.size for parameter in net.parameters()) == 12 + 3 + 1 + 6 + 3
    assert [layers[path].calls for path in ("first", "tied", "spare")] == [2, 1, 0]
    assert layers["first"].multiplications == 2 * 9
    assert layers["tied"].parameters == 3
    assert layers["spare"].output_shape is None
    assert summary.additions == 2 * (9 + 3) + (9 + 3) + 2 * 6
    text = str(summary)
    assert rows(text)["first (Linear, 2 calls)"] == ["3", "12", "18", "24"]
    assert rows(text)["gate (Gate)"] == ["3", "1", "?", "?"]
    assert rows(text)["spare (Linear, not called)"] == ["–", "3", "0", "0"]
    assert rows(text)["all"] == ["25", "≥ 27", "≥ 48"]
    assert "parameters counted once: again is first, tied.weight is first.weight\n" in text
    assert "not counted (?): gate (Gate): no counter knows what it computes" in text
    assert "register_counter" in text
    assert "not seen: what the forward methods of Own compute beside their layers" in text


def test_a_layer_that_gives_out_several_tensors_shows_their_shapes() -> None:
    class Halves(nn.Module):
        def forward(self, x: Any) -> Any:
            return x[:, :2], {"rest": x[:, 2:].numpy()}, None

    summary = ma.summary(Halves(), (5, 3))
    assert summary.layers[0].output_shape == ((2, 3), ((3, 3),), None)
    assert rows(str(summary))["Halves"] == ["2×3, 3×3, –", "0", "?", "?"]


def test_an_output_without_a_batch_keeps_its_shape() -> None:
    class Second(nn.Module):
        def forward(self, x: Any) -> Any:
            return x[0]

    assert [layer.output_shape for layer in ma.summary(nn.Sequential(nn.ReLU(), Second()), (5, 3)).layers] == [
        (5, 3),
        (5, 3),
    ]


def test_a_power_without_a_count_is_said() -> None:
    net = nn.Sequential(nn.AdderLinear(2, 3), nn.AdderLinear(3, 1))
    net[0].p = 1.5
    summary = ma.summary(net, (2,))
    assert summary.additions == 6
    assert "0 (AdderLinear): the power p = 1.5 is neither" in str(summary)
    assert rows(str(summary))["all"] == ["9", "≥ 0", "≥ 6"]


def test_what_is_the_librarys_and_takes_nothing_needs_no_note() -> None:
    summary = ma.summary(models.resnet(8), (3, 32, 32))
    assert summary.notes == (f"{summary.parameters:,} parameters take {summary.parameter_bytes:,} bytes (float32)",)


def test_the_net_and_all_random_states_stay_as_they_were() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = models.resnet(8)
            self.seen = 0

        def forward(self, x: Any) -> Any:
            self.seen += 1
            self.last = self.inner(x) + float(np.random.rand())  # noqa: NPY002
            ma.random.generator().random()
            return self.last

    net = Noisy()
    net(np.ones((2, 3, 32, 32), np.float32)).sum().backward()
    net.inner.bn1.eval()
    last, heard = net.last, []
    net.inner.fc.register_forward_hook(lambda module, inputs, output: heard.append(module))
    state, modes = net.state_dict(), [module.training for module in net.modules()]
    hooks, gradients = [module._hooks for module in net.modules()], [p.grad for p in net.parameters()]
    own, legacy = generator_state(), np.random.get_state()[1].copy()  # type: ignore[union-attr, index]  # noqa: NPY002
    first = ma.summary(net, (3, 32, 32))
    assert ma.summary(net, (3, 32, 32)) == first
    assert generator_state() == own
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # type: ignore[index]  # noqa: NPY002
    assert heard == []
    assert net.seen == 1
    assert net.last is last
    assert [module.training for module in net.modules()] == modes
    assert [module._hooks for module in net.modules()] == hooks
    assert all(p.grad is grad for p, grad in zip(net.parameters(), gradients, strict=True))
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


@pytest.mark.parametrize(
    ("make", "shape", "path"),
    [
        (models.lenet5_bn, (1, 1, 32, 32), r"Sequential\.conv1 \(Adder2d\): .*\(1, 1, 1, 32, 32\)"),
        (models.lenet5_bn, (1, 28, 28), r"Sequential\.fc1 \(AdderLinear\): |Sequential\.conv3 \(Adder2d\): "),
        (lambda: nn.Sequential(nn.Sequential(nn.Linear(2, 3))), (3,), r"Sequential\.0\.0 \(Linear\): "),
        (Own, (4,), r"Own\.first \(Linear\): "),
    ],
)
def test_a_shape_that_the_net_does_not_take_names_the_layer_and_says_what_to_do(
    make: Callable[[], nn.Module], shape: tuple[int, ...], path: str
) -> None:
    with pytest.raises(ValueError, match=f"^{path}") as caught:
        ma.summary(make(), shape)
    assert f"one example of input_shape {shape} does not go through the net" in str(caught.value)
    assert "without the batch" in str(caught.value)


def test_what_is_no_net_or_no_shape_is_refused() -> None:
    with pytest.raises(TypeError, match="net must be a network"):
        ma.summary("net", (2,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"make one with ReLU\(\.\.\.\)"):
        ma.summary(nn.ReLU, (2,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="input_shape must be a tuple"):
        ma.summary(nn.ReLU(), 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"input_shape\[0\] must be at least 1"):
        ma.summary(nn.ReLU(), (0,))


def test_a_net_that_has_no_copy_says_so(tmp_path: Any) -> None:
    net = nn.Sequential(nn.ReLU())
    with (tmp_path / "file").open("w") as file:
        net[0].log = file
        with pytest.raises(TypeError, match=r"Sequential cannot be copied .*open file"):
            ma.summary(net, (2,))


@given(st.text(min_size=1, max_size=300).filter(lambda name: "." not in name and not hasattr(nn.Sequential(), name)))
def test_foreign_names_do_nothing_to_a_terminal_or_a_page(name: str) -> None:
    kind = type("<b>\x1b[31m" * 30, (nn.ReLU,), {"__module__": "elsewhere"})
    net = nn.Sequential({name: nn.Sequential({name: nn.Linear(2, 2)}), "other": kind(), "shared": nn.ReLU()})
    net.again = net.shared
    summary = ma.summary(net, (2,))
    text, page = str(summary), summary._repr_html_()
    assert all(line.isprintable() and len(line) <= 120 for line in text.splitlines())
    assert page.isprintable()
    assert "<b>" not in page
    assert set(re.findall(r"</?(\w+)", page)) == {"table", "caption", "tr", "th", "td", "div"}
    assert summary.layers[0].path == f"{name}.{name}"


def test_names_are_cut_where_the_other_columns_need_the_room() -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            setattr(self, "layer" * 30, nn.BinaryLinear(2000, 1000))

        def forward(self, x: Any) -> Any:
            y = getattr(self, "layer" * 30)(x)
            return tuple(ops.relu(y) for _ in range(20))

    lines = str(ma.summary(Wide(), (500, 2000))).splitlines()
    assert max(map(len, lines)) <= 120
    assert "1,000,000,000" in lines[3]
    assert "…" in lines[3]
