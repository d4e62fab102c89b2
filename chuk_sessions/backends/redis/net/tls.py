"""TLS contexts that follow their files: a renewed certificate or authority counts from the next connection on."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio.connection import SSLConnection

logger = logging.getLogger(__name__)

_FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
_FOLDER = "ssl_ca_path"

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Of each file: when it was written, which one it is, and how long it is; None for one that is not there."""


class TlsContexts:
    """The context of one server's connections. Building one takes long, so it is kept while its files stay."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._paths = tuple(_paths(settings))
        self._context: ssl.SSLContext | None = None
        self._stamp: Stamp = ()
        self._failed: Stamp | None = None

    async def apply(self, connection: SSLConnection) -> None:
        """Give the connection its context. Raises what reading the files raises, if there is no earlier context."""
        stamp = tuple(map(_stamp, self._paths))
        if self._context is None or stamp != self._stamp:
            await self._renew(connection, stamp)
        connection.ssl_context.context = self._context

    async def _renew(self, connection: SSLConnection, stamp: Stamp) -> None:
        """Read the files. While a new pair of key and certificate is half written, the old ones go on."""
        try:
            # It reads all authorities of the system, too, and would hold up the loop.
            self._context = await asyncio.to_thread(connection.ssl_context.get)
            self._stamp, self._failed = stamp, None
        except (OSError, ValueError) as failure:
            if self._context is None:
                raise
            if self._failed != stamp:
                self._failed = stamp
                logger.warning("the changed TLS files cannot be read, the ones before stay in use: %s", failure)


def _paths(settings: Mapping[str, Any]) -> list[Path]:
    """Return the files that a context is built from: those that are given, and those that Python adds."""
    given = [Path(settings[name]) for name in _FILES if settings.get(name)]
    folder = settings.get(_FOLDER)
    defaults = ssl.get_default_verify_paths()
    return [*given, *([Path(folder)] if folder else []), *(Path(path) for path in (defaults.cafile,) if path)]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
