"""Federation: the configuration with which a manager gives grants, and resolves those of other sandboxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import WeakSet

from ..core.durations import ms_from_seconds
from ..engine.executor import Executor
from .client import RemoteIssuer
from .keys import KeysSource, SigningKeys, TrustSource, keys_from_env, trust_from_env, trust_map
from .replays import Replays
from .sandbox_grants import SandboxGrants

MAX_TTL_SECONDS: Final = 86_400
_HARMLESS: Final = ("session.created", "session.updated", "session.extended")
"""Types of events after which the grants of a session still count, under the same reference."""


class Federation:
    """The keys of a sandbox, and the pinned keys of the sandboxes whose grants it accepts.

    Attributes:
        keys: the sandbox's own keys, or None if it gives no grants.
        trust: public keys by issuer and id.
        remotes: the issuers whose sessions are in another store.
        replays: where ids are remembered, or None for the store.

    """

    def __init__(
        self,
        keys: KeysSource | None = None,
        trust: TrustSource | None = None,
        *,
        remotes: Mapping[str, RemoteIssuer] | None = None,
        max_ttl_seconds: float = MAX_TTL_SECONDS,
        local_seconds: float | None = None,
        replays: Replays | None = None,
    ) -> None:
        """Check the configuration.

        Args:
            keys: private Ed25519 keys by id. The first one signs. Without any, the sandbox gives no grants.
            trust: for each issuer, its public keys by id.
            remotes: for each issuer with another store, where to ask whether a grant counts.
            max_ttl_seconds: longest time for which this sandbox gives a grant; a longer one becomes this one.
            local_seconds: for how long a grant that counted is not checked again. It then outlives its revocation by up
                to this time, so the default is None: it is always checked. See `session_changed`.
            replays: where the ids of proofs of possession and client assertions are remembered; by default in the store
                of the manager, for all processes. A `RecentIds` remembers them in this process.

        Raises:
            ValueError: an argument is malformed, or a remote issuer is not trusted.

        """
        self.keys = None if keys is None else SigningKeys(keys)
        self.trust = trust_map({} if trust is None else trust)
        self.remotes = dict(remotes or {})
        if not self.remotes.keys() <= self.trust.keys():
            raise ValueError("each remote issuer needs public keys in trust")
        if self.remotes and self.keys is None:
            raise ValueError("remote issuers only answer a sandbox that has keys")
        self.max_ttl_ms = ms_from_seconds(max_ttl_seconds, "max_ttl_seconds")
        self.local_seconds = None if local_seconds is None else ms_from_seconds(local_seconds, "local_seconds") / 1000
        self.replays = replays
        self._opened: WeakSet[SandboxGrants] = WeakSet()

    def __repr__(self) -> str:
        return f"Federation({self.keys!r}, trust={sorted(self.trust)})"

    def session_changed(self, event: Any) -> None:
        """Take an event of an issuer's store, a `chuk_sessions.events.SessionEvent`. If the session has ended or got
        another id, its grants are no longer validated locally.
        """
        if event.type not in _HARMLESS:
            for opened in list(self._opened):
                if opened.local is not None:
                    opened.local.forget(event.sandbox_id, event.session_hash)

    async def aclose(self) -> None:
        """Close the running event loop's connections to remote issuers. The last manager that is closed does this."""
        for remote in self.remotes.values():
            await remote.aclose()

    def open(self, sandbox_id: str, executor_of: Callable[[str], Executor], session_bytes: int, /) -> SandboxGrants:
        """Return what gives and resolves the grants of a manager. See `models.SessionFederation`."""
        opened = SandboxGrants(self, sandbox_id, executor_of, session_bytes)
        self._opened.add(opened)
        return opened

    async def release(self, opened: SandboxGrants) -> None:
        """Close the connections, if no other manager is left."""
        self._opened.discard(opened)
        if not self._opened:
            await self.aclose()


def from_env() -> Federation:
    """Return the federation that SESSION_FEDERATION_KEYS and SESSION_FEDERATION_TRUST describe.

    Raises:
        ValueError: one of them is malformed. The message contains no key.

    """
    return Federation(keys_from_env() or None, trust_from_env() or None)
