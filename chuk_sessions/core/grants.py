"""Grants: permissions for another sandbox to use one path of a session, and the operations on them.

A grant is a field of the session's record, so it is deleted together with the session, and a rotation moves it. Its id
is the reference that the session had when it was granted, followed by 96 random bits, because a random value alone
would not lead to the record. The value has the time until which the grant counts (ms), and its audience, actions, and
path for lists, separated by spaces.
"""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

from ..models import ListedGrant, iso_from_ms
from . import statuses as s
from .ids import parse_reference
from .keys import SessionKeys
from .operation import Call, Operation, Reply, names
from .operation_ids import EXTEND_WINDOW_MS
from .record import fields_of

PREFIX: Final = b"g:"
MAX_GRANTS: Final = 64
"""Most grants of a session at the same time."""

REFERENCE_LENGTH: Final = 24
_RANDOM_BYTES: Final = 12
_IS_JTI = re.compile(r"[0-9a-f]{2}[A-Za-z0-9_-]{38}", re.ASCII).fullmatch

GRANT = Operation(
    "grant",
    names("session operations"),
    names("field ttl described most limit operation window"),
    s.ONE_SESSION | {s.OK, s.CEILING, s.TOO_LARGE},
    operation_id_arg="operation",
)
CHECK_GRANT = Operation(
    "check_grant", names("session"), names("field expiry"), s.ONE_SESSION | {s.OK}, read_only=True, retryable=True
)
REVOKE_GRANT = Operation(
    "revoke_grant",
    names("session"),
    names("field"),
    s.ONE_SESSION | {s.OK},
    retryable=True,
    durable=True,
    status_after_retry={s.GONE: s.OK},
)
GRANTS = Operation("grants", names("session"), (), s.ONE_SESSION | {s.OK}, read_only=True, retryable=True)


def new_jti(target: SessionKeys) -> str:
    """Return the id of a new grant: the reference of the session, and 16 random characters."""
    return target.reference + urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode()


def parse_jti(text: object) -> tuple[int, bytes] | None:
    """Return bucket and handle in the id of a grant, or None for anything else."""
    return parse_reference(text[:REFERENCE_LENGTH]) if isinstance(text, str) and _IS_JTI(text) else None


def field_of(jti: str) -> bytes:
    """Return the record field of a grant."""
    return PREFIX + jti.encode()


def grant(
    target: SessionKeys,
    *,
    jti: str,
    ttl_ms: int,
    audience: str,
    actions: Sequence[str],
    path: str,
    operation_id: bytes,
    limit: int,
    most: int = MAX_GRANTS,
) -> Call:
    """Store a grant that expires after `ttl_ms`, or with the session. `limit` is the most bytes of the session."""
    described = f"{audience} {','.join(actions)} {path}".encode()
    argv = (field_of(jti), ttl_ms, described, most, limit, operation_id, EXTEND_WINDOW_MS)
    return Call(GRANT, (target.record, target.operations), argv)


def check_grant(target: SessionKeys, *, jti: str, expiry_ms: int) -> Call:
    """Check whether a grant counts whose token expires at `expiry_ms`, and return deadline and owner of the session."""
    return Call(CHECK_GRANT, (target.record,), (field_of(jti), expiry_ms))


def revoke_grant(target: SessionKeys, jti: str = "") -> Call:
    """Revoke one grant of a session, also by the session's old id; or, without a `jti`, all of them."""
    return Call(REVOKE_GRANT, (target.record,), (field_of(jti) if jti else b"",))


def grants(target: SessionKeys) -> Call:
    """List the grants of a session."""
    return Call(GRANTS, (target.record,), ())


def number(reply: Reply) -> int:
    """Return the number of grants that were revoked."""
    # A retry that finds no session replies OK alone, because an earlier attempt may have revoked grants.
    return int(reply[1]) if len(reply) > 1 else 0


def listed(reply: Reply) -> list[ListedGrant]:
    """Return the grants that were listed, the first to expire first; none when there is no such session."""
    found = fields_of(reply[1]) if reply[0] == s.OK else {}
    return sorted((_listed(field, value) for field, value in found.items()), key=lambda grant: grant.expires_at)


def _listed(field: bytes, value: bytes) -> ListedGrant:
    expiry, audience, actions, path = (*value.decode("utf-8", "replace").split(" ", 3), "", "", "")[:4]
    jti = field[len(PREFIX) :].decode("ascii", "replace")
    return ListedGrant(jti, audience, path, tuple(actions.split(",")), iso_from_ms(int(expiry)))
