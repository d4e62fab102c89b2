"""The interfaces between the engine and providers on one side, and stores on the other."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from ..core.operation import Call, Reply, RetryCalls
from ..core.write_hook import WriteHook
from ..models import Health


class Store(Protocol):
    """The provider API of one open session: single values, stored under the given keys without a prefix.

    A `ttl` is a positive number of seconds, at most a hundred years. A value is text, or bytes that are UTF-8; `get`
    and `getdel` return text. Other arguments raise ValueError, and store failures a subclass of ProviderError.
    """

    async def set(self, key: str, value: str | bytes) -> None:
        """Store a value with the default TTL."""

    async def setex(self, key: str, ttl: float, value: str | bytes) -> None:
        """Store a value for `ttl` seconds."""

    async def get(self, key: str) -> str | None:
        """Return the value, or None."""

    async def getdel(self, key: str) -> str | None:
        """Delete the value and return it, or None. Of concurrent callers only one gets it."""

    async def delete(self, key: str) -> bool:
        """Delete a value. Returns whether there was one."""

    async def close(self) -> None:
        """Do nothing: a session holds no resources of its own."""


class Backend(Protocol):
    """A store that runs operations. Safe to share between tasks, threads and event loops.

    Attributes:
        name: the kind of store.
        write_hook: the listeners to its writes. Backends that may have the same store share one.

    """

    name: str
    write_hook: WriteHook

    def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Coroutine[Any, Any, Reply]:
        """Run one operation in one atomic step. Raises a subclass of ProviderError for failures, never for a status.

        After a lost reply, the retry sends the calls that `retry_calls` returns, if it is given, and the reply of the
        last one is returned. Otherwise it sends the same call again.
        """

    async def ping(self) -> Health:
        """Check the store. Raises a subclass of ProviderError when it does not answer."""

    async def aclose(self) -> None:
        """Close the resources of the running event loop. A later `run` opens them again."""


@runtime_checkable
class ReadsStreams(Protocol):
    """A backend that can read many streams with one command."""

    async def read_streams(self, after: Mapping[str, bytes], limit: int) -> dict[str, list[Any]] | None:
        """Return at most `limit` entries of each stream after the entry with that id, by the key of the stream.

        Streams without such entries are left out. None says that the streams may be on several servers.
        """


MOVING: Final = " moving "
"""In the text of a server's slots: some of them are being moved, so keys may be on either of two servers."""


class KeyServer(Protocol):
    """A server that has keys, as one event loop sees it.

    Attributes:
        name: identifies the running process of the server. After a restart or failover, there is another name, because
            cursors of the old process mean nothing to the new one.
        slots: the slots that it has, as text. Keys may have moved between servers when it changes.

    """

    name: str
    slots: str

    async def scan(self, prefix: str, cursor: str, limit: int) -> tuple[list[str], str]:
        """Return some keys with a prefix, about `limit` are looked at, and the next cursor; it is empty at the end.

        The first cursor is empty. A key that exists during the whole scan is returned at least once. Raises
        SessionUnavailableError if the server does not answer.
        """


@runtime_checkable
class ScansKeys(Protocol):
    """A backend whose keys can be listed."""

    async def key_servers(self) -> Sequence[KeyServer]:
        """Return the servers that have the keys. Raises a subclass of ProviderError when they cannot be found."""
