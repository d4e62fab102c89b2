"""Federation: the configuration with which a manager gives grants, and resolves those of other sandboxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..core.durations import ms_from_seconds
from ..engine.executor import Executor
from .client import RemoteIssuer
from .keys import KeysSource, SigningKeys, TrustSource, keys_from_env, trust_from_env, trust_map
from .replays import Replays
from .sandbox_grants import SandboxGrants

MAX_TTL_SECONDS: Final = 86_400


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
        replays: Replays | None = None,
    ) -> None:
        """Check the configuration.

        Args:
            keys: private Ed25519 keys by id. The first one signs. Without any, the sandbox gives no grants.
            trust: for each issuer, its public keys by id.
            remotes: for each issuer with another store, where to ask whether a grant counts.
            max_ttl_seconds: longest time for which this sandbox gives a grant; a longer one becomes this one.
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
        self.replays = replays

    def __repr__(self) -> str:
        return f"Federation({self.keys!r}, trust={sorted(self.trust)})"

    async def aclose(self) -> None:
        """Close the connections of the running event loop to remote issuers. Managers share them, so they do not."""
        for remote in self.remotes.values():
            await remote.aclose()

    def open(self, sandbox_id: str, executor_of: Callable[[str], Executor], session_bytes: int, /) -> SandboxGrants:
        """Return what gives and resolves the grants of a manager. See `models.SessionFederation`."""
        return SandboxGrants(self, sandbox_id, executor_of, session_bytes)


def from_env() -> Federation:
    """Return the federation that SESSION_FEDERATION_KEYS and SESSION_FEDERATION_TRUST describe.

    Raises:
        ValueError: one of them is malformed. The message contains no key.

    """
    return Federation(keys_from_env() or None, trust_from_env() or None)
