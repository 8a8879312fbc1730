"""PyTorch's words beside NumPy's: what takes `axis` and `keepdims` takes them as `dim` and `keepdim` too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

Call = TypeVar("Call", bound=Callable[..., Any])

WORDS = {"dim": "axis", "keepdim": "keepdims"}
"""PyTorch's word, and NumPy's."""


def takes_dim(function: Call) -> Call:
    """Let a function take `dim` and `keepdim` where it has the arguments `axis` and `keepdims`.

    Examples
    --------
    >>> import minadder as ma
    >>> x = ma.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x.sum(dim=1)
    tensor([3., 7.])
    >>> x.sum(0, dim=1)
    Traceback (most recent call last):
    ...
    TypeError: sum: dim is another name of axis: give one of the two
    """
    places = {name: place for place, name in enumerate(inspect.signature(function).parameters)}

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        for word in WORDS.keys() & options.keys():
            own = WORDS[word]
            if own not in places:
                raise TypeError(f"{function.__name__} takes no argument {word!r}")
            if own in options or len(args) > places[own]:
                raise TypeError(f"{function.__name__}: {word} is another name of {own}: give one of the two")
            options[own] = options.pop(word)
        return function(*args, **options)

    return cast(Call, call)
