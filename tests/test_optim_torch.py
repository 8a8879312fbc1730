"""SGD, Adam and the schedules follow PyTorch's step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minadder import optim
from minadder.nn.parameter import Parameter
from minadder.tensor import Tensor

torch = pytest.importorskip("torch", reason="PyTorch is the reference that is compared with")

STEPS = 7
SHAPES = [(), (3,), (2, 3), (2, 1, 3, 2)]
TOLERANCES = {"float64": {"rtol": 1e-12, "atol": 1e-13}, "float32": {"rtol": 2e-5, "atol": 2e-6}}
SETTINGS = settings(deadline=None, max_examples=60)

rates = st.floats(1e-4, 1.0)
decays = st.sampled_from([0.0, 5e-4, 0.1])
dtypes = st.sampled_from(["float32", "float64"])
seeds = st.integers(0, 2**32 - 1)


@st.composite
def sgd_options(draw: st.DrawFn) -> dict[str, Any]:
    momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
    nesterov = momentum > 0 and draw(st.booleans())
    dampening = 0.0 if nesterov else draw(st.sampled_from([0.0, 0.3, 1.0]))
    options = {"momentum": momentum, "nesterov": nesterov, "dampening": dampening}
    return {"lr": draw(rates), "weight_decay": draw(decays), **options}


adam_options = st.fixed_dictionaries(
    {
        "lr": rates,
        "weight_decay": decays,
        "betas": st.sampled_from([(0.9, 0.999), (0.0, 0.9), (0.5, 0.9), (0.8, 0.99)]),  # others amplify rounding
        "eps": st.sampled_from([1e-8, 1e-3]),
    }
)


def follow(name: str, options: list[dict[str, Any]], dtype: str, seed: int) -> None:
    """Take the same steps with both libraries, one group for each of the options; some gradients are missing."""
    rng = np.random.default_rng(seed)
    starts = [[np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES] for _ in options]
    ours = [[Parameter(start.copy()) for start in group] for group in starts]
    theirs = [[torch.tensor(start, requires_grad=True) for start in group] for group in starts]
    our_groups = [{"params": group, **option} for group, option in zip(ours, options, strict=True)]
    their_groups = [{"params": group, **option} for group, option in zip(theirs, options, strict=True)]
    pairs = [pair for one, other in zip(ours, theirs, strict=True) for pair in zip(one, other, strict=True)]
    optimizer = getattr(optim, name)(our_groups, lr=0.1)
    reference = getattr(torch.optim, name)(their_groups, lr=0.1)
    for step in range(STEPS):
        optimizer.zero_grad()
        reference.zero_grad()
        for mine, other in pairs:
            grad = np.asarray(rng.normal(size=mine.shape), dtype)
            if rng.random() < 0.8:
                mine.grad, other.grad = Tensor(grad), torch.tensor(grad)
        if step == 4:
            for groups in (optimizer.param_groups, reference.param_groups):
                groups[0]["lr"] = 0.01
        optimizer.step()
        reference.step()
        for mine, other in pairs:
            np.testing.assert_allclose(mine.numpy(), other.detach().numpy(), **TOLERANCES[dtype])
            assert mine.dtype == dtype


@SETTINGS
@given(options=st.lists(sgd_options(), min_size=1, max_size=2), dtype=dtypes, seed=seeds)
def test_sgd_takes_the_steps_of_pytorch(options: list[dict[str, Any]], dtype: str, seed: int) -> None:
    follow("SGD", options, dtype, seed)


@SETTINGS
@given(options=st.lists(adam_options, min_size=1, max_size=2), dtype=dtypes, seed=seeds)
def test_adam_takes_the_steps_of_pytorch(options: list[dict[str, Any]], dtype: str, seed: int) -> None:
    follow("Adam", options, dtype, seed)


@SETTINGS
@given(options=st.lists(adam_options, min_size=1, max_size=2), dtype=dtypes, seed=seeds)
def test_adamw_takes_the_steps_of_pytorch(options: list[dict[str, Any]], dtype: str, seed: int) -> None:
    follow("AdamW", options, dtype, seed)


def test_the_defaults_are_those_of_pytorch() -> None:
    ours, theirs = Parameter(np.zeros(1)), torch.zeros(1, requires_grad=True)
    for optimizer, reference in [
        (optim.SGD([ours], lr=0.1), torch.optim.SGD([theirs], lr=0.1)),
        (optim.Adam([ours]), torch.optim.Adam([theirs])),
        (optim.AdamW([ours]), torch.optim.AdamW([theirs])),
    ]:
        group = optimizer.param_groups[0]
        shared = set(group) & set(reference.param_groups[0]) - {"params"}
        assert shared >= {"lr", "weight_decay"}
        assert {name: group[name] for name in shared} == {name: reference.param_groups[0][name] for name in shared}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_gradient_that_is_not_finite_is_applied_without_a_word(name: str, bad: float) -> None:
    start, grad = np.array([1.0, 2.0, 3.0], np.float32), np.array([bad, 1.0, 0.0], np.float32)
    ours, theirs = Parameter(start.copy()), torch.tensor(start, requires_grad=True)
    ours.grad, theirs.grad = Tensor(grad), torch.tensor(grad)
    getattr(optim, name)([ours], lr=0.1).step()
    getattr(torch.optim, name)([theirs], lr=0.1).step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-6)


def rates_of_pytorch(make_schedule: Any, total: int, lr: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = make_schedule(optimizer)
    result = []
    for _ in range(total + 1):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return result


def assert_same_rates(schedule: optim.Schedule, expected: list[float], total: int, lr: float) -> None:
    optimizer = optim.SGD([Parameter(np.zeros(1))], lr=lr)
    for step, rate in enumerate(expected):
        schedule.set_lr(optimizer, step / total)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-9, abs=1e-12)


@SETTINGS
@given(total=st.integers(1, 40), lr=rates, final=st.floats(0.0, 1.0))
def test_cosine_is_cosine_annealing(total: int, lr: float, final: float) -> None:
    expected = rates_of_pytorch(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total, eta_min=final * lr), total, lr
    )
    assert_same_rates(optim.Cosine(final=final), expected, total, lr)


@SETTINGS
@given(total=st.integers(1, 40), lr=rates, power=st.floats(0.5, 3.0))
def test_polynomial_is_polynomial_lr(total: int, lr: float, power: float) -> None:
    expected = rates_of_pytorch(
        lambda optimizer: torch.optim.lr_scheduler.PolynomialLR(optimizer, total, power=power), total, lr
    )
    assert_same_rates(optim.Polynomial(power=power), expected, total, lr)


@SETTINGS
@given(total=st.integers(4, 40), lr=rates, gamma=st.floats(0.05, 2.0), data=st.data())
def test_step_is_multi_step_lr(total: int, lr: float, gamma: float, data: st.DataObject) -> None:
    milestones = sorted(data.draw(st.sets(st.integers(1, total - 1), min_size=1, max_size=3)))
    expected = rates_of_pytorch(
        lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=gamma), total, lr
    )
    schedule = optim.Step(tuple(milestone / total for milestone in milestones), gamma=gamma)
    assert_same_rates(schedule, expected, total, lr)
