"""A registry of objects of this process, which it does not keep alive."""

from __future__ import annotations

from functools import partial
from typing import Generic, TypeVar
from weakref import ref

T = TypeVar("T")


class Registry(Generic[T]):
    """A set of objects. Safe for threads and after a fork, because each method is one step of a dict."""

    def __init__(self) -> None:
        self._refs: dict[int, ref[T]] = {}

    def add(self, thing: T) -> None:
        """Add an object, until its end."""
        number = id(thing)
        self._refs[number] = ref(thing, partial(self._forget, number))

    def all(self) -> list[T]:
        """Return the objects that exist."""
        found = [one() for one in list(self._refs.values())]
        return [one for one in found if one is not None]

    def _forget(self, number: int, gone: ref[T]) -> None:
        if self._refs.get(number) is gone:
            del self._refs[number]
