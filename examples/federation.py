"""Grants: a service in another sandbox reads one artifact of a session, until the session ends.

The sandbox `studio` has sessions and artifacts. Its grant lets the sandbox `printer` read what is under one path. The
printer asks the store each time, so it is refused at the moment when the session is deleted.
It runs on the in-process emulator. To run it on a server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from chuk_sessions import SessionManager
from chuk_sessions.federation import Federation, generate_signing_key


class Printer:
    """A service that knows neither session ids nor the keys of the studio, only its public key."""

    def __init__(self, folder: Path, manager: SessionManager) -> None:
        self._folder = folder
        self._manager = manager

    async def print_artifact(self, token: str, grid_path: str) -> str:
        """Return the text of an artifact. Raises PermissionError unless the grant covers it and counts now."""
        if await self._manager.resolve_grant(token, grid_path, "read") is None:
            raise PermissionError("refused")
        return await asyncio.to_thread((self._folder / grid_path).read_text)


def save(folder: Path, grid_path: str, text: str) -> None:
    """Store an artifact under its grid path."""
    path = folder / grid_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


async def attempt(printer: Printer, token: str, grid_path: str) -> str:
    """Return the text of an artifact, or the reason why there is none."""
    try:
        return await printer.print_artifact(token, grid_path)
    except PermissionError as error:
        return str(error)


async def demonstrate(folder: Path, studio: SessionManager, printer_manager: SessionManager) -> None:
    """Grant, read, rotate, and delete."""
    printer = Printer(folder, printer_manager)
    session_id = await studio.allocate_session(user_id="alice")
    # Paths by reference do not contain the id of the session, so another service may see them.
    report = studio.generate_artifact_key(session_id, "reports", "2026.txt", by_reference=True)
    draft = studio.generate_artifact_key(session_id, "reports-draft", "2027.txt", by_reference=True)
    save(folder, report, "Quarterly figures")
    save(folder, draft, "Not for printing")

    token = await studio.grant_session(session_id, to="printer", path="reports", ttl_seconds=300)
    if token is None:
        raise RuntimeError("the session must be alive")
    print("printed:", await printer.print_artifact(token, report))
    print("another path is", await attempt(printer, token, draft))
    is_writable = await printer_manager.resolve_grant(token, report, "write")
    print("another action is", "allowed" if is_writable else "refused")
    is_passed_on = await studio.resolve_grant(token, report)
    print("another service is", "allowed" if is_passed_on else "refused")

    new_id = await studio.rotate_session(session_id)
    print("after the rotation:", await attempt(printer, token, report))
    await studio.delete_session(str(new_id))
    print("after the session was deleted:", await attempt(printer, token, report))


async def main() -> None:
    """Configure both sandboxes. In production, each process has only its own part of this."""
    key = generate_signing_key()
    studio = SessionManager("studio", federation=Federation(keys={"2026-11": key}))
    printer = SessionManager("printer", federation=Federation(trust={"studio": {"2026-11": key.public_key()}}))
    with tempfile.TemporaryDirectory() as folder:
        async with studio, printer:
            await demonstrate(Path(folder), studio, printer)


if __name__ == "__main__":
    asyncio.run(main())
