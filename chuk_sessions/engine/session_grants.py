"""The methods of SessionManager for grants, which let other sandboxes use a path of a session."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from typing import Any

from ..backends.base import Backend
from ..core import grants, keys
from ..core.keys import SessionKeys
from ..core.values import CodecFactory
from ..models import ListedGrant, ResolvedGrant, SessionFederation
from . import results
from .executor import Execute, Executor
from .policy import SessionPolicy


class SessionGrants:
    """The grants of sessions: giving, resolving, revoking, and listing them."""

    _sandbox_id: str
    _find: Callable[[str | None], SessionKeys | None]
    _execute: Execute
    _policy: SessionPolicy
    _backend: Backend
    _federation: SessionFederation | None
    _grants: Any

    def _open_federation(self, federation: SessionFederation | None, codec_of: CodecFactory) -> None:
        """Prepare for giving and resolving grants. The function for executors must not keep the manager alive."""
        backend, session_bytes = self._backend, self._policy.session_bytes
        self._federation = federation
        self._grants = federation and federation.open(
            self._sandbox_id, lambda name: Executor(backend, name, codec_of(name)), session_bytes
        )

    @property
    def federation(self) -> Any:
        """The `chuk_sessions.federation.Federation` of this manager. Raises ValueError if it has none."""
        if self._federation is None:
            raise ValueError("grants need a SessionManager(federation=Federation(...))")
        return self._federation

    async def grant_session(
        self,
        session_id: str,
        *,
        to: str,
        path: str = "",
        actions: Sequence[str] = ("read",),
        ttl_seconds: float = 300,
        jkt: str | None = None,
    ) -> str | None:
        """Let another sandbox use a path of a session, and return the token for it; None when there is no such session.

        The grant ends when it expires or is revoked, and with the session: when that is deleted or revoked, or expires,
        or at the next login. It survives rotations of the session's id. It cannot be passed on: only the sandbox `to`
        can resolve the token. This is neither an access to the session nor a change of its version.

        Args:
            session_id: the session's id.
            to: the sandbox that may use the grant.
            path: the path that it covers with everything below, relative to the session: `reports` covers `reports` and
                `reports/2026`, and not `reports2`. By default everything. It may be given as a grid path.
            actions: what the sandbox may do: up to 16 names that the two sandboxes agree on.
            ttl_seconds: seconds until the grant expires, at least 1. It never outlives the session's deadline, nor the
                federation's `max_ttl_seconds`. Tokens have whole seconds, so it may expire up to a second earlier.
            jkt: the thumbprint of the only key that may use the grant, see `chuk_sessions.federation.ProofKey`.

        Raises:
            ValueError: an argument is malformed, or the manager has no federation with keys.
            GrantLimitError: the session has 64 grants.
            SessionTooLargeError: the session would exceed `max_session_bytes`.

        """
        _ = self.federation
        token: str | None = await self._grants.give(session_id, to, path, actions, ttl_seconds, jkt)
        return token

    async def resolve_grant(
        self, token: str, path: str, action: str = "read", *, proof: Any = None
    ) -> ResolvedGrant | None:
        """Return a grant of another sandbox if it counts at this moment and allows an action on a path, else None.

        The store is asked each time, so a grant is refused as soon as it has been revoked or its session has ended.
        The signature of a token is checked once. This is not an access to the session.

        Args:
            token: the token; any text or other value may come from a client.
            path: a path relative to the session, or its grid path by reference, `grid/SANDBOX/REFERENCE/PATH`. Open
                exactly this path afterwards. A path that would leave the grant when it is decoded is refused.
            action: what the caller wants to do.
            proof: a `chuk_sessions.federation.Proof`, for a grant that is bound to a key.

        Raises:
            ValueError: the manager has no federation.
            ProviderError: the store failed, or the issuer's, so nobody can tell whether the grant counts.
            KeyUnavailableError: the session's user is encrypted under a key that this manager lacks.

        """
        _ = self.federation
        resolved: ResolvedGrant | None = await self._grants.resolve(token, path, action, proof)
        return resolved

    async def check_grant(self, grant: Any) -> ResolvedGrant | None:
        """Return a grant if it counts at this moment, else None. Its token must have been verified before.

        `resolve_grant` does both. This method is for code that verifies tokens itself, like `FederationApp`. Takes a
        `chuk_sessions.federation.Grant`. Raises ValueError if the manager has no federation.
        """
        _ = self.federation
        resolved: ResolvedGrant | None = await self._grants.check(grant)
        return resolved

    async def revoke_grant(self, token_or_jti: str) -> bool:
        """Revoke a grant of this sandbox, given its token or id, with immediate effect. Returns whether it counted.

        The signature of the token is not checked, so grants of a key that was removed can be revoked, too.
        """
        jti = _jti_in(token_or_jti, self._sandbox_id)
        located = grants.parse_jti(jti)
        if jti is None or located is None:
            return False
        target = keys.session_keys_for_handle(self._sandbox_id, *located)
        return await self._execute(target, grants.revoke_grant(target, jti), results.is_ok)

    async def revoke_grants(self, session_id: str) -> int:
        """Revoke all grants of a session, with immediate effect. Returns their number; 0 when there is no such session.

        If a reply gets lost, grants that the lost attempt has revoked do not count.
        """
        target = self._find(session_id)
        if target is None:
            return 0
        return await self._execute(target, grants.revoke_grant(target), grants.number)

    async def list_grants(self, session_id: str) -> list[ListedGrant]:
        """Return the grants of a session that count, the first to expire first; none when there is no such session."""
        target = self._find(session_id)
        return [] if target is None else await self._execute(target, grants.grants(target), grants.listed)


def _jti_in(token: object, sandbox_id: str) -> str | None:
    """Return the id of a grant of the sandbox, given the id or the token; None for anything else."""
    if not isinstance(token, str) or token.count(".") != 2:
        return token if isinstance(token, str) else None
    payload = token.split(".")[1]
    try:
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    jti = claims.get("jti") if isinstance(claims, dict) and claims.get("iss") == sandbox_id else None
    return jti if isinstance(jti, str) else None
