"""TLS contexts that follow their files: the next connection uses a renewed certificate or certificate authority."""

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

FileVersions = tuple[tuple[int, int, int] | None, ...]
"""The modification time (ns), inode and size (bytes) of each file; None for a file that does not exist."""


class TlsContexts:
    """The TLS context of the connections to one server. It takes long to create, so it is kept while its files stay the
    same.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Create the holder of a context. `settings`: keyword arguments of redis-py's SSLConnection."""
        self._paths = tuple(_paths(settings))
        self._context: ssl.SSLContext | None = None
        self._versions: FileVersions = ()
        self._failed_versions: FileVersions | None = None

    async def apply(self, connection: SSLConnection) -> None:
        """Set the TLS context of a redis-py connection.

        Raises OSError or ValueError if the files cannot be read and there is no earlier context.
        """
        versions = tuple(map(_version, self._paths))
        if self._context is None or versions != self._versions:
            await self._read_files(connection, versions)
        connection.ssl_context.context = self._context

    async def _read_files(self, connection: SSLConnection, versions: FileVersions) -> None:
        """Read the files. While a new pair of key and certificate is only half written, keep the old context."""
        try:
            # This also reads all certificate authorities of the system, which would block the event loop.
            self._context = await asyncio.to_thread(connection.ssl_context.get)
            self._versions, self._failed_versions = versions, None
        except (OSError, ValueError) as error:
            if self._context is None:
                raise
            if self._failed_versions != versions:
                self._failed_versions = versions
                logger.warning("the changed TLS files cannot be read, the previous ones stay in use: %s", error)


def _paths(settings: Mapping[str, Any]) -> list[Path]:
    """Return the files and the folder that a context is created from: the configured ones and Python's default."""
    configured = [Path(settings[name]) for name in _FILES if settings.get(name)]
    folder = settings.get(_FOLDER)
    defaults = ssl.get_default_verify_paths()
    return [*configured, *([Path(folder)] if folder else []), *(Path(path) for path in (defaults.cafile,) if path)]


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
