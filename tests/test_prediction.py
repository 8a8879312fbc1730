"""Classes and probabilities of inputs, evaluation of arrays: what comes out, and that the net is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import data, models, nn


def net_of(classes: int, seed: int = 0) -> nn.Module:
    ma.manual_seed(seed)
    return models.mlp((2, 5, classes), "adder")


@given(st.integers(0, 600), st.integers(2, 4), st.integers(0, 99))
def test_classes_are_the_likeliest_of_all_and_shares_are_the_softmax(count, classes, seed):
    net = net_of(classes, seed)
    points = np.random.default_rng(seed).standard_normal((count, 2))
    shares = ma.predict_proba(net, points)
    assert shares.shape == (count, classes)
    net.eval()
    with ma.no_grad():
        logits = net(ma.tensor(points.astype(np.float32))).numpy().astype(np.float64)
    wanted = np.exp(logits - logits.max(1, keepdims=True, initial=0))
    np.testing.assert_allclose(shares, wanted / wanted.sum(1, keepdims=True), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
    named = ma.predict(net, points)
    assert named.dtype == np.int64
    np.testing.assert_array_equal(named, logits.argmax(axis=1))


@pytest.mark.parametrize("shape", [(3, 1), (3,)])
def test_a_single_logit_has_two_classes(shape):
    class Single(nn.Module):
        def forward(self, x):
            return ma.tensor([-800.0, 0.0, 800.0]).reshape(shape)

    assert ma.predict(Single(), np.zeros((3, 2))).tolist() == [0, 0, 1]
    np.testing.assert_array_equal(ma.predict_proba(Single(), np.zeros((3, 2))), [[1, 0], [0.5, 0.5], [0, 1]])


def test_the_net_is_left_as_it_was():
    net = net_of(3)
    net.bn1.eval()
    before = {name: array.tobytes() for name, array in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    points = np.random.default_rng(0).standard_normal((40, 2))
    ma.predict(net, points)
    ma.predict_proba(net, points)
    ma.evaluate(net, (points, np.zeros(40, int)))
    assert modes == [module.training for module in net.modules()]
    assert before == {name: array.tobytes() for name, array in net.state_dict().items()}
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_net_of_float64_is_asked_in_float64():
    net = net_of(2)
    net.to("float64")
    assert ma.predict_proba(net, [[1, 2]]).shape == (1, 2)


def test_data_sets_and_arrays_give_the_same():
    net, points = net_of(2), data.two_balls(300)
    np.testing.assert_array_equal(ma.predict(net, points), ma.predict(net, points.inputs.tolist()))
    assert ma.evaluate(net, points) == ma.evaluate(net, (points.inputs.tolist(), points.labels.tolist()))
    score = ma.evaluate(net, points)
    assert score.accuracy == (ma.predict(net, points) == points.labels).mean() == score[1]


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ([1.0, 2.0], ValueError, r"the inputs must have a row for each example.*X\[None\] for a single example"),
        ([["a", "b"]], TypeError, "must hold real numbers"),
        (np.zeros((2, 3)), ValueError, r"fc1 \(AdderLinear\).*\(2, 3\)"),
        (data.Loader(data.xor(10)), TypeError, "pass its dataset"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs, error, message):
    with pytest.raises(error, match=message):
        ma.predict(net_of(2), inputs)


def test_nan_is_no_class():
    net = net_of(2)
    net.fc2.weight.data = np.full(net.fc2.weight.shape, np.nan, np.float32)
    with pytest.raises(RuntimeError, match=r"NaN or Inf for 1 of 1 .* to do so is fc2 \(AdderLinear\)"):
        ma.predict(net, [[1, 2]])


def test_images_are_no_logits():
    with pytest.raises(ValueError, match=r"logits of shape \(1, classes\) or \(1, 1\), not shape \(1, 2, 3, 3\)"):
        ma.predict(nn.BatchNorm2d(2).eval(), np.zeros((1, 2, 3, 3)))
