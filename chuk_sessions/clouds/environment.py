"""Credentials that the environment chooses."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from .elasticache import elasticache_iam
from .entraid import entraid
from .memorystore import memorystore_iam
from .tokens import TokenCredentials

_VARIABLES: Final = (
    "SESSION_REDIS_AUTH",
    "SESSION_REDIS_AUTH_USER",
    "SESSION_REDIS_AUTH_CACHE",
    "SESSION_REDIS_AUTH_SERVERLESS",
)


def from_env() -> TokenCredentials:
    """Return the credentials that the environment chooses; the same object for the same settings.

    - SESSION_REDIS_AUTH: `entraid`, `elasticache-iam`, or `memorystore-iam`.
    - SESSION_REDIS_AUTH_USER: for ElastiCache, the user.
    - SESSION_REDIS_AUTH_CACHE: for ElastiCache, the name of the replication group or serverless cache.
    - SESSION_REDIS_AUTH_SERVERLESS: for ElastiCache, `1` if the cache is serverless, otherwise `0` or unset.

    The identity, keys, and region come from the variables and files that the SDK of the cloud reads.

    Raises:
        ValueError: a variable is missing or has another value.
        ImportError: the packages of the service are missing.

    """
    return _credentials(*(os.environ.get(name, "") for name in _VARIABLES))


@lru_cache
def _credentials(service: str, user: str, cache: str, serverless: str) -> TokenCredentials:
    services: dict[str, Callable[[], TokenCredentials]] = {
        "entraid": entraid,
        "elasticache-iam": lambda: elasticache_iam(user, cache, serverless=serverless == "1"),
        "memorystore-iam": memorystore_iam,
    }
    if service not in services:
        raise ValueError(f"SESSION_REDIS_AUTH must be one of {', '.join(services)}, not {service[:40]!r}")
    if service == "elasticache-iam" and not (user and cache):
        raise ValueError(
            "SESSION_REDIS_AUTH=elasticache-iam needs SESSION_REDIS_AUTH_USER and SESSION_REDIS_AUTH_CACHE"
        )
    if serverless not in ("", "0", "1"):
        raise ValueError(f"SESSION_REDIS_AUTH_SERVERLESS must be 0 or 1, not {serverless[:40]!r}")
    return services[service]()
