"""Tensors under PyTorch's words: `dim`, `view`, `permute`, formats; and tensors of PyTorch where ours are wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import nn, ops

torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

VALUES = np.arange(24.0).reshape(2, 3, 4) % 7
REDUCTIONS = ("sum", "mean", "max", "min", "var", "std")


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [0, -1, (0, 2), None])
def test_dim_and_keepdim_are_axis_and_keepdims(name: str, keepdim: bool, dim: Any) -> None:
    x = ma.tensor(VALUES, requires_grad=True)
    wanted = getattr(x, name)(axis=dim, keepdims=keepdim)
    for call in (getattr(x, name), lambda **words: getattr(ops, name)(x, **words)):
        given = call(dim=dim, keepdim=keepdim)
        np.testing.assert_array_equal(given.numpy(), wanted.numpy())
        assert given.shape == wanted.shape
    assert getattr(x, name)(0, keepdim=True).shape == (1, 3, 4)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions_give_what_pytorchs_give(name: str, keepdim: bool) -> None:
    ours, theirs = ma.tensor(VALUES, requires_grad=True), torch.tensor(VALUES, requires_grad=True)
    for x in (ours, theirs):
        (getattr(x, name)(dim=(0, 2), keepdim=keepdim) ** 2).sum().backward()  # type: ignore[attr-defined]
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12)


def test_dim_elsewhere() -> None:
    x = ma.tensor(VALUES)
    assert x.unsqueeze(dim=1).shape == ops.unsqueeze(x, dim=1).shape == (2, 1, 3, 4)  # type: ignore[call-arg]
    assert x.unsqueeze(dim=1).squeeze(dim=1).shape == x.shape
    np.testing.assert_array_equal(x.argmax(dim=1), VALUES.argmax(axis=1))  # type: ignore[call-arg]
    np.testing.assert_array_equal(x.argmin(dim=-1), VALUES.argmin(axis=-1))  # type: ignore[call-arg]
    assert ops.concatenate([x, x], dim=2).shape == (2, 3, 8)  # type: ignore[call-arg]
    assert ops.stack([x, x], dim=3).shape == (2, 3, 4, 2)  # type: ignore[call-arg]


TWICE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "both by name": (lambda x: x.sum(axis=0, dim=0), "sum: dim is another name of axis"),
    "axis by place": (lambda x: x.mean(0, dim=0), "mean: dim is another name of axis"),
    "None counts": (lambda x: x.max(axis=None, dim=0), "max: dim is another name of axis"),
    "keepdims": (lambda x: x.min(keepdims=False, keepdim=True), "min: keepdim is another name of keepdims"),
    "keepdims by place": (lambda x: x.var(0, 1, True, keepdim=True), "var: keepdim is another name of keepdims"),
    "of a function": (lambda x: ops.sum(x, 0, dim=0), "sum: dim is another name of axis"),
    "of a list": (lambda x: ops.stack([x], 0, dim=0), "stack: dim is another name of axis"),
    "argmax": (lambda x: x.argmax(0, dim=0), "argmax: dim is another name of axis"),
    "no keepdims": (lambda x: x.argmax(dim=0, keepdim=True), "argmax takes no argument 'keepdim'"),
    "unknown": (lambda x: x.sum(dims=0), "dims"),
}


@pytest.mark.parametrize(("call", "message"), TWICE.values(), ids=TWICE)
def test_an_axis_given_twice_is_refused(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(ma.tensor(VALUES))


@given(order=st.permutations(range(3)), data=st.data())
def test_permute_and_view_are_pytorchs(order: list[int], data: st.DataObject) -> None:
    order = [axis - 3 if data.draw(st.booleans()) else axis for axis in order]
    ours, theirs = ma.tensor(VALUES, requires_grad=True), torch.tensor(VALUES, requires_grad=True)
    weights = np.random.default_rng(0).standard_normal((4, 6))
    for x, w in ((ours, ma.tensor(weights)), (theirs, torch.tensor(weights))):
        turned = x.permute(*order) if data.draw(st.booleans()) else x.permute(order)  # type: ignore[attr-defined]
        (turned.reshape(4, 6) * w).sum().backward()
    np.testing.assert_array_equal(ours.permute(*order).numpy(), theirs.permute(*order).detach().numpy())
    assert ours.grad is not None
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())
    assert ours.view(6, -1).shape == ours.view((6, 4)).shape == (6, 4)
    assert ours.numel() == theirs.numel() == 24


@pytest.mark.parametrize("axes", [(), (0,), (0, 1), (0, 0, 1), (0, 1, 3), (0, 1, 2, 3), (0.0, 1, 2), ("a", 0, 1)])
def test_permute_needs_each_axis_once(axes: Any) -> None:
    for listed in (axes, (axes,)):
        with pytest.raises((TypeError, ValueError), match=r"each of the 3 axes|permute: an axis must be"):
            ma.tensor(VALUES).permute(*listed)
    assert ma.tensor(1.0).permute().shape == ()


@given(value=st.floats(-1e6, 1e6, width=32), spec=st.sampled_from([".3f", ".2e", "g", "+8.1f", "%"]))
def test_a_tensor_of_one_number_is_formatted_as_the_number(value: float, spec: str) -> None:
    for x in (ma.tensor(value), ma.tensor([[value]])):
        assert f"{x:{spec}}" == format(value, spec)
        assert int(x) == int(value)
        assert f"{x}" == repr(x)


def test_what_is_no_number_has_no_format() -> None:
    x = ma.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match=r"the format '\.3f' is for one number, and this tensor has shape \(2,\)"):
        f"{x:.3f}"
    with pytest.raises(ValueError, match="one element"):
        int(x)
    with pytest.raises(ValueError, match="NaN"):
        int(ma.tensor(float("nan")))
    with pytest.raises(ValueError, match=r"Unknown format code|Invalid format"):
        f"{ma.tensor(1.0):x}"


THEIRS = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
DOORS: dict[str, Callable[[Any], Any]] = {
    "a layer": nn.Linear(2, 2),
    "a layer in a net": nn.Sequential(nn.Flatten(), nn.Linear(2, 2)),
    "Tensor": ma.Tensor,
    "Parameter": nn.Parameter,
    **{name: getattr(ops, name) for name in ("relu", "exp", "sum", "permute", "hardtanh", "binarize")},
    "matmul": lambda x: ops.linear(x, ma.tensor([[1.0, 2.0]])),
    "cross_entropy": lambda x: ops.cross_entropy(x, [0, 1]),
    "adder_linear": lambda x: ops.adder_linear(ma.tensor([[1.0, 2.0]]), x),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_tensor_of_pytorch_gets_an_error_that_says_what_to_do(door: Callable[[Any], Any]) -> None:
    for theirs in (THEIRS, torch.nn.Parameter(THEIRS)):
        with pytest.raises(
            TypeError, match=r"a tensor of PyTorch: pass ma\.tensor\(x\.detach\(\)\.cpu\(\)\.numpy\(\)\)"
        ):
            door(theirs)


@pytest.mark.parametrize("theirs", [THEIRS.clone().requires_grad_(), THEIRS.bfloat16(), THEIRS.to("meta")])
def test_a_tensor_that_numpy_cannot_read_gets_one_too(theirs: Any) -> None:
    ours = ma.tensor([1.0, 2.0])
    for use in (ma.tensor, lambda x: ours * x, lambda x: ours.maximum(x), lambda x: ours.copy_(x)):
        with pytest.raises(TypeError, match=r"cannot be read as it is \(.*pass x\.detach\(\)\.cpu\(\)\.numpy\(\)"):
            use(theirs)


def test_one_that_numpy_reads_is_taken_where_arrays_are() -> None:
    assert ma.tensor(THEIRS.double()).dtype == np.float64
    assert (ma.tensor([1.0, 2.0]) * THEIRS).tolist() == [[1, 4], [3, 8]]
    assert ops.cross_entropy(ma.tensor([[0.0, 0.0]]), torch.tensor([1])).item() == pytest.approx(np.log(2))
    with pytest.raises(TypeError, match="tensors hold floats"):
        ma.tensor(torch.tensor([1]))
