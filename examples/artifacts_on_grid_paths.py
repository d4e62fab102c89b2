"""Artifacts on grid paths: files that belong to a session, in a store of your own.

The session engine builds and parses the paths. The artifact store, here a folder, keeps the bytes.
Runs on the emulator. Set SESSION_PROVIDER=redis and SESSION_REDIS_URL to run it on a server.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from chuk_sessions import SessionManager


class ArtifactStore:
    """Artifacts in a folder, under their grid paths."""

    def __init__(self, folder: Path, manager: SessionManager) -> None:
        self._folder = folder
        self._manager = manager

    async def save(self, session_id: str, name: str, content: bytes) -> str:
        """Store an artifact of a live session and return its grid path."""
        if not await self._manager.validate_session(session_id):
            raise PermissionError("no such session")
        key = self._manager.generate_artifact_key(session_id, name)
        path = self._folder / key
        await asyncio.to_thread(_write, path, content)
        await self._manager.increment_session_counter(session_id, "artifacts")
        return key

    def of_session(self, session_id: str) -> list[str]:
        """Return the grid paths of a session's artifacts."""
        prefix = self._manager.get_canonical_prefix(session_id)
        return sorted(path.relative_to(self._folder).as_posix() for path in _files(self._folder / prefix))

    async def collect_garbage(self) -> int:
        """Remove artifacts whose session has ended, and return how many."""
        removed = 0
        for folder in sorted((self._folder / self._manager.get_session_prefix_pattern()).glob("*")):
            if not await self._manager.validate_session(folder.name):
                removed += sum(1 for _ in _files(folder))
                await asyncio.to_thread(shutil.rmtree, folder)
        return removed


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


async def work(store: ArtifactStore, manager: SessionManager) -> None:
    """Save, list, parse and collect artifacts."""
    session_id = await manager.allocate_session(user_id="alice")
    key = await store.save(session_id, "report.txt", b"Quarterly figures")
    await store.save(session_id, "chart.svg", b"<svg/>")
    print("saved", len(store.of_session(session_id)), "artifacts under", manager.get_session_prefix_pattern())

    parts = manager.parse_grid_key(key)
    if parts is None:
        raise RuntimeError("a path that was just built must parse")
    print("parsed:", parts["sandbox_id"], parts["artifact_id"], "same session:", parts["session_id"] == session_id)
    print("not a grid path:", manager.parse_grid_key("grid/other/../../etc/passwd"))
    try:
        await store.save(session_id, "../../other-tenant/secret", b"")
    except ValueError:
        print("a path that climbs is refused")

    await manager.delete_session(session_id)
    print("collected", await store.collect_garbage(), "artifacts of ended sessions")


async def main() -> None:
    """Work in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        async with SessionManager("studio") as manager:
            await work(ArtifactStore(Path(folder), manager), manager)


if __name__ == "__main__":
    asyncio.run(main())
