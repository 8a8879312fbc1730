"""Where a sliding window goes: sizes, strides, padding, dilation and groups, and the errors when they do not fit."""

from __future__ import annotations

from minadder.checks import shown, whole

Pair = tuple[int, int]
Size = int | Pair

LARGEST = 2**31 - 1
"""The largest size of a window: of any two, the product is a machine integer."""


def pair(value: Size, name: str, least: int) -> Pair:
    """Return a size as (height, width); an int stands for both.

    Raises
    ------
    TypeError
        When it is neither an int nor two ints.
    ValueError
        When a part is below `least`, or above `LARGEST`.

    Examples
    --------
    >>> from minadder.kernels.geometry import pair
    >>> pair(3, "stride", 1)
    (3, 3)
    """
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    try:
        height, width = (whole(part, name, most=None) for part in parts)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an int or a pair of ints (height, width), not {shown(value)}") from None
    if min(height, width) < least:
        raise ValueError(f"{name} must be at least {least}, not {shown(value)}")
    if max(height, width) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST}, not {shown(value)}")
    return height, width


def output_size(size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Return the (height, width) of what a sliding window over an input of `size` gives.

    Each is floor((size + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1.

    Raises
    ------
    ValueError
        When the window is larger than the padded input.

    Examples
    --------
    >>> from minadder.kernels.geometry import output_size
    >>> output_size((32, 28), (5, 5), (1, 1), (0, 2), (1, 1))
    (28, 28)
    """
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True))
    padded = tuple(s + 2 * p for s, p in zip(size, padding, strict=True))
    if spans[0] > padded[0] or spans[1] > padded[1]:
        raise ValueError(
            f"the window spans {spans[0]}×{spans[1]} (kernel size {kernel_size}, dilation {dilation}) but the padded "
            f"input is only {padded[0]}×{padded[1]} (input {size[0]}×{size[1]}, padding {padding}): "
            f"use a smaller kernel or more padding"
        )
    return (padded[0] - spans[0]) // stride[0] + 1, (padded[1] - spans[1]) // stride[1] + 1


def check_filters(x_shape: tuple[int, ...], w_shape: tuple[int, ...], groups: int) -> None:
    """Raise an error unless an input (N, C, H, W) and filters (T, C / groups, kh, kw) fit together."""
    if len(x_shape) != 4:
        raise ValueError(f"the input must have the axes (batch, channels, height, width); its shape is {x_shape}")
    if len(w_shape) != 4:
        raise ValueError(f"the filters must have the axes (out, in / groups, height, width); their shape is {w_shape}")
    groups = whole(groups, "groups", 1)
    channels, filters = x_shape[1], w_shape[0]
    if channels % groups or filters % groups:
        raise ValueError(
            f"groups (={groups}) must divide the input's channels (={channels}) and the number of filters (={filters})"
        )
    if w_shape[1] != channels // groups:
        raise ValueError(
            f"the input of shape {x_shape} has {channels} channels in {groups} group(s), so each filter must have "
            f"{channels // groups} channels; the filters have shape {w_shape}"
        )
    if min(w_shape) < 1:
        raise ValueError(f"the filters must not be empty; their shape is {w_shape}")
