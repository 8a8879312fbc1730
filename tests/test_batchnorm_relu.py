"""Batch norm with the ReLU behind it as one operation: as operations, in modules, and in Sequential."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import nn, ops
from minadder.autograd import Array
from minadder.diagnosis import first_non_finite
from minadder.ops.batchnorm import BatchNormEval, BatchNormTrain
from minadder.testing import LAYOUTS, same_bits, seeds

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
shapes = st.one_of(
    st.tuples(st.integers(2, 6), st.integers(1, 30)),
    st.tuples(st.integers(2, 4), st.integers(1, 5), st.integers(1, 6)),
    st.tuples(st.integers(2, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
)
ROUNDING = {np.float32: 2e-5, np.float64: 1e-13}
"""Of gradients, relative to the largest: sums may be ordered in another way."""


def normalised(x: ma.Tensor, gamma: ma.Tensor, beta: ma.Tensor, training: bool, relu: bool) -> ma.Tensor:
    """Return the output of one of the two operations; the fixed statistics are some of the values."""
    if training:
        return ops.batch_norm_train(x, gamma, beta, relu=relu)[0]
    mean = x.numpy().reshape(*x.shape[:2], -1)[0, :, 0].copy()
    return ops.batch_norm_eval(x, gamma, beta, mean, np.abs(mean) + mean.dtype.type(0.5), relu=relu)


def tensors(shape: tuple[int, ...], seed: int, dtype: Any) -> tuple[list[ma.Tensor], Array]:
    """Return x, γ and β of normal values, and an incoming gradient."""
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s).astype(dtype) for s in (shape, shape[1], shape[1], shape)]
    return [ma.Tensor(array, requires_grad=True) for array in arrays[:3]], arrays[3]


def gradients(inputs: list[ma.Tensor], output: ma.Tensor, weights: Array) -> list[Array]:
    """Send weights back from an output; return the gradients of the inputs, and forget them."""
    output.backward(weights)
    result = []
    for tensor in inputs:
        assert tensor.grad is not None
        result.append(tensor.grad.numpy())
        tensor.grad = None
    return result


@both_dtypes
@both_modes
@given(shape=shapes, seed=seeds)
def test_it_is_the_batch_norm_and_the_relu_one_after_the_other(
    dtype: Any, training: bool, shape: tuple[int, ...], seed: int
) -> None:
    """Outputs to the bit, gradients to rounding."""
    inputs, weights = tensors(shape, seed, dtype)
    fused = normalised(*inputs, training, relu=True)
    pair = normalised(*inputs, training, relu=False).relu()
    assert same_bits(fused.numpy(), pair.numpy())
    ours, wanted = gradients(inputs, fused, weights), gradients(inputs, pair, weights)
    for one, other in zip(ours, wanted, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=ROUNDING[dtype] * np.abs(other).max(initial=1))


@both_modes
@pytest.mark.parametrize("shape", [(5, 3), (4, 26), (3, 2, 5), (2, 3, 4, 3)])
def test_gradcheck(training: bool, shape: tuple[int, ...]) -> None:
    inputs, _ = tensors(shape, 3, np.float64)
    fixed = inputs[0].numpy().copy()

    def function(x: ma.Tensor, gamma: ma.Tensor, beta: ma.Tensor) -> ma.Tensor:
        if training:
            return normalised(x, gamma, beta, True, relu=True)
        mean = fixed.reshape(*shape[:2], -1)[0, :, 0].copy()
        return ops.batch_norm_eval(x, gamma, beta, mean, np.abs(mean) + 0.5, relu=True)

    assert ma.gradcheck(function, inputs)


@both_modes
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_is_of_no_matter(training: bool, layout: str) -> None:
    inputs, weights = tensors((4, 3, 2, 5), 1, np.float32)
    plain = normalised(*inputs, training, relu=True)
    moved = [ma.Tensor(LAYOUTS[layout](tensor.numpy()), requires_grad=True) for tensor in inputs]
    other = normalised(*moved, training, relu=True)
    assert same_bits(other.numpy(), plain.numpy())
    back = gradients(moved, other, LAYOUTS[layout](weights))
    assert all(map(same_bits, back, gradients(inputs, plain, weights)))


@both_modes
def test_nan_and_infinity_come_through(training: bool) -> None:
    """In training they reach all of their channel as NaN; in evaluation they stay where they are, but −∞ becomes 0."""
    x = np.zeros((4, 2), np.float32)
    x[:3, 1] = np.nan, np.inf, -np.inf
    ones, zeros = ma.tensor([1.0, 1.0]), ma.tensor([0.0, 0.0])
    if training:
        y = ops.batch_norm_train(ma.Tensor(x), ones, zeros, relu=True)[0]
        np.testing.assert_array_equal(y.numpy()[:, 1], np.nan)
    else:
        y = ops.batch_norm_eval(ma.Tensor(x), ones, zeros, zeros.numpy(), ones.numpy(), relu=True)
        np.testing.assert_array_equal(y.numpy()[:, 1], [np.nan, np.inf, 0, 0])
    np.testing.assert_array_equal(y.numpy()[:, 0], 0)


def test_a_batch_of_no_examples_goes_through_in_evaluation() -> None:
    channel = np.ones(3, np.float32)
    x = ma.Tensor(np.zeros((0, 3, 4), np.float32), requires_grad=True)
    y = ops.batch_norm_eval(x, ma.Tensor(channel), ma.Tensor(channel), channel, channel, relu=True)
    y.backward(np.zeros((0, 3, 4), np.float32))
    assert y.shape == (0, 3, 4)
    assert x.grad is not None
    assert x.grad.shape == (0, 3, 4)


@both_modes
def test_it_keeps_no_arrays_but_its_input_and_its_output(training: bool) -> None:
    inputs, _ = tensors((4, 3, 5), 0, np.float32)
    output = normalised(*inputs, training, relu=True)
    node = output._node
    assert isinstance(node, BatchNormTrain if training else BatchNormEval)
    kept = [value for value in node.saved if value.size > 3]
    assert len(kept) == 2
    assert kept[0] is inputs[0]._array
    assert np.shares_memory(kept[1], output._array)
    assert all(array.shape == (3,) for array in node.statistics)


@both_modes
def test_an_output_changed_in_place_is_noticed(training: bool) -> None:
    inputs, weights = tensors((4, 3), 0, np.float32)
    output = normalised(*inputs, training, relu=True)
    with ma.no_grad():
        output += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        output.backward(weights)


@both_modes
def test_without_the_relu_an_output_may_change(training: bool) -> None:
    inputs, weights = tensors((4, 3), 0, np.float32)
    output = normalised(*inputs, training, relu=False)
    with ma.no_grad():
        output += 1
    output.backward(weights)


def two_pairs() -> nn.Sequential:
    """Return a net with two batch norms that have a ReLU behind them, and one that has none."""
    ma.manual_seed(0)
    convolution = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*convolution, nn.Linear(36, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.BatchNorm1d(5))


def node_names(output: ma.Tensor) -> list[str]:
    """Return the operations that an output was made by, the newest first, along the first inputs."""
    names, node = [], output._node
    while isinstance(node, ma.Function):
        names.append(node.name())
        node = next((parent for parent in node._parents if isinstance(parent, ma.Function)), None)
    return names


@both_modes
def test_sequential_runs_them_as_one_operation(training: bool) -> None:
    net, same = two_pairs(), two_pairs()
    net.train(training)
    same.train(training)
    x = np.random.default_rng(0).standard_normal((6, 2, 5, 5)).astype(np.float32)
    output, single = net(x), ma.tensor(x)
    for module in same:
        single = module(single)
    assert same_bits(output.numpy(), single.numpy())
    assert "ReLU" not in node_names(output)
    assert node_names(single).count("ReLU") == 2
    state = same.state_dict()
    assert all(same_bits(value, state[name]) for name, value in net.state_dict().items())
    weights = np.random.default_rng(1).standard_normal(output.shape).astype(np.float32)
    ours = gradients(list(net.parameters()), output, weights)
    wanted = gradients(list(same.parameters()), single, weights)
    for one, other in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other).max(initial=1))


class Louder(nn.ReLU):
    """A ReLU that does something else."""

    def forward(self, x: Any) -> ma.Tensor:
        """Return twice the ReLU."""
        return super().forward(x) * 2


class Shifted(nn.BatchNorm1d):
    """A batch norm that does something else, and knows of no ReLU."""

    def forward(self, x: Any) -> ma.Tensor:  # type: ignore[override]
        """Return one more than the batch norm."""
        return super().forward(x) + 1


def test_sequential_leaves_modules_of_ones_own_alone() -> None:
    x = ma.tensor([[1.0], [3.0]])
    np.testing.assert_allclose(nn.Sequential(nn.BatchNorm1d(1), Louder())(x).numpy(), [[0], [2]], atol=1e-4)
    np.testing.assert_allclose(nn.Sequential(Shifted(1), nn.ReLU())(x).numpy(), [[0], [2]], atol=1e-4)


def test_the_last_module_and_a_relu_elsewhere_run_alone() -> None:
    x = ma.tensor([[1.0], [3.0]])
    np.testing.assert_allclose(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(1))(x).numpy(), [[-1], [1]], atol=1e-4)
    two = nn.Sequential(nn.BatchNorm1d(1), nn.ReLU(), nn.ReLU(), nn.BatchNorm1d(1), nn.Flatten(), nn.ReLU())
    np.testing.assert_allclose(two(x).numpy(), [[0], [1]], atol=1e-4)


@pytest.mark.parametrize("place", [0, 1])
def test_hooks_see_the_output_of_each_module(place: int) -> None:
    net = nn.Sequential(nn.BatchNorm1d(1), nn.ReLU())
    seen: list[Any] = []
    handle = net[place].register_forward_hook(lambda module, inputs, output: seen.append((inputs, output)))
    output = net(ma.tensor([[1.0], [3.0]]))
    (given,), result = seen[0]
    np.testing.assert_allclose(given.numpy().ravel(), ([1, 3], [-1, 1])[place], atol=1e-4)
    np.testing.assert_allclose(result.numpy().ravel(), ([-1, 1], [0, 1])[place], atol=1e-4)
    handle.remove()
    net(ma.tensor([[1.0], [3.0]]))
    assert len(seen) == 1
    assert output.shape == (2, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_layer_that_gives_nan_is_still_named(bad: float) -> None:
    net = two_pairs()
    with ma.no_grad():
        net[5].bias[0] = bad
    x = np.random.default_rng(0).standard_normal((6, 2, 5, 5)).astype(np.float32)
    assert first_non_finite(net, x).startswith("5 (BatchNorm1d): its input is finite, its parameter(s) bias")


@both_modes
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 2)])
def test_a_module_of_ones_own_asks_for_the_relu(training: bool, shape: tuple[int, ...]) -> None:
    norm = (nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)).train(training)
    x = ma.tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    assert same_bits(norm(x, relu=True).numpy(), norm(x).relu().numpy())


def test_an_error_still_names_the_batch_norm() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    with pytest.raises(ValueError, match=r"^Sequential\.0 \(BatchNorm2d\): the input must have 4 axes"):
        net(ma.tensor([[1.0, 2.0, 3.0]]))
