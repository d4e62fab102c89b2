"""Redis as a backend: operations become EVALSHA, with EVAL behind it for a server that does not know the script."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

from ...exceptions import ProviderError
from ..base import Arg, Operation, Reply
from . import scripts
from .connections import Command, Connections, NoScriptError

logger = logging.getLogger(__name__)

CALL_TIMEOUT = 5.0
MOST_CONNECTIONS = 50


class RedisBackend:
    """Runs operations on one server."""

    name = "redis"

    def __init__(
        self,
        url: str,
        *,
        tls_insecure: bool = False,
        timeout: float = CALL_TIMEOUT,
        loaded: dict[str, scripts.Script] | None = None,
    ) -> None:
        self.connections = Connections(url, tls_insecure=tls_insecure, timeout=timeout, most=MOST_CONNECTIONS)
        self._scripts = loaded or scripts.scripts()
        self._looked_at_policy = False

    async def run(self, operation: Operation, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
        """Run a script."""
        if not self._looked_at_policy:
            self._looked_at_policy = True
            await self._look_at_policy()
        script = self._scripts[operation.name]
        rest = (len(keys), *keys, *argv)
        repeatable = operation.may_repeat(argv)
        try:
            reply, again = await self._call((b"EVALSHA", script.sha, *rest), operation, repeatable)
        except NoScriptError:
            reply, again = await self._call((b"EVAL", script.text, *rest), operation, repeatable)
        if again and reply[0] in operation.after_repeat:
            return [operation.after_repeat[reply[0]]]
        return reply

    async def aclose(self) -> None:
        """Close the running event loop's connections."""
        await self.connections.aclose()

    async def _call(self, command: Command, operation: Operation, repeatable: bool) -> tuple[Reply, bool]:
        return await self.connections.call(command, operation.name, repeatable=repeatable)

    async def _look_at_policy(self) -> None:
        """Eviction would log people out, and take indexes apart: warn where the server may evict."""
        try:
            reply, _ = await self.connections.call((b"INFO", b"memory"), "info", repeatable=True)
        except ProviderError:
            return
        for line in bytes(reply).decode(errors="replace").splitlines():
            name, _, policy = line.partition(":")
            if name == "maxmemory_policy" and policy != "noeviction":
                logger.warning(
                    "the server at %s evicts keys when memory is full (maxmemory-policy %s): live sessions can "
                    "vanish. Set it to noeviction.",
                    self.connections.address,
                    policy,
                )


@lru_cache(maxsize=64)
def backend_for(url: str, tls_insecure: bool = False) -> RedisBackend:
    """The backend that all managers and factories of this process with the same settings share."""
    return RedisBackend(url, tls_insecure=tls_insecure)
