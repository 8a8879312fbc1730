"""no_grad holds inside whatever it decorates, and outside the mode is as it was: in any order, task or thread."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import minadder as ma


def test_a_decorated_generator_records_nothing_inside_and_everything_while_it_waits() -> None:
    seen: list[Any] = []

    @ma.no_grad()
    def numbers(start: int) -> Any:
        seen.append(ma.is_grad_enabled())
        try:
            received = yield start
            seen.append(ma.is_grad_enabled())
            yield received
        except KeyError:
            seen.append(ma.is_grad_enabled())
            yield "caught"
        finally:
            seen.append(ma.is_grad_enabled())
        return "the end"

    body = numbers(3)
    assert seen == []
    assert next(body) == 3
    assert ma.is_grad_enabled()
    assert body.send("sent") == "sent"
    assert ma.is_grad_enabled()
    assert body.throw(KeyError()) == "caught"
    assert ma.is_grad_enabled()
    with pytest.raises(StopIteration) as end:
        next(body)
    assert end.value.value == "the end"
    assert seen == [False] * 4
    assert ma.is_grad_enabled()
    assert numbers.__name__ == "numbers"


def test_a_decorated_generator_that_is_closed_halfway_or_fails() -> None:
    seen: list[bool] = []

    @ma.no_grad
    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            seen.append(ma.is_grad_enabled())

    body = endless()
    next(body)
    body.close()
    assert seen == [False]
    assert ma.is_grad_enabled()

    @ma.no_grad
    def fails() -> Iterator[int]:
        yield 1
        raise KeyError

    with pytest.raises(KeyError):
        list(fails())
    assert ma.is_grad_enabled()


def test_blocks_that_are_left_in_another_order() -> None:
    """Two generators with a block each: the second is entered before the first is left."""

    def block() -> Iterator[bool]:
        with ma.no_grad():
            yield ma.is_grad_enabled()
            yield ma.is_grad_enabled()

    one, other = block(), block()
    assert (next(one), next(other)) == (False, False)
    one.close()
    assert next(other) is False
    other.close()
    assert ma.is_grad_enabled()


def test_async_functions_and_tasks() -> None:
    seen: list[tuple[str, bool]] = []

    @ma.no_grad()
    async def inside() -> str:
        seen.append(("inside", ma.is_grad_enabled()))
        await asyncio.sleep(0)
        seen.append(("inside", ma.is_grad_enabled()))
        return "done"

    async def block() -> None:
        with ma.no_grad():
            await asyncio.sleep(0)
            seen.append(("block", ma.is_grad_enabled()))

    async def outside() -> None:
        for _ in range(3):
            seen.append(("outside", ma.is_grad_enabled()))
            await asyncio.sleep(0)

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(inside(), block(), outside())

    assert asyncio.run(all_of_them()) == ["done", None, None]
    assert sorted(set(seen)) == [("block", False), ("inside", False), ("outside", True)]
    assert ma.is_grad_enabled()


class Model:
    """Methods of each kind."""

    @ma.no_grad()
    @staticmethod
    def static() -> bool:
        """Return the mode."""
        return ma.is_grad_enabled()

    @ma.no_grad
    @classmethod
    def of_class(cls) -> tuple[type, bool]:
        """Return the class and the mode."""
        return cls, ma.is_grad_enabled()

    @ma.no_grad
    def method(self) -> tuple[Model, bool]:
        """Return the object and the mode."""
        return self, ma.is_grad_enabled()

    def __call__(self) -> Iterator[bool]:
        """Yield the mode."""
        yield ma.is_grad_enabled()


def test_methods_partials_and_objects() -> None:
    model = Model()
    assert model.static() is Model.static() is False
    assert Model.of_class() == (Model, False)
    assert model.method() == (model, False)
    assert list(ma.no_grad(model)()) == [False]
    assert list(ma.no_grad()(functools.partial(model))()) == [False]
    assert ma.no_grad(ma.is_grad_enabled)() is False
    assert ma.is_grad_enabled()


async def async_generator() -> AsyncIterator[int]:
    """Yield a number."""
    yield 1


@pytest.mark.parametrize(
    ("decorated", "named"),
    [(Model, "a class"), (async_generator, "an async generator"), (5, "5"), ("f", "'f'"), (iter([]), "list_iterator")],
)
def test_what_cannot_be_decorated_is_refused(decorated: Any, named: str) -> None:
    for decorate in (ma.no_grad, ma.no_grad()):
        with pytest.raises(TypeError, match=rf"decorates functions, not .*{named}.*with ma\.no_grad"):
            decorate(decorated)
    assert ma.is_grad_enabled()


def test_one_manager_in_two_threads_and_within_itself() -> None:
    manager, entered, leave, seen = ma.no_grad(), threading.Event(), threading.Event(), []

    def other() -> None:
        with manager:
            entered.set()
            leave.wait(10)
            seen.append(ma.is_grad_enabled())
        seen.append(ma.is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)
    with manager, manager:
        assert not ma.is_grad_enabled()
    assert ma.is_grad_enabled()
    leave.set()
    thread.join()
    assert seen == [False, True]
