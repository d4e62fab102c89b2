"""Endpoints, and the dead letters of an endpoint."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ...core import ids
from ...core.validation import MAX_SANDBOX_LENGTH
from ...exceptions import CorruptRecordError
from .signing import new_secret

SESSION_TYPES: Final = (
    "session.created", "session.updated", "session.extended", "session.rotated", "session.logged_in", "session.ended",
)  # fmt: skip
DISABLED_TYPE: Final = "endpoint.disabled"
"""The type of the message that tells other endpoints that the relay has disabled one."""

TYPES: Final = frozenset({*SESSION_TYPES, DISABLED_TYPE})

WEBHOOK: Final = "webhook"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver of events.

    Attributes:
        id: the id of the endpoint.
        url: the URL to which its messages are sent.
        types: the types of events that it receives; None for all.
        sandboxes: the sandboxes whose events it receives; None for all.
        allow_private: whether its address may be private or the loopback, and its URL may begin with http.
        ordered: whether each message waits until all earlier ones have been delivered or given up.
        enabled: whether messages are sent.
        disabled_because: `"gone"` after a response with status 410, `"failing"` after too many failures, `"request"` if
            `disable` was called; None while it is enabled.
        failing_since: the time of the first failed attempt since the last success, in ms since 1970; None if the last
            attempt
            was successful.
        secrets: the keys of signatures, the newest first, each with its expiry in ms since 1970, or None.
        format: `"webhook"`, or the format of a stream of security events.
        settings: further settings of that format.

    """

    id: str
    url: str
    types: tuple[str, ...] | None = None
    sandboxes: tuple[str, ...] | None = None
    allow_private: bool = False
    ordered: bool = False
    enabled: bool = True
    disabled_because: str | None = None
    failing_since: int | None = None
    secrets: tuple[tuple[str, int | None], ...] = field(default=(), repr=False)
    format: str = WEBHOOK
    settings: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def secret(self) -> str:
        """The newest secret, `whsec_` and base64; empty for a stream of security events."""
        return self.secrets[0][0] if self.secrets else ""

    def valid_secrets(self, now_ms: int) -> list[str]:
        """Return the secrets that have not expired."""
        return [secret for secret, expires_at in self.secrets if expires_at is None or expires_at > now_ms]

    def wants(self, type_: str, sandbox_id: str | None) -> bool:
        """Return whether the endpoint receives an event of a type in a sandbox; None if the event has no sandbox."""
        return (self.types is None or type_ in self.types) and (self.sandboxes is None or sandbox_id in self.sandboxes)

    def to_dict(self) -> dict[str, Any]:
        """Return the endpoint as it is stored, without its id."""
        lists = {
            "types": None if self.types is None else list(self.types),
            "sandboxes": None if self.sandboxes is None else list(self.sandboxes),
            "secrets": [list(secret) for secret in self.secrets],
        }
        return {name: value for name, value in {**asdict(self), **lists}.items() if name != "id"}


def new_endpoint(
    url: str, types: Iterable[str] | None, sandboxes: Iterable[str] | None, *, allow_private: bool, ordered: bool
) -> Endpoint:
    """Return a new endpoint for webhooks with a checked URL. Raises ValueError for malformed types or sandboxes."""
    return Endpoint(
        new_id(), url, check_types(types), check_sandboxes(sandboxes),
        allow_private=bool(allow_private), ordered=bool(ordered), secrets=((new_secret(), None),),
    )  # fmt: skip


def new_id() -> str:
    """Return an id for an endpoint."""
    return f"ep_{secrets.token_hex(10)}"


def check_types(types: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the types of events. Raises ValueError for an unknown type."""
    if types is None:
        return None
    found = tuple(dict.fromkeys([types] if isinstance(types, str) else types))
    if not found or not TYPES.issuperset(found):
        raise ValueError(f"types must be some of {', '.join(sorted(TYPES))}, or None for all")
    return found


def check_sandboxes(sandboxes: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the names of sandboxes. Raises ValueError for an invalid name."""
    if sandboxes is None:
        return None
    found = tuple(dict.fromkeys([sandboxes] if isinstance(sandboxes, str) else sandboxes))
    if not found:
        raise ValueError("sandboxes must not be empty; None means all")
    return tuple([ids.check_name(name, "a sandbox", MAX_SANDBOX_LENGTH) for name in found])


def endpoint_of(endpoint_id: str, stored: dict[str, Any]) -> Endpoint:
    """Return a stored endpoint. Raises CorruptRecordError if `to_dict` would not return such a dict."""
    try:
        types, sandboxes = stored["types"], stored["sandboxes"]
        keys = tuple((secret, expires_at) for secret, expires_at in stored["secrets"])
        return Endpoint(
            **{
                **stored,
                "id": endpoint_id,
                "types": None if types is None else tuple(types),
                "sandboxes": None if sandboxes is None else tuple(sandboxes),
                "secrets": keys,
            }
        )
    except (KeyError, TypeError, ValueError):
        raise CorruptRecordError(f"the stored endpoint {endpoint_id!r} is damaged") from None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message whose delivery was given up.

    Attributes:
        id: the id of the message, which is that of the event.
        content: the content of the message, as a dict.
        attempts: the number of attempts.
        last_error: the reason why the last attempt failed.
        given_up_at: when delivery was given up, in ms since 1970.

    """

    id: str
    content: dict[str, Any]
    attempts: int
    last_error: str
    given_up_at: int
