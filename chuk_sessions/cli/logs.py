"""Logging of commands: warnings go to stderr. A service logs more, with the time."""

from __future__ import annotations

import logging
import sys

_CONNECTIONS = "chuk_sessions.backends.redis.net"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up() -> None:
    """Log warnings to stderr, unless the process logs already.

    Connections are left out, because a command that cannot reach the store says so itself.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: record.levelno >= logging.ERROR or not record.name.startswith(_CONNECTIONS))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(levelname)s: %(message)s")


def report(level: str) -> None:
    """Log everything from a level on, with the time. Raises ValueError for an unknown level."""
    if level not in _LEVELS:
        raise ValueError(f"--log-level must be one of {', '.join(_LEVELS)}")
    logging.basicConfig(
        level=_LEVELS[level], stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
