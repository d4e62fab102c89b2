"""Logging of commands: warnings go to stderr."""

from __future__ import annotations

import logging
import sys

_CONNECTIONS = "chuk_sessions.backends.redis.net"


def set_up() -> None:
    """Log warnings to stderr, unless the process logs already.

    Connections are left out, because a command that cannot reach the store says so itself.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: record.levelno >= logging.ERROR or not record.name.startswith(_CONNECTIONS))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(levelname)s: %(message)s")
