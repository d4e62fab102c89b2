"""Log lines about the configuration. Each appears at most once per process."""

from __future__ import annotations

import logging

logger = logging.getLogger(__package__)

_logged: set[str] = set()
"""Names of the notices that this process has logged."""


def memory_only() -> None:
    """Log that sessions are kept in the memory of this process, because no provider is configured."""
    if _is_first("memory"):
        logger.info("SESSION_PROVIDER is not set: sessions live only in the memory of this process")


def random_sandbox(sandbox_id: str) -> None:
    """Warn that a shared store is used with a sandbox that no other process knows."""
    if _is_first("sandbox"):
        logger.warning(
            "no sandbox_id was given and CHUK_SANDBOX_ID is not set: sessions go to the random sandbox %s, where other "
            "processes, and this one after a restart, cannot find them",
            sandbox_id,
        )


def _is_first(name: str) -> bool:
    first = name not in _logged
    _logged.add(name)
    return first


__all__ = ["memory_only", "random_sandbox"]
