"""Whether operations record the graph: the mode that `no_grad` switches off, as a context manager or a decorator."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

_open_no_grads: ContextVar[int] = ContextVar("open_no_grads", default=0)
"""How many `no_grad` are open. Threads and tasks of asyncio have their own count; any order of leaving fits it."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class no_grad(AbstractContextManager["no_grad"]):  # noqa: N801  (PyTorch's name)
    """Record no graph inside: for evaluation, and for changing parameters in place.

    A context manager, and a decorator with or without brackets. Of a generator and of an async function it covers the
    body, not the code that runs while they wait. `with no_grad()` inside a generator's body covers that code too, until
    the block is left.

    Raises
    ------
    TypeError
        When it decorates a class, an async generator, or what cannot be called.

    Examples
    --------
    >>> import minadder as ma
    >>> w = ma.tensor([1.0], requires_grad=True)
    >>> with ma.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    >>> @ma.no_grad
    ... def double(x):
    ...     return x * 2
    >>> double(w).requires_grad
    False
    """

    def __new__(cls, function: Any = None) -> Any:
        """Return a context manager, or the decorated function where `@no_grad` stands without brackets."""
        manager = super().__new__(cls)
        return manager if function is None else manager(function)

    def __call__(self, function: Decorated) -> Decorated:
        """Return the function, which records no graph in its body."""
        return without_graph(function)

    def __enter__(self) -> no_grad:
        _open_no_grads.set(_open_no_grads.get() + 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open_no_grads.set(max(0, _open_no_grads.get() - 1))


def without_graph(function: Any) -> Any:
    """Return a function, method or generator function whose body records no graph."""
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(without_graph(function.__func__))
    called = function
    while isinstance(called, functools.partial):
        called = called.func
    called = called if inspect.isroutine(called) else getattr(called, "__call__", None)  # noqa: B004  (what it runs)
    if isinstance(function, type) or inspect.isasyncgenfunction(called) or called is None:
        what = "a class" if isinstance(function, type) else "an async generator" if called else repr(function)
        raise TypeError(f"no_grad decorates functions, not {what}: write `with ma.no_grad():` where the work is done")
    if inspect.isgeneratorfunction(called):

        @functools.wraps(function)
        def generate(*inputs: Any, **options: Any) -> Any:
            return (yield from each_step_without_graph(function(*inputs, **options)))

        return generate
    if inspect.iscoroutinefunction(called):

        @functools.wraps(function)
        async def await_it(*inputs: Any, **options: Any) -> Any:
            return await each_step_without_graph(function(*inputs, **options))

        return await_it

    @functools.wraps(function)
    def call(*inputs: Any, **options: Any) -> Any:
        with no_grad():
            return function(*inputs, **options)

    return call


@types.coroutine
def each_step_without_graph(body: Any) -> Generator[Any, Any, Any]:
    """Run a generator or a coroutine, recording no graph in its body; what happens while it waits is untouched."""
    resume, value = body.send, None
    while True:
        try:
            with no_grad():
                given = resume(value)
        except StopIteration as end:
            return end.value
        try:
            resume, value = body.send, (yield given)
        except GeneratorExit:
            with no_grad():
                body.close()
            raise
        except BaseException as error:
            resume, value = body.throw, error


@contextmanager
def recording() -> Iterator[None]:
    """Record the graph inside, also within `no_grad`."""
    token = _open_no_grads.set(0)
    try:
        yield
    finally:
        _open_no_grads.reset(token)


def is_grad_enabled() -> bool:
    """Return whether operations record the graph now: False inside `no_grad`."""
    return not _open_no_grads.get()
