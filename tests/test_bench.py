"""The benchmark: what it counts, how it measures, and what it compares with."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

import minadder as ma
from minadder import models
from minadder.bench import (
    layers,
    machine,
    memory,
    peak,
    scaling,
    shapes,
    steps,
    tables,
    timing,
    torch_layers,
    torch_twins,
)
from minadder.bench.layers import MATMUL, Measured
from minadder.bench.shapes import Layer
from minadder.bench.timing import Effort, best, interleave
from minadder.kernels.adder import reference

ONCE = Effort(rounds=1, seconds=0)

needs_torch = pytest.mark.skipif(torch_layers.torch is None, reason="needs PyTorch, which is optional")
compiled_only = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="measures compiled kernels")

small_layers = st.builds(
    lambda n, c, t, size, kernel, stride, padding: Layer(
        "net", "layer", (n, c, size, size), (t, c, kernel, kernel), stride, min(padding, kernel // 2)
    ),
    *(st.integers(1, 3) for _ in range(3)),
    st.integers(3, 6),
    *(st.integers(1, 3) for _ in range(2)),
    st.integers(0, 1),
)


# What is counted


@given(layer=small_layers)
def test_elements_are_the_numbers_of_the_broadcast_array(layer: Layer) -> None:
    x, w, grad = layers.arrays(layer, 0)
    y = reference.forward(x, w, layer.strides, layer.paddings, (1, 1), 1)
    assert layer.y_shape == y.shape == grad.shape
    assert layer.elements == y.size * w[0].size
    assert layer.transfers == x.nbytes + w.nbytes + y.nbytes


def test_lenet_has_the_known_number_of_multiplications() -> None:
    assert sum(layer.elements for layer in shapes.lenet5(batch=1)) == 416_520


def test_each_stage_of_a_resnet_takes_as_many() -> None:
    assert {layer.elements for layer in shapes.resnet20()[:3]} == {64 * 16 * 32 * 32 * 16 * 9}
    assert {layer.elements for layer in shapes.resnet18()} == {8 * 64 * 56 * 56 * 64 * 9}
    assert [layer.y_shape[2] for layer in shapes.resnet20()] == [32, 16, 8, 16, 8, 16, 8]


def test_layers_are_chosen_by_their_name() -> None:
    assert len(shapes.layers()) == 16
    assert {layer.network for layer in shapes.layers("resnet-20")} == {"ResNet-20"}
    assert [layer.title for layer in shapes.layers(quick=True)] == list(shapes.QUICK)
    assert all(layer.x_shape[0] <= 8 for layer in shapes.layers("LeNet", quick=True))
    with pytest.raises(ValueError, match=r"no layer is called 'VGG'.*ResNet-18 stage 4"):
        shapes.layers("VGG")


# How it is measured


@given(rounds=st.integers(1, 4), runs=st.integers(1, 3), names=st.sets(st.sampled_from("ABCD"), min_size=1))
def test_cases_take_turns(rounds: int, runs: int, names: set[str]) -> None:
    order = sorted(names)
    calls: list[str] = []
    cases = {name: (lambda name=name: calls.append(name)) for name in order}
    seconds = interleave(cases, Effort(rounds, 0, runs))
    assert calls == order + rounds * [name for name in order for _ in range(runs)]
    assert {name: len(times) for name, times in seconds.items()} == dict.fromkeys(order, rounds * runs)


def test_a_case_that_is_a_context_manager_is_entered_for_its_turns() -> None:
    order: list[str] = []

    class Case:
        def __enter__(self) -> None:
            order.append("(")

        def __exit__(self, *error: object) -> None:
            order.append(")")

        def __call__(self) -> None:
            order.append("A")

    interleave({"A": Case(), "B": lambda: order.append("B")}, Effort(rounds=2, seconds=0, runs=2))
    assert "".join(order) == "(A)B" + 2 * "(AA)BB"


def test_a_turn_lasts_as_long_as_asked_for() -> None:
    seconds = interleave({"A": lambda: None}, Effort(rounds=2, seconds=0.002))
    assert len(seconds["A"]) == 2 * timing.MOST_RUNS or sum(seconds["A"]) >= 0.004
    seconds = interleave({"A": lambda: time.sleep(0.001)}, Effort(rounds=2, seconds=0.005))
    assert sum(seconds["A"]) >= 0.01
    assert len(seconds["A"]) <= 10
    assert best([3.0, 1.0, 2.0]) == 1.0
    with pytest.raises(ValueError, match="nothing was measured"):
        best([])
    with pytest.raises(ValueError, match="rounds and runs must be at least 1, not 0 and 1"):
        Effort(rounds=0)


def test_threads_are_set_and_given_back() -> None:
    before = machine.numba.get_num_threads()
    with machine.threads(1):
        assert machine.numba.get_num_threads() == 1
        assert torch_layers.torch is None or torch_layers.torch.get_num_threads() == 1
    assert machine.numba.get_num_threads() == before
    for count in (0, machine.most_threads() + 1):
        with pytest.raises(ValueError, match=f"threads must be 1 to .*, not {count}"), machine.threads(count):
            pass


@compiled_only
@pytest.mark.skipif(not peak.measurable(), reason="this machine's vector registers have no name that we know")
def test_a_peak_is_work_that_was_done() -> None:
    with machine.threads(1):
        spin = peak.Spin("distance")
        spin.turns = 200_000
        once = min(interleave({"": spin}, Effort(rounds=30, seconds=0))[""])
        assert spin.terms == spin.out.size * spin.turns
        spin.turns *= 4
        four = min(interleave({"": spin}, Effort(rounds=30, seconds=0))[""])
        assert 2.5 < four / once < 6  # a loop that was folded away would take no longer
        spin.numbers[0] = 7.0
        with pytest.raises(RuntimeError, match="peak of the mix 'distance' cannot be measured"):
            spin()


@compiled_only
@pytest.mark.skipif(not peak.measurable(), reason="this machine's vector registers have no name that we know")
def test_a_peak_repeats_all_instructions_of_its_mix() -> None:
    with machine.threads(1):
        cases = peak.cases()
        seconds = interleave(cases, Effort(rounds=30, seconds=0))
    rates = {name: case.terms / min(seconds[name]) for name, case in cases.items()}
    assert set(rates) == {f"peak {mix}" for mix in peak.MIXES}
    for mix in ("distance", "hardtanh", "sign"):  # with the difference moved out of the loop they were as fast
        assert rates[f"peak {mix}"] < 0.85 * rates["peak product"]


@compiled_only
def test_the_machine_has_a_bandwidth_and_rates() -> None:
    assert machine.bandwidth(rounds=1, size=1 << 16) > 0
    cases = layers.machine_cases()
    seconds = interleave(cases, ONCE)
    rates = layers.machine_rates(cases, [seconds, {name: [2 * times[0]] for name, times in seconds.items()}])
    assert rates[MATMUL] == pytest.approx(machine.MATRIX**3 / min(seconds[MATMUL]))
    assert set(rates) == set(cases)


# What it is compared with


@needs_torch
@given(layer=small_layers)
def test_the_broadcast_expression_is_the_adder_layer(layer: Layer) -> None:
    arrays = layers.arrays(layer, 0)
    theirs = torch_layers.Pass(torch_layers.broadcast, layer, arrays, backward=True)
    ours = layers.our_cases(layer, *arrays)["adder forward+backward"]
    for _ in range(2):  # gradients are not added up from run to run
        y, z = ours(), theirs()
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-5, atol=1e-5)
    for mine, other in ((ours.x, theirs.x), (ours.w, theirs.w)):
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-4)
    distances = torch_layers.Pass(torch_layers.cdist, layer, arrays, backward=False)()
    np.testing.assert_allclose(y.numpy(), distances.numpy(), rtol=1e-5, atol=1e-5)


@needs_torch
@given(layer=st.one_of(small_layers, st.just(shapes.lenet5(4)[4])))
def test_the_convolutions_are_the_same(layer: Layer) -> None:
    arrays = layers.arrays(layer, 0)
    theirs = torch_layers.Pass(torch_layers.convolution, layer, arrays, backward=True)
    cases = layers.our_cases(layer, *arrays)
    z, y = theirs(), cases["conv forward+backward"]()
    slopes = cases["conv backward"]()
    np.testing.assert_allclose(y.numpy().ravel(), z.detach().numpy().ravel(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(cases["conv forward"]().ravel(), y.numpy().ravel(), rtol=1e-4, atol=1e-5)
    for mine, other in zip(slopes, (theirs.x, theirs.w), strict=True):
        np.testing.assert_allclose(mine.ravel(), other.grad.numpy().ravel(), rtol=1e-4, atol=1e-4)


@needs_torch
@pytest.mark.parametrize("network", steps.NETWORKS.values(), ids=steps.NETWORKS)
def test_pytorchs_twin_is_our_cnn(network: steps.Network) -> None:
    torch = torch_layers.torch
    ours, theirs = network.make("conv"), network.twin()
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(torch.from_numpy(mine.numpy().reshape(other.shape).copy()))
    images = steps.generated(network.image, 4, 0).inputs
    outputs = theirs(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(ours(images).numpy(), outputs, rtol=1e-3, atol=1e-3)


def test_a_large_batch_is_measured_in_part() -> None:
    layer = shapes.resnet18(batch=8)[0]
    batch = torch_layers.batch_that_fits(layer)
    assert batch == 1
    assert torch_layers.batch_that_fits(layer.with_batch(1)) == 1
    assert torch_layers.batch_that_fits(shapes.resnet20()[0]) == 64
    found = Measured(layer, {"broadcast forward": [1.0, 2.0]}, {"broadcast forward": 8.0})
    assert found.time("broadcast forward") == 8.0
    assert found.time("adder forward") is None


def test_without_a_compiler_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert torch_layers.no_compiler() == "no C++ compiler for torch.compile"
    if torch_layers.torch is not None:
        layer = shapes.lenet5(2)[4]
        found = Measured(layer, {})
        cases = layers.torch_cases(found, *layers.arrays(layer, 0), compile_too=True)
        assert "compiled forward" not in cases
        assert found.skipped["compiled forward"] == "no C++ compiler for torch.compile"


@needs_torch
def test_gradients_that_disagree_are_told() -> None:
    layer = shapes.lenet5(2)[4]
    arrays = layers.arrays(layer, 0)
    ours = layers.our_cases(layer, *arrays)["adder forward+backward"]
    theirs = torch_layers.Pass(torch_layers.broadcast, layer, arrays, backward=True)
    theirs()
    layers.check_gradients(theirs, ours)
    theirs.w.grad[0, 0] += 1
    with pytest.raises(ValueError, match="its filter gradient is wrong by 1 of"):
        layers.check_gradients(theirs, ours)


@needs_torch
def test_a_compiler_that_fails_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no such header\nand more")

    monkeypatch.setattr(torch_layers, "compiled", lambda: broken)
    monkeypatch.setattr(torch_layers, "no_compiler", lambda: None)
    found = Measured(shapes.lenet5(2)[4], {})
    cases = layers.torch_cases(found, *layers.arrays(found.layer, 0), compile_too=True)
    assert found.skipped["compiled forward+backward"] == "torch.compile failed: no such header"
    assert "broadcast forward" in cases
    assert "compiled forward" not in cases


def test_without_pytorch_all_of_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_layers, "torch", None)
    found = Measured(shapes.lenet5(2)[4], {})
    assert layers.torch_cases(found, *layers.arrays(found.layer, 0), compile_too=True) == {}
    assert set(found.skipped) == set(layers.COMPARED)
    assert "no PyTorch" in "\n".join(tables.left_out([found]))


# Whole steps


def test_a_step_changes_the_net_and_an_epoch_is_extrapolated() -> None:
    network = steps.LENET
    found = steps.measure(network, 4, steps.generated(network.image, 8, 0), 0, Effort(rounds=2, seconds=0, runs=2))
    assert {len(seconds) for seconds in found.seconds.values()} == {4}
    assert found.data == "generated"
    fixed = steps.Steps("net", 100, "generated", Effort(2, 0, 2), {"adder": [1.0, 2.0, 2.0, 0.5]})
    assert fixed.step("adder") == 1.25
    assert fixed.epoch("adder") == 750
    assert fixed.mean_epoch("adder") == pytest.approx(825)
    assert fixed.epoch("conv") is fixed.mean_epoch("conv") is None
    assert steps.whole_epoch(60_000, 256).rounds * 5 == 235


def test_training_learns_what_can_be_learnt() -> None:
    dataset = steps.generated((1, 32, 32), 16, 0)
    ma.manual_seed(0)
    training = steps.Training(models.lenet5_bn("adder"), dataset, 16, 0)
    losses = [training() for _ in range(12)]
    assert losses[-1] < losses[0]
    if torch_layers.torch is not None:
        torch_layers.torch.manual_seed(0)
        other = torch_twins.Training(torch_twins.lenet5_bn(), dataset, 16, 0.1)
        losses = [other() for _ in range(12)]
        assert losses[-1] < losses[0]


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    dataset = steps.generated((1, 32, 32), 4, 0)
    dataset.inputs[:] = np.inf
    with (
        pytest.raises(RuntimeError, match="LeNet-5-BN, adder: the loss is nan after 1 steps"),
        np.errstate(all="ignore"),
    ):
        steps.measure(steps.LENET, 4, dataset, 0, ONCE)


def test_the_toy_experiment_learns() -> None:
    toy = steps.toy(0, iterations=60, parts=3)
    assert toy.iterations == 60
    assert len(toy.parts) == 3
    assert toy.best <= toy.seconds
    assert toy.accuracy > 0.8


def test_memory_is_that_of_the_steps() -> None:
    small, large = (memory.measure("lenet5-bn", "adder", batch, 1) for batch in (8, 256))
    assert 0 <= small.growth < large.growth
    images = 256 * 32 * 32 * 4
    assert images < large.growth < 200 * images
    with pytest.raises(RuntimeError, match="memory of vgg, adder, batch 1 could not be measured: KeyError: 'vgg'"):
        memory.measure("vgg", "adder", 1, 1)


def test_memory_without_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "reset_high_water_mark", lambda: False)
    found = memory.measure_here("lenet5-bn", "conv", 2)
    assert found["method"] == "ru_maxrss, never reset"
    assert found["peak"] >= found["before"] > 0
    with pytest.raises(OSError, match="holds no VmNothing"):
        memory.status("VmNothing")


def test_efficiency_is_of_the_threads() -> None:
    layer = scaling.stage(1, 4)
    one, two = (
        scaling.Scaled("batch", layer, threads, {"adder forward": [seconds]})
        for threads, seconds in ((1, 3.0), (2, 2.0))
    )
    assert scaling.efficiency([one, two], one, "adder forward") == pytest.approx(0.75)
    assert scaling.efficiency([one, two], one, "torch conv forward+backward") is None
