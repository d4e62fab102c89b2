"""The target of a migration: a store, and the sandboxes in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from .. import settings
from ..backends.sharing import backend_of
from ..core import ids, keys, operations, validation
from ..core.durations import ms_from_hours
from ..core.values import json_codec
from ..engine.executor import Executor
from ..models import ValueEncryption
from .adopter import Adopter, Limits

_PROBE_MS: Final = 60_000


class Target:
    """A store that sessions are copied to."""

    def __init__(
        self,
        factory: Callable[[], AbstractAsyncContextManager[Any]],
        *,
        sandbox_id: str | None = None,
        encryption: ValueEncryption | None = None,
        events: int = 0,
        overlap_hours: float = settings.DEFAULT_OVERLAP_HOURS,
    ) -> None:
        """Create a target; nothing is sent.

        Args:
            factory: that of a provider.
            sandbox_id: the sandbox for all sessions; by default, each keeps the name of its own.
            encryption: encrypts the copies. A copy in a sandbox of another name is encrypted for that name.
            events: most events in the stream of a bucket; with 0, the copies emit no events.
            overlap_hours: see ReadThrough.

        Raises ValueError for a malformed argument.
        """
        self._backend = backend_of(factory)
        self._sandbox_id = sandbox_id
        if sandbox_id is not None:
            ids.check_name(sandbox_id, "sandbox_id", validation.MAX_SANDBOX_LENGTH)
        self._codec = json_codec if encryption is None else encryption.codec
        self._limits = Limits(events=events, overlap_ms=ms_from_hours(overlap_hours, "overlap_hours"))
        self._adopters: dict[str, Adopter] = {}

    def adopter(self, sandbox_id: str) -> Adopter:
        """Return the adopter for the sessions of a sandbox of the source."""
        name = self._sandbox_id or sandbox_id
        if name not in self._adopters:
            self._adopters[name] = Adopter(Executor(self._backend, name, self._codec(name)), self._limits)
        return self._adopters[name]

    async def contains(self, source: Executor) -> bool:
        """Return whether the sessions of a sandbox would be copied to themselves. Leaves a marker for a minute."""
        adopter = self.adopter(source.sandbox_id)
        if adopter.sandbox_id != source.sandbox_id:
            return False
        # URLs and clients may name one store in many ways.
        probe = keys.session_keys(source.sandbox_id, f"probe-{secrets.token_hex(16)}")
        await adopter.block(probe, overlap_ms=_PROBE_MS)
        return bool((await source.execute(operations.fetch_marker(probe)))[1])

    async def aclose(self) -> None:
        """Close the connections of the running event loop, if the target's backend has any."""
        await self._backend.aclose()
