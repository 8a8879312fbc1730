"""The graph and the pass back over it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma


def leaf(values=2.0, dtype="float64"):
    return ma.tensor(values, dtype=dtype, requires_grad=True)


def test_a_result_used_twice_gets_both_gradients():
    a = leaf()
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4
    a = leaf(3.0)
    b = a * a
    (b * b).backward()
    assert a.grad.item() == 4 * 3**3


def test_a_diamond_of_different_depths():
    a = leaf(2.0)
    deep = ((a * 3 + 1) * a).exp()
    (deep * a + a).backward()
    value = np.exp(14.0)
    assert a.grad.item() == pytest.approx(value * (1 + 2 * (6 * 2 + 1)) + 1, rel=1e-12)


def test_gradients_accumulate_until_they_are_cleared():
    a = leaf([1.0, 2.0])
    for count in (1, 2, 3):
        (a * a).sum().backward()
        np.testing.assert_array_equal(a.grad.numpy(), count * np.array([2.0, 4.0]))
    a.grad = None
    a.sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), [1, 1])


@pytest.mark.parametrize("length", [100_000])
def test_a_long_chain_goes_forward_back_and_away_without_recursion(length):
    a = leaf(1.0)
    b = a
    for _ in range(length):
        b = b + a
    b.backward()
    assert a.grad.item() == length + 1
    for _ in range(length):
        b = b + a
    del b  # a chain that was never gone back over must also be freed without recursion


def test_a_second_backward_is_an_error_unless_the_graph_is_kept():
    a = leaf(3.0)
    b = a * a
    b.backward(retain_graph=True)
    b.backward()
    assert a.grad.item() == 12
    with pytest.raises(RuntimeError, match=r"already called.*retain_graph=True"):
        b.backward()


def test_a_graph_that_shares_a_freed_part_is_an_error():
    a = leaf(3.0)
    b = a * a
    (b + 1).backward()
    with pytest.raises(RuntimeError, match="already called"):
        (b * 2).backward()
    assert a.grad.item() == 6


def test_only_leaves_and_retained_results_keep_gradients():
    a, c = leaf(3.0), ma.tensor(5.0, dtype="float64")
    b = a * c
    d = (b + 1).retain_grad()
    (d * 2).backward()
    assert (a.grad.item(), b.grad, c.grad, d.grad.item()) == (10, None, None, 2)


def test_no_grad_nests_survives_errors_and_decorates():
    a = leaf()
    with ma.no_grad():
        with ma.no_grad():
            assert not (a * 2).requires_grad
        assert not (a * 2).requires_grad
    with pytest.raises(KeyError), ma.no_grad():
        raise KeyError
    assert (a * 2).requires_grad

    @ma.no_grad()
    def twice(x):
        return x * 2

    assert not twice(a).requires_grad
    assert ma.is_grad_enabled()


def test_no_grad_is_of_its_own_thread():
    seen = []
    with ma.no_grad():
        thread = threading.Thread(target=lambda: seen.append(ma.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_detach_cuts_the_graph_and_shares_the_memory():
    a = leaf(3.0)
    b = (a * a).detach()
    assert not b.requires_grad
    (a * b).backward()
    assert a.grad.item() == 9


CHANGES = {
    "copy_": lambda t: t.copy_(np.full(t.shape, 9.0)),
    "data =": lambda t: setattr(t, "data", np.full(t.shape, 9.0)),
    "+=": lambda t: t.__iadd__(1.0),
    "setitem": lambda t: t.__setitem__(0, 9.0),
    "through a view": lambda t: t.reshape(-1).__setitem__(0, 9.0),
    "through detach": lambda t: t.detach().__imul__(2.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("what", ["input", "output", "view of input"])
def test_a_change_in_place_between_forward_and_backward_is_an_error(change, what):
    a = leaf([1.0, 2.0])
    if what == "input":
        changed, result = a, (a * a).sum()
    elif what == "output":
        changed = a.exp()
        result = changed.sum()
    else:
        changed, result = a, (a.reshape(2, 1) * 3.0 * a.reshape(1, 2)).sum()
    with ma.no_grad():
        change(changed)
    with pytest.raises(RuntimeError, match=r"changed in place 1 time"):
        result.backward()


def test_a_change_that_no_derivative_depends_on_is_right():
    a = leaf([1.0, 2.0])
    result = (a + 3).sum()
    with ma.no_grad():
        a[0] = 7.0
    result.backward()
    np.testing.assert_array_equal(a.grad.numpy(), [1, 1])


def test_a_change_in_place_while_the_graph_is_recorded_is_an_error():
    a, b = leaf([1.0]), ma.tensor([1.0], dtype="float64")
    for change in CHANGES.values():
        if change not in (CHANGES["data ="], CHANGES["through detach"]):
            with pytest.raises(RuntimeError, match=r"in place|lose"):
                change(a)
    with pytest.raises(RuntimeError, match="lose that gradient"):
        b += a
    with pytest.raises(RuntimeError, match="lose the value's gradient"):
        b[0] = a[0]
    assert a.tolist() == b.tolist() == [1.0]


def test_the_own_step_of_a_learner_works():
    w = leaf([1.0, 2.0])
    (w * w).sum().backward()
    with ma.no_grad():
        w -= 0.25 * w.grad
    assert w.tolist() == [0.5, 1.0]
    assert w.requires_grad


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda grad: (grad, grad), "returned 2 gradient"),
        (lambda grad: grad[:1], r"shape \(1,\).*input of shape \(2,\)"),
        (lambda grad: grad.astype("float32"), "float32.*float64"),
        (lambda grad: None, "returned None"),
    ],
)
def test_a_wrong_backward_of_an_operation_is_named(answer, message):
    class Wrong(ma.Function):
        def forward(self, x):
            return x * 1

        def backward(self, grad):
            return answer(grad)

    with pytest.raises(RuntimeError, match=rf"Wrong\.backward.*{message}|Wrong\.backward {message}"):
        Wrong.apply(leaf([1.0, 2.0])).sum().backward()


def test_an_operation_needs_tensors():
    for call in (ma.ops.relu, ma.ops.tanh):
        with pytest.raises(TypeError, match=r"needs tensors, not ndarray: use ma\.tensor"):
            call(np.ones(2))


def test_backward_needs_a_graph_and_a_fitting_gradient():
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        ma.tensor([1.0]).backward()
    a = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"one element; this one has shape \(2,\)"):
        (a * 2).backward()
    for wrong in (np.ones(3), np.ones(2, np.float32)):
        with pytest.raises(ValueError, match="the gradient has shape"):
            (a * 2).backward(wrong)
    (a * 2).backward(np.array([1.0, 10.0]))
    assert a.grad.tolist() == [2, 20]


def test_backward_of_a_leaf_is_its_gradient():
    a = leaf(5.0)
    a.backward()
    assert a.grad.item() == 1


def test_gradients_own_their_memory():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    start = np.array([1.0, 1.0])
    c = a + b
    c.retain_grad()
    c.backward(start)
    arrays = [a.grad._array, b.grad._array, c.grad._array, start, a._array, b._array, c._array]
    for number, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[:number])


BINARY = (lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x.maximum(y) + y.tanh())
UNARY = (lambda x: x.tanh(), lambda x: -x, lambda x: x * x, lambda x: x.sum() + x * 0.5, lambda x: x.reshape(-1)[::-1])


@given(data=st.data())
def test_random_graphs_agree_with_finite_differences(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    plan = data.draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 99), st.integers(0, 99)), max_size=12))

    def f(*tensors):
        values = list(tensors)
        for kind, i, j in plan:
            x, y = values[i % len(values)], values[j % len(values)]
            values.append(BINARY[kind](x, y) if kind < len(BINARY) else UNARY[kind - len(BINARY)](x))
        total = values[0] * 0.1
        for value in values[-4:]:
            total = total + value.tanh()
        return total

    inputs = [leaf(rng.standard_normal(3)) for _ in range(2)]
    assert ma.gradcheck(f, inputs, rtol=1e-4, atol=1e-6)
