"""Settings from the environment. They are read when a factory or manager is created, never at import.

`backends.redis.settings` has further settings, for connections to Redis.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

DEFAULT_REDIS_URL = "redis://localhost:6379/0"
DEFAULT_TTL_SECONDS = 3600
DEFAULT_OVERLAP_HOURS = 7 * 24


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings from the environment.

    Attributes:
        provider: SESSION_PROVIDER in lower case; `memory` by default.
        provider_given: whether SESSION_PROVIDER is set.
        redis_url: SESSION_REDIS_URL, else REDIS_URL, else the local server. The repr omits it, because it may contain a
            password.
        redis_auth: SESSION_REDIS_AUTH, the cloud whose tokens replace a password; empty by default.
        tls_insecure: whether REDIS_TLS_INSECURE is `1`, so that certificates are not checked.
        default_ttl: SESSION_DEFAULT_TTL in seconds, for `set` in the provider API; 3600 by default.
        sandbox_id: CHUK_SANDBOX_ID, else CHUK_HOST_SANDBOX_ID, else None.
        events: whether SESSION_EVENTS is `1`; or `updates`.
        encryption: whether SESSION_ENCRYPTION_KEYS or SESSION_ENCRYPTION_KEYS_FILE is set; or
            SESSION_ENCRYPTION_REQUIRE, which is an error without keys.
        migrate_from: SESSION_MIGRATE_FROM, the URL of a store of chuk-sessions 0.6 to read through; empty by default.
        migrate_sandbox: SESSION_MIGRATE_SANDBOX, the sandboxes there, with commas between them, or `*` for all; empty
            for that of the manager.
        migrate_overlap_hours: SESSION_MIGRATE_OVERLAP_HOURS, for how long old processes may use that store; 168 by
            default.
        federation: whether SESSION_FEDERATION_KEYS or SESSION_FEDERATION_TRUST is set.

    """

    provider: str = "memory"
    provider_given: bool = False
    redis_url: str = field(default=DEFAULT_REDIS_URL, repr=False)
    redis_auth: str = ""
    tls_insecure: bool = False
    default_ttl: int = DEFAULT_TTL_SECONDS
    sandbox_id: str | None = None
    events: bool | str = False
    encryption: bool = False
    migrate_from: str = field(default="", repr=False)
    migrate_sandbox: str = ""
    migrate_overlap_hours: float = DEFAULT_OVERLAP_HOURS
    federation: bool = False


def from_env() -> Settings:
    """Read the environment.

    Raises ValueError for a SESSION_DEFAULT_TTL that is not a positive whole number, an unknown SESSION_EVENTS, and a
    SESSION_MIGRATE_OVERLAP_HOURS that is not a positive number.
    """
    return Settings(
        provider=(os.getenv("SESSION_PROVIDER") or "memory").lower(),
        provider_given=bool(os.getenv("SESSION_PROVIDER")),
        redis_url=os.getenv("SESSION_REDIS_URL") or os.getenv("REDIS_URL") or DEFAULT_REDIS_URL,
        redis_auth=os.getenv("SESSION_REDIS_AUTH", ""),
        tls_insecure=os.getenv("REDIS_TLS_INSECURE", "0") == "1",
        default_ttl=_default_ttl(os.getenv("SESSION_DEFAULT_TTL")),
        sandbox_id=os.getenv("CHUK_SANDBOX_ID") or os.getenv("CHUK_HOST_SANDBOX_ID") or None,
        events=_events(os.getenv("SESSION_EVENTS") or "0"),
        encryption=_encryption(),
        migrate_from=os.getenv("SESSION_MIGRATE_FROM", ""),
        migrate_sandbox=os.getenv("SESSION_MIGRATE_SANDBOX", ""),
        migrate_overlap_hours=_hours(os.getenv("SESSION_MIGRATE_OVERLAP_HOURS")),
        federation=any((os.getenv(f"SESSION_FEDERATION_{name}") or "").strip() for name in ("KEYS", "TRUST")),
    )


def _hours(text: str | None) -> float:
    try:
        hours = float(text) if text else DEFAULT_OVERLAP_HOURS
    except ValueError:
        hours = 0
    if not 0 < hours < 876_000:
        raise ValueError(f"SESSION_MIGRATE_OVERLAP_HOURS must be a positive number of hours, not {str(text)[:20]!r}")
    return hours


def _encryption() -> bool:
    keys, file, require = (os.getenv(f"SESSION_ENCRYPTION_{name}") for name in ("KEYS", "KEYS_FILE", "REQUIRE"))
    return bool(keys or file) or (require or "0") != "0"


def _default_ttl(text: str | None) -> int:
    if not text:
        return DEFAULT_TTL_SECONDS
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise ValueError(
            f"SESSION_DEFAULT_TTL must be a whole number of seconds from 1 to 999999999, not {text[:20]!r}"
        )
    return int(text)


def _events(text: str) -> bool | str:
    if text not in ("0", "1", "updates"):
        raise ValueError(f"SESSION_EVENTS must be 0, 1 or updates, not {text[:20]!r}")
    return text == "1" or (text if text == "updates" else False)
