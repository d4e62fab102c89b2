"""Artifacts on grid paths: files that belong to a session, in a store of your own.

A grid path has the form `grid/SANDBOX/SESSION/ARTIFACT`. The session manager builds and parses it. Your store, here a
folder, keeps the bytes.
It runs on the in-process emulator. To run it on a server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
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
        grid_path = self._manager.generate_artifact_key(session_id, name)
        await asyncio.to_thread(_write, self._folder / grid_path, content)
        await self._manager.increment_session_counter(session_id, "artifacts")
        return grid_path

    def list_artifacts(self, session_id: str) -> list[str]:
        """Return the grid paths of a session's artifacts."""
        prefix = self._manager.get_canonical_prefix(session_id)
        return sorted(path.relative_to(self._folder).as_posix() for path in _files(self._folder / prefix))

    async def collect_garbage(self) -> int:
        """Remove the artifacts of deleted and expired sessions, and return how many there were."""
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


async def demonstrate(store: ArtifactStore, manager: SessionManager) -> None:
    """Save, list, parse and collect artifacts."""
    session_id = await manager.allocate_session(user_id="alice")
    grid_path = await store.save(session_id, "report.txt", b"Quarterly figures")
    await store.save(session_id, "chart.svg", b"<svg/>")
    print("saved", len(store.list_artifacts(session_id)), "artifacts under", manager.get_session_prefix_pattern())

    parts = manager.parse_grid_key(grid_path)
    if parts is None:
        raise RuntimeError("the library must parse a path that it has just built")
    print("parsed:", parts["sandbox_id"], parts["artifact_id"], "same session:", parts["session_id"] == session_id)
    print("not a grid path:", manager.parse_grid_key("grid/other/../../etc/passwd"))
    try:
        await store.save(session_id, "../../other-tenant/secret", b"")
    except ValueError:
        print("a path that climbs is refused")

    await manager.delete_session(session_id)
    print("collected", await store.collect_garbage(), "artifacts of deleted sessions")


async def main() -> None:
    """Keep the artifacts in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        async with SessionManager("studio") as manager:
            await demonstrate(ArtifactStore(Path(folder), manager), manager)


if __name__ == "__main__":
    asyncio.run(main())
