"""The graph and the pass back over it."""

from __future__ import annotations

import copy
import threading
import weakref

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


@given(steps=st.lists(st.booleans(), max_size=6))
def test_doubling_and_squaring_have_their_closed_form(steps):
    a, b = leaf(1.5), None
    factor, power = 1.0, 1  # b = factor · a^power
    b = a
    for square in steps:
        b = b * b if square else b + b
        factor, power = (factor * factor, 2 * power) if square else (2 * factor, power)
    b.backward()
    assert b.item() == pytest.approx(factor * 1.5**power, rel=1e-12)
    assert a.grad.item() == pytest.approx(factor * power * 1.5 ** (power - 1), rel=1e-12)


def test_paths_are_added_up_not_walked_one_by_one():
    a = leaf(1.0)
    b = a
    for _ in range(200):
        b = b + b  # 2^200 paths
    b.backward()
    assert a.grad.item() == 2.0**200


@given(uses=st.integers(1, 30))
def test_a_tensor_used_many_times(uses):
    a = leaf([1.0, -2.0])
    total = sum(a * float(number) for number in range(1, uses + 1))
    (total.sum() + ma.ops.stack([a] * uses).sum()).backward()
    assert a.grad.tolist() == [uses * (uses + 1) / 2 + uses] * 2


def test_an_operand_used_on_both_sides_of_an_operation():
    for function, wanted in (
        (lambda a: a / a, 0.0),
        (lambda a: a - a, 0.0),
        (lambda a: a.maximum(a), 1.0),
        (lambda a: a**a, 4 * (np.log(2) + 1)),
        (lambda a: a.reshape(1, 1) @ a.reshape(1, 1), 4.0),
        (lambda a: ma.ops.where(np.array(True), a, a), 1.0),
    ):
        a = leaf(2.0)
        function(a).backward()
        assert a.grad.item() == pytest.approx(wanted)


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


@pytest.mark.parametrize("length", [1, 2, 7])
def test_backward_holds_one_gradient_and_frees_what_it_has_passed(length):
    saved, gradients, seen = [], [], []

    class Triple(ma.Function):
        def forward(self, x, w):
            own = 3 * x
            saved.append(weakref.ref(own))
            self.saved = own, w
            return own + w

        def backward(self, grad):
            seen.append([sum(reference() is not None for reference in made) for made in (saved, gradients)])
            for_x, for_w = 3 * grad, grad.copy()
            gradients.extend(map(weakref.ref, (for_x, for_w)))
            return for_x, for_w

    a, w = leaf([1.0, 2.0]), leaf([0.0, 0.0])
    b = a
    for _ in range(length):
        b = Triple.apply(b, w)
    b.sum().backward()
    assert a.grad.tolist() == [3.0**length, 3.0**length]
    assert [kept for kept, _ in seen] == list(range(length, 0, -1))
    # The last gradient given out, that of w, is held until the next one is.
    assert [given for _, given in seen] == [0] + [2] * (length - 1)
    assert not any(reference() is not None for reference in (*saved, *gradients))


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


def test_threads_that_overlap_in_a_decorated_function_do_not_mix():
    inside, leave = threading.Event(), threading.Event()
    enabled = []

    @ma.no_grad()
    def run(action):
        action()

    def other():
        run(lambda: (inside.set(), leave.wait(timeout=10)))
        enabled.append(ma.is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(timeout=10)
    with ma.no_grad():
        run(lambda: (leave.set(), thread.join()))  # the thread entered first and leaves first
        assert not ma.is_grad_enabled()
    assert ma.is_grad_enabled()
    assert enabled == [True]


def test_a_decorated_function_that_fails_switches_back():
    @ma.no_grad()
    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert ma.is_grad_enabled()


def test_backward_goes_inside_no_grad_too():
    a = leaf(3.0)
    b = a * a
    with ma.no_grad():
        b.backward()
    assert a.grad.item() == 6
    assert not a.grad.requires_grad


def test_detach_cuts_the_graph_and_shares_the_memory():
    a = leaf(3.0)
    b = (a * a).detach()
    assert not b.requires_grad
    (a * b).backward()
    assert a.grad.item() == 9


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
    with pytest.raises(RuntimeError, match=r"shape \(0,\)"):
        (a[:0] * 2).backward()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", [[1.0, 10.0], (1, 10), np.array([1.0, 10.0]), ma.tensor([1.0, 10.0])])
def test_a_gradient_to_start_from_may_be_numbers(dtype, start):
    a = leaf([1.0, 2.0], dtype)
    given = start.astype(dtype) if isinstance(start, (np.ndarray, ma.Tensor)) else start
    (a * 2).backward(given)
    assert a.grad.tolist() == [2, 20]
    assert a.grad.dtype == dtype


def test_a_tensor_that_was_not_used_has_no_gradient():
    a, b = leaf([1.0, 2.0]), leaf(1.0)
    unused = b * 2
    (a[:1] * ma.tensor([3.0], dtype="float64")).sum().backward()
    assert b.grad is None
    assert unused.grad is None
    assert a.grad.tolist() == [3, 0]


def test_backward_from_the_middle_and_then_from_the_end():
    a = leaf(2.0)
    b = a * a
    c = b * a
    b.backward(retain_graph=True)
    assert a.grad.item() == 4
    c.backward()
    assert a.grad.item() == 4 + 12


def test_a_result_of_no_grad_is_a_constant():
    a = leaf(2.0)
    with ma.no_grad():
        b = a * a
    assert b.is_leaf
    (a * b).backward()
    assert (a.grad.item(), b.grad) == (4, None)


def test_backward_of_a_leaf_is_its_gradient():
    a = leaf(5.0)
    a.backward()
    assert a.grad.item() == 1


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

    def run():
        for tensor in inputs:
            tensor.grad = None
        output = f(*inputs)
        output.backward(np.array([1.0, -0.5, 2.0]))
        return [output.tolist(), *(None if tensor.grad is None else tensor.grad.tolist() for tensor in inputs)]

    assert run() == run()


def test_a_computed_tensor_is_not_copied_with_its_graph():
    a = leaf(2.0)
    b = a * 2
    with pytest.raises(RuntimeError, match=r"computed \(node=Multiply\).*detach"):
        copy.deepcopy(b)
    assert copy.deepcopy(b.detach()).item() == 4
    twin = copy.deepcopy(a)
    (twin * 3).backward()
    assert (twin.grad.item(), a.grad) == (3, None)


def test_flatten_of_a_single_axis_is_the_tensor_itself():
    a = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert a.flatten(1) is a
    assert a.flatten(0, -2) is a
    assert a.flatten().shape == (4,)
