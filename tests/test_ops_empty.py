"""Operations on inputs without elements: a batch of no examples has an answer, a question about nothing an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from running import both_dtypes, cast, every_operation

from minadder.autograd import Array
from minadder.ops.registry import REGISTRY, Operation
from minadder.ops.samples import Sample
from minadder.testing import cotangent, same_bits
from minadder.testing.running import forward, run


def empty(*shape: int) -> Array:
    """Return an array without elements."""
    assert 0 in shape
    return np.zeros(shape)


IMAGES = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 1), "groups": 2}
POOLING = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (1, 0)}
RULES = {"weight_grad": "full_precision", "input_grad": "hardtanh"}
TWO = np.array([0.5, 1.5])

EMPTY = {
    **dict.fromkeys(["add", "subtract", "multiply", "divide", "maximum", "minimum"], Sample((empty(0, 2), TWO))),
    "power": Sample((empty(0, 2), TWO)),
    **dict.fromkeys(
        ["negative", "exp", "log", "sqrt", "absolute", "relu", "tanh", "sigmoid", "hardtanh", "binarize"],
        Sample((empty(2, 0),)),
    ),
    "clip": Sample((empty(0, 3),), {"low": -1.0, "high": None}),
    "where": Sample((empty(0, 2), TWO), {"condition": np.zeros((0, 2), bool)}),
    "sum": Sample((empty(0, 3),), {"axis": 0, "keepdims": False}),
    "mean": Sample((empty(0, 3),), {"axis": 1, "keepdims": True}),
    "max": Sample((empty(0, 3),), {"axis": 1, "keepdims": True}),
    "min": Sample((empty(0, 3),), {"axis": 1, "keepdims": False}),
    "var": Sample((empty(0, 3),), {"axis": 1, "correction": 1, "keepdims": False}),
    "std": Sample((empty(0, 3),), {"axis": 1, "correction": 0, "keepdims": False}),
    "reshape": Sample((empty(0, 3),), {"shape": (3, 0)}),
    "transpose": Sample((empty(0, 3),), {"axes": (1, 0)}),
    "permute": Sample((empty(0, 3),), {"axes": (1, 0)}),
    "broadcast_to": Sample((empty(0, 1),), {"shape": (2, 0, 3)}),
    "getitem": Sample((empty(0, 3),), {"index": (slice(None), 1)}),
    "concatenate": Sample((empty(0, 2), TWO.reshape(1, 2)), {"axis": 0}),
    "stack": Sample((empty(0, 2), empty(0, 2)), {"axis": 1}),
    "matmul": Sample((empty(0, 2), TWO.reshape(2, 1))),
    "linear": Sample((empty(0, 2), TWO.reshape(1, 2))),
    "conv2d": Sample((empty(0, 4, 5, 5), np.ones((6, 2, 3, 2))), IMAGES),
    "adder2d": Sample((empty(0, 4, 5, 5), np.ones((6, 2, 3, 2))), {**IMAGES, **RULES}),
    "adder2d_power": Sample((empty(0, 4, 5, 5), np.ones((6, 2, 3, 2))), {**IMAGES, **RULES, "p": 1.5}),
    "adder_linear": Sample((empty(0, 2), TWO.reshape(1, 2)), RULES),
    "binary_conv2d": Sample((empty(0, 4, 5, 5), np.ones((6, 2, 3, 2)), np.ones(6)), IMAGES),
    "binary_linear": Sample(
        (empty(0, 2), TWO.reshape(1, 2), TWO[:1]),
    ),
    "batch_norm_eval": Sample((empty(0, 2, 3), TWO, TWO), {"mean": TWO, "var": TWO}),
    "max_pool2d": Sample((empty(0, 3, 4, 4),), {**POOLING, "dilation": 1}),
    "avg_pool2d": Sample((empty(0, 3, 4, 4),), {**POOLING, "count_include_pad": False}),
    "cross_entropy": Sample((empty(0, 3),), {"labels": np.zeros(0, int), "reduction": "sum"}),
    "bce_with_logits": Sample((empty(0, 3),), {"targets": empty(0, 3), "reduction": "none"}),
    "cross_entropy_smoothed": Sample(
        (empty(0, 3),), {"labels": np.zeros(0, int), "reduction": "sum", "label_smoothing": 0.25}
    ),
    "mse_loss": Sample((empty(0, 3), empty(0, 3)), {"reduction": "none"}),
}
"""A batch of no examples, or an input of no elements, for every operation that has an answer to it."""

REFUSED = {
    "batch_norm_train": Sample((empty(0, 2, 3), TWO, TWO)),
    "max": Sample((empty(0, 3),), {"axis": 0, "keepdims": False}),
    "min": Sample((empty(0, 3),), {"axis": None, "keepdims": False}),
    "mean": Sample((empty(0, 3),), {"axis": None, "keepdims": False}),
    "var": Sample((empty(0, 3),), {"axis": 0, "correction": 0, "keepdims": False}),
    "cross_entropy": Sample((empty(0, 3),), {"labels": np.zeros(0, int), "reduction": "mean"}),
    "bce_with_logits": Sample((empty(0, 3),), {"targets": empty(0, 3), "reduction": "mean"}),
    "mse_loss": Sample((empty(0, 3), empty(0, 3)), {"reduction": "mean"}),
}
"""Questions about no elements that have no answer."""


@both_dtypes
@every_operation
def test_inputs_without_elements(operation: Operation, dtype: Any) -> None:
    """The gradient of an input that only meets no elements is 0."""
    if operation.name not in EMPTY:
        assert operation.name in REFUSED, "tell what the operation gives for an input without elements"
        return
    sample = EMPTY[operation.name]
    wanted = np.asarray(operation.reference(*sample.arrays, **sample.options))
    weights = cotangent(np.random.default_rng(0), wanted.shape)
    result = run(operation.function, cast(sample, dtype), sample.options, weights)
    assert same_bits(result.output, wanted.astype(dtype))
    for gradient, array in zip(result.gradients, sample.arrays, strict=True):
        assert gradient.shape == array.shape
        if 0 in wanted.shape:
            assert not gradient.any()


@pytest.mark.parametrize("name", REFUSED)
def test_questions_about_no_elements_are_refused(name: str) -> None:
    sample = REFUSED[name]
    with pytest.raises(ValueError, match=r"\(0, |more than 1 value|\(0,\)"):
        forward(REGISTRY[name].function, cast(sample, np.float32), sample.options)
