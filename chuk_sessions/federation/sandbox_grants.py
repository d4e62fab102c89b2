"""The grants of one manager: those that its sandbox gives, and those of other sandboxes that it resolves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ..core import grants, grid, ids, keys, operation_ids, operations
from ..core import statuses as s
from ..core.durations import ms_from_seconds
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.record import fields_of
from ..core.validation import MAX_SANDBOX_LENGTH
from ..engine.executor import MAX_ROTATIONS, Executor
from ..exceptions import GrantLimitError, SessionConflictError
from ..models import ResolvedGrant, iso_from_ms
from . import paths, proofs, tokens
from .local_validation import LocalValidation
from .replays import StoreReplays
from .tokens import Grant

if TYPE_CHECKING:
    from .federation import Federation

MAX_ACTIONS: Final = 16
_MAX_RECENT: Final = 1024
_ROOT: Final = f"{grid.ROOT}/"


class _KnownGrant:
    """A grant whose token was verified, and what this process knows of it. Threads share it, so pairs change together.

    Attributes:
        grant: the grant.
        place: the session, under the latest id that is known, and the call that checks the grant there. None if the id
            of the grant is not one of this library.
        latest: the latest reply to that call, if the grant counted, and the result for it.

    """

    __slots__ = ("grant", "latest", "place")

    def __init__(self, grant: Grant) -> None:
        found = grants.parse_jti(grant.jti) if grant.jti.startswith(grant.session_hash) else None
        self.grant = grant
        self.place: tuple[SessionKeys, Call] | None = None
        if found is not None:
            target = keys.session_keys_for_handle(grant.issuer, *found)
            self.place = target, grants.check_grant(target, jti=grant.jti, expiry_ms=1000 * grant.expires_at)
        self.latest: tuple[Reply, ResolvedGrant] | None = None

    @property
    def was_rotated(self) -> bool:
        """Whether the session has got another id since it was granted."""
        return self.place is not None and self.place[0].reference != self.grant.session_hash


class SandboxGrants:
    """Gives grants for the sessions of a sandbox, and resolves the grants that it has got.

    Attributes:
        replays: where the ids of proofs are remembered.
        local: the grants that need not be checked again yet, or None.

    """

    def __init__(
        self, federation: Federation, sandbox_id: str, executor_of: Callable[[str], Executor], session_bytes: int
    ) -> None:
        self._federation = federation
        self._sandbox_id = sandbox_id
        self._executor_of = executor_of
        self._executors: dict[str, Executor] = {}
        self._session_bytes = session_bytes
        self.replays = federation.replays or StoreReplays(self._executor(sandbox_id))
        seconds = federation.local_seconds
        self.local = None if seconds is None else LocalValidation(seconds)
        # Access tokens that were exchanged for grants come back to their issuer.
        own = {} if federation.keys is None else {sandbox_id: federation.keys.public}
        self._trust = {**federation.trust, **own}
        self._recent: dict[str, _KnownGrant] = {}
        self._asks_store = self.local is None and not federation.remotes

    async def give(
        self,
        session_id: str,
        to: object,
        path: object,
        actions: object,
        ttl_seconds: object,
        jkt: object,
    ) -> str | None:
        """Return the token of a new grant, or None when there is no such session. See `grant_session`."""
        signing = self._federation.keys
        if signing is None:
            raise ValueError("a federation needs keys to give grants")
        audience, allowed = ids.check_name(to, "to", MAX_SANDBOX_LENGTH), _check_actions(actions)
        if jkt is not None and not (isinstance(jkt, str) and tokens.is_thumbprint(jkt)):
            raise ValueError("jkt must be the thumbprint of a key: a SHA-256 in base64url")
        ttl_ms = min(ms_from_seconds(ttl_seconds, "ttl_seconds"), self._federation.max_ttl_ms)
        if ttl_ms < 1000:
            raise ValueError("ttl_seconds must be at least 1, because tokens have whole seconds")
        target = keys.find(self._sandbox_id, session_id)
        if target is None:
            return None
        covered = self._granted_path(path, (session_id, target.reference))
        given = await self._store(target, audience, allowed, covered, ttl_ms)
        if given is None:
            return None
        jti, expiry_ms, now_ms = given
        session_hash = jti[: grants.REFERENCE_LENGTH]
        times = now_ms // 1000, expiry_ms // 1000
        grant = Grant(self._sandbox_id, audience, session_hash, covered, allowed, jti, *times, jkt)
        return tokens.mint(grant, signing.signing_key, signing.signing)

    async def _store(
        self, target: SessionKeys, audience: str, actions: tuple[str, ...], path: str, ttl_ms: int
    ) -> tuple[str, int, int] | None:
        """Store a grant. Return its id, and its expiry and the present time in ms; None when there is no such session.

        The id names the record that the grant is written to, so that no pointer has to lead there yet.
        """
        executor = self._executor(self._sandbox_id)
        for _ in range(MAX_ROTATIONS):
            jti = grants.new_jti(target)
            call = grants.grant(
                target, jti=jti, ttl_ms=ttl_ms, audience=audience, actions=actions, path=path,
                operation_id=operation_ids.operation_id(), limit=self._session_bytes,
            )  # fmt: skip
            reply = await executor.execute(call)
            if reply[0] == s.CEILING:
                raise GrantLimitError(f"the session has {reply[1]} grants, and no session may have more")
            if reply[0] != s.MOVED:
                return None if reply[0] == s.GONE else (jti, reply[1], reply[2])
            target = executor.target_for_pointer(target.index_keys.bucket, reply[1])
        raise SessionConflictError("the id was rotated too often within its grace period")

    def _granted_path(self, path: object, names: Sequence[str]) -> str:
        """Return the path of a new grant, relative to the session. It may be given as a grid path of the session."""
        if isinstance(path, str) and path.startswith(_ROOT):
            found = (relative_path(path, self._sandbox_id, name) for name in names)
            path = next((relative for relative in found if relative is not None), None)
            if path is None:
                raise ValueError("the grid path belongs to another session")
        return paths.check_path(path)

    async def resolve(self, token: object, path: object, action: object, proof: object) -> ResolvedGrant | None:
        """Return the grant in a token if it counts for an action on a path. See `SessionManager.resolve_grant`."""
        found = (self._recent.get(token) if type(token) is str else None) or self._verified(token)
        if found is None:
            return None
        grant = found.grant
        if type(path) is str and path.startswith(_ROOT):
            path = relative_path(path, grant.issuer, grant.session_hash)
        if not grant.allows(path, action) or (
            grant.jkt is not None and not await self._is_proven(grant, str(token), proof)
        ):
            return None
        if self._asks_store and found.place is not None:
            # Nearly every call. Nothing else runs between this method and the backend.
            place = found.place
            reply, latest = await self._executor(grant.issuer).submit(place[1]), found.latest
            return latest[1] if latest is not None and latest[0] == reply else await self._result(found, place, reply)
        if self.local is None:
            return await self._ask(found, str(token))
        kept = self.local.get(grant)
        if kept is None:
            asked_at = time.monotonic()
            kept = await self._ask(found, str(token))
            # The end of a rotated session is an event with another reference.
            if kept is not None and not found.was_rotated:
                self.local.put(grant, kept, asked_at)
        return kept

    def _verified(self, token: object) -> _KnownGrant | None:
        """Return the grant in a token whose signature is correct, and remember it."""
        grant = tokens.signed_grant(token, audience=self._sandbox_id, trust=self._trust)
        if grant is None:
            return None
        found = _KnownGrant(grant)
        if len(self._recent) >= _MAX_RECENT:
            self._recent.clear()
        self._recent[str(token)] = found
        return found

    async def _ask(self, known: _KnownGrant, token: str) -> ResolvedGrant | None:
        """Return a grant that counts at this moment, according to its issuer."""
        remote = self._federation.remotes.get(known.grant.issuer)
        if remote is None or self._federation.keys is None:
            return await self._check(known)
        found = await remote.introspect(token, known.grant, self._federation.keys)
        return None if found is None else _resolved(known.grant, found.user_id, 1000 * found.expires_at)

    async def _is_proven(self, grant: Grant, token: str, proof: object) -> bool:
        """Return whether the holder of a grant has proved that it has the key to which the grant is bound."""
        if not isinstance(proof, proofs.Proof):
            return False
        return await proofs.prover(proof, token, self.replays, thumbprint=grant.jkt) is not None

    async def aclose(self) -> None:
        """Close the connections to remote issuers, if no other manager uses them."""
        await self._federation.release(self)

    async def check(self, grant: Grant) -> ResolvedGrant | None:
        """Return a grant whose token was verified if it counts in this store."""
        return await self._check(_KnownGrant(grant))

    async def _check(self, known: _KnownGrant) -> ResolvedGrant | None:
        """Return a grant if it counts in this store."""
        place = known.place
        if place is None:
            return None
        return await self._result(known, place, await self._executor(known.grant.issuer).submit(place[1]))

    async def _result(self, known: _KnownGrant, place: tuple[SessionKeys, Call], reply: Reply) -> ResolvedGrant | None:
        """Return the result for a reply. A session that was rotated is followed, and remembered under its new id."""
        executor = self._executor(known.grant.issuer)
        if reply[0] != s.OK:
            target, reply = await executor.follow_rotation(*place, reply)
            if reply[0] != s.OK:
                return None
            known.place = target, operations.retarget(place[1], target)
        user_id = executor.values.decode_owner(fields_of(reply[2]))
        resolved = _resolved(known.grant, user_id, min(1000 * known.grant.expires_at, reply[1]))
        known.latest = reply, resolved
        return resolved

    def _executor(self, sandbox_id: str) -> Executor:
        found = self._executors.get(sandbox_id)
        if found is None:
            found = self._executors[sandbox_id] = self._executor_of(sandbox_id)
        return found


def relative_path(path: str, sandbox_id: str, session: str) -> str | None:
    """Return a grid path without `grid/SANDBOX/SESSION/`, or None for a path of another session."""
    prefix = f"{_ROOT}{sandbox_id}/{session}"
    if path == prefix:
        return ""
    return path[len(prefix) + 1 :] if path.startswith(f"{prefix}/") else None


def _check_actions(actions: object) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(actions)) if isinstance(actions, (list, tuple, set, frozenset)) else ()
    if not 0 < len(found) <= MAX_ACTIONS or not all(isinstance(name, str) and tokens.is_action(name) for name in found):
        raise ValueError(
            f"actions must be a list of 1 to {MAX_ACTIONS} names of letters, digits, and any of ._:-, such as ['read']"
        )
    return found


def _resolved(grant: Grant, user_id: str | None, expiry_ms: int) -> ResolvedGrant:
    return ResolvedGrant(grant.issuer, grant.session_hash, user_id, grant.path, grant.actions, iso_from_ms(expiry_ms))
