"""What may lie behind a tensor: plain arrays. Others are made plain where that keeps their meaning, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import nn, ops
from minadder.autograd import Array
from minadder.tensor import Tensor

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # np.matrix itself


class Metres(np.ndarray):
    """Numbers with a unit."""


VALUES = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
MASKED = np.ma.masked_array(VALUES, [[False, True], [False, False]])

REFUSED: dict[str, Any] = {
    "masked entries": MASKED,
    "a unit": VALUES.view(Metres),
}

DOORS: dict[str, Callable[[Any], Any]] = {
    "ma.tensor": ma.tensor,
    "ma.tensor of a list": lambda array: ma.tensor([array, array]),
    "ma.tensor with dtype": lambda array: ma.tensor(array, dtype="float64"),
    "Tensor": Tensor,
    "Parameter": nn.Parameter,
    "add": lambda array: ma.tensor(VALUES) + array,
    "radd": lambda array: array + ma.tensor(VALUES),
    "multiply": lambda array: ma.tensor(VALUES) * array,
    "rmul": lambda array: array * ma.tensor(VALUES),
    "matmul": lambda array: ma.tensor(VALUES) @ array,
    "maximum": lambda array: ma.tensor(VALUES).maximum(array),
    "where": lambda array: ops.where(VALUES > 1, array, ma.tensor(VALUES)),
    "condition": lambda array: ops.where(array > 1, ma.tensor(VALUES), 0.0),
    "+=": lambda array: ma.tensor(VALUES).__iadd__(array),
    "[...] =": lambda array: ma.tensor(VALUES).__setitem__(..., array),
    "copy_": lambda array: ma.tensor(VALUES).copy_(array),
    "data =": lambda array: setattr(ma.tensor(VALUES), "data", array),
    "backward": lambda array: ma.tensor(VALUES, requires_grad=True).backward(array),
    "==": lambda array: ma.tensor(VALUES) == array,
    "<": lambda array: ma.tensor(VALUES) < array,
    "a module": lambda array: nn.Linear(2, 2)(array),
    "targets": lambda array: ops.bce_with_logits(ma.tensor(VALUES), array / 4),
    "labels": lambda array: ops.cross_entropy(ma.tensor(VALUES), (array[0] > 9) * 1),
    "an index": lambda array: ma.tensor([1.0, 2.0, 3.0, 4.0, 5.0])[(array > 9) * 1],
    "an index in a tuple": lambda array: ma.tensor([1.0, 2.0, 3.0, 4.0, 5.0])[(array > 9) * 1, None],
    "statistics": lambda array: ops.batch_norm_eval(
        ma.tensor(VALUES), ma.tensor([1.0, 1.0]), ma.tensor([0.0, 0.0]), array[0], VALUES[0]
    ),
    "a state": lambda array: nn.Linear(2, 2).load_state_dict({"weight": array, "bias": VALUES[0]}),
    "a buffer": lambda array: nn.Module().register_buffer("kept", array),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_what_means_more_than_its_numbers_is_refused(given: Any, door: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"masked entries, which no tensor can hold: fill them|Metres, whose meaning"):
        door(given)


def memmap(folder: Path) -> Array:
    """Return the values as a read-only file."""
    np.save(folder / "values.npy", VALUES)
    return np.asanyarray(np.load(folder / "values.npy", mmap_mode="r"))


PLAIN: dict[str, Callable[[Path], Any]] = {
    "nothing masked": lambda folder: np.ma.masked_array(VALUES, False),
    "no mask": lambda folder: np.ma.masked_array(VALUES),
    "a memmap": memmap,
    "a matrix": lambda folder: np.asmatrix(VALUES),
    "a record array": lambda folder: VALUES.view(np.recarray),
    "read-only": lambda folder: np.broadcast_to(VALUES, (2, 2)),
}


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_what_means_just_its_numbers_becomes_plain(make: Callable[[Path], Any], tmp_path: Path) -> None:
    given = make(tmp_path)
    for x in (ma.tensor(given), Tensor(given), nn.Parameter(given), nn.Flatten()(given)):
        assert type(x._array) is np.ndarray
        np.testing.assert_array_equal((x * x).numpy(), VALUES * VALUES)
        np.testing.assert_array_equal((2.0 * x)[0].numpy(), 2 * VALUES[0])
        assert type(x.numpy()) is np.ndarray
    if not isinstance(given, np.matrix):
        np.testing.assert_array_equal((given * ma.tensor(VALUES)).numpy(), VALUES * VALUES)


def test_a_matrix_is_no_operand() -> None:
    """It would be a matrix product for who thinks of the matrix, and is one entry by entry for the tensor."""
    x, m = ma.tensor(VALUES), np.asmatrix(VALUES)
    for use in (lambda: x * m, lambda: m * x, lambda: x / m, lambda: x + m, lambda: x.__imul__(m)):
        with pytest.raises(TypeError, match=r"np\.matrix multiplies as matrices.*np\.asarray"):
            use()


@pytest.mark.parametrize(
    "given",
    [
        np.array([1.0, 2.0], np.longdouble),
        np.array([1.0, 2.0], object),
        np.array([(1.0, 2.0)], "f4,f4"),
        np.array([1j]),
        np.array(["2020-01-01"], "M8[D]"),
        np.array(["1"]),
        np.array([b"1"]),
    ],
)
def test_dtypes_that_are_no_floats(given: Any) -> None:
    with pytest.raises(TypeError, match=r"dtype|cannot hold"):
        ma.tensor(given)
    for door in (Tensor, nn.Parameter, nn.Flatten()):
        with pytest.raises(TypeError, match="float32 or float64, not an array of"):
            door(given)
    with pytest.raises(TypeError):
        ma.tensor([1.0, 2.0]) + given


def test_dtypes_that_are_converted() -> None:
    assert ma.tensor(np.array([1.0, 2.0], ">f8")).dtype == np.float64
    assert ma.tensor(np.array([1.0, 2.0], ">f8")).tolist() == [1, 2]
    assert ma.tensor(np.array([1.0, 2.0], np.float16)).dtype == np.float32
    assert ma.tensor(np.array([1.0, 2.0], np.longdouble), dtype="float64").tolist() == [1, 2]
    with pytest.raises(TypeError, match=r"not an array of >f4: use ma\.tensor"):
        Tensor(np.ones(2, ">f4"))


@pytest.mark.parametrize("dtype", [None, "x", "float16", int, 5, ">f4", "f4,f4", object])
def test_dtypes_to_convert_to(dtype: Any) -> None:
    doors: list[Callable[[], Any]] = [lambda: ma.tensor([1.0]).astype(dtype), lambda: nn.Linear(1, 1).to(dtype)]
    if dtype is not None:
        doors.append(lambda: ma.tensor([1.0], dtype=dtype))
    for door in doors:
        with pytest.raises(TypeError, match=r"(astype|to|ma\.tensor): the dtype is float32 or float64, not "):
            door()


def test_numbers_out_of_range() -> None:
    for use in (lambda x: x + 10**400, lambda x: 10**400 * x, lambda x: x.__setitem__(0, 10**400)):
        with pytest.raises(ValueError, match="an int of 1329 bits is beyond the range of float32"):
            use(ma.tensor([1.0]))


def test_data_of_a_computed_tensor_cannot_be_set_while_the_graph_is_recorded() -> None:
    x = ma.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3.0
    z = (y * y).sum()
    with pytest.raises(RuntimeError, match=r"requires_grad=True cannot be changed in place.*no_grad"):
        y.data = np.array([9.0, 9.0], np.float32)
    assert y.tolist() == [3, 6]
    z.backward(retain_graph=True)
    with ma.no_grad():
        y.data = np.array([9.0, 9.0], np.float32)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()
    with ma.no_grad():
        constant = x * 3.0
    constant.data = [1.0, 1.0]
    x.data = np.array([5.0, 5.0], np.float32)
    assert (constant.tolist(), x.tolist()) == ([1, 1], [5, 5])
