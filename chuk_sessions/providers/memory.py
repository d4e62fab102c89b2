"""The memory provider: values in the memory of this process, shared by all factories without a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard, cast

from .. import settings
from ..backends.memory import Clock, MemoryBackend, shared
from ..backends.memory.strings import Strings
from .factory import Factory
from .values import MAX_SECONDS, check_key, check_value, ttl_ms

_is_ascii = cast(Callable[[object], TypeGuard[str]], str.isascii)
"""Tells whether a text is ASCII. Raises TypeError for other types."""


class MemorySession:
    """An open session of the provider API; `backends.base.Store` documents its methods."""

    __slots__ = ("_default_ttl", "_now_ms", "_pop", "_recheck", "_strings", "_turns", "_values")

    def __init__(self, strings: Strings, default_ttl: int) -> None:
        self._strings, self._values, self._now_ms = strings, strings.values, strings.now_ms
        self._recheck, self._pop = strings.recheck, strings.pop
        self._turns, self._default_ttl = strings.turns, default_ttl

    async def set(self, key: str, value: str | bytes) -> None:
        """Store a value with the default TTL."""
        await self.setex(key, self._default_ttl, value)

    async def setex(self, key: str, ttl: float, value: str | bytes) -> None:
        """Store a value for `ttl` seconds."""
        # Only unusual arguments get the full checks, because this is called up to a million times a second.
        try:
            text = value if _is_ascii(key) and _is_ascii(value) else None
        except TypeError:
            text = None
        if text is None:
            key, text = check_key(key), check_value(value)
        ms = ttl * 1000 if type(ttl) is int and 0 < ttl <= MAX_SECONDS else ttl_ms(ttl)
        now = self._now_ms()
        self._values[key] = text, now + ms
        if now >= self._turns.due:
            self._strings.drop(now)
            await self._turns.give_way(now)

    async def get(self, key: str) -> str | None:
        """Return the value, or None."""
        if type(key) is not str or not key.isascii():
            key = check_key(key)
        now, turns = self._now_ms(), self._turns
        if now >= turns.due:
            await turns.give_way(now)
        entry = self._values.get(key)
        if entry is None:
            return self._recheck(key)
        return entry[0] if entry[1] > now else None

    async def getdel(self, key: str) -> str | None:
        """Delete the value and return it, or None. Of concurrent callers only one gets it."""
        return await self._take(check_key(key))

    async def delete(self, key: str) -> bool:
        """Delete a value. Returns whether there was one."""
        return await self._take(check_key(key)) is not None

    async def _take(self, key: str) -> str | None:
        now, turns = self._now_ms(), self._turns
        if now >= turns.due:
            await turns.give_way(now)
        return self._pop(key)

    async def close(self) -> None:
        """Do nothing: a session holds no resources of its own."""


def factory(clock: Clock | None = None) -> Factory[MemorySession]:
    """Return a factory of sessions on the emulator that the process shares or, with a clock, on a new one."""
    default_ttl = settings.from_env().default_ttl
    backend = shared() if clock is None else MemoryBackend(clock)
    return Factory(backend, lambda: MemorySession(backend.strings, default_ttl))


__all__ = ["MemorySession", "factory"]
