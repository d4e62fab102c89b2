"""A JWT blocklist: services accept signed tokens without asking the session store, until the session of a token ends.

A feeder reads the events of sessions and writes the blocklist. It runs on the in-process emulator. To run it on a
server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sqlite3
import time
from typing import Any

from chuk_sessions import SessionManager, factory_for_env, session_hash
from chuk_sessions.events import SessionEvents

KEY = b"a secret that the login service and all other services share"
HEADER = b'{"alg":"HS256","typ":"JWT"}'


def encoded(part: bytes) -> str:
    """Return bytes as a part of a token."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def signature(text: str) -> str:
    """Return the signature of a text (HS256)."""
    return encoded(hmac.digest(KEY, text.encode(), hashlib.sha256))


def issue(session_id: str, user: str, deadline_ms: int) -> str:
    """Return a token for a session. It names the hash of the session's id, so that it does not grant the session."""
    claims = {"sub": user, "sid": session_hash(session_id), "exp": deadline_ms // 1000}
    text = f"{encoded(HEADER)}.{encoded(json.dumps(claims).encode())}"
    return f"{text}.{signature(text)}"


class Blocklist:
    """Hashes of sessions that have ended, each until the deadline that it had. All services can read it.

    Attributes:
        changed: is set by the first entry, for this demonstration.

    """

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._rows = sqlite3.connect(":memory:")
        self._rows.execute("CREATE TABLE blocked (sid TEXT PRIMARY KEY, until INTEGER)")

    def add(self, sid: str, until_ms: int) -> None:
        """Block a session. It does no harm to do so twice, for example when an event is delivered again."""
        with self._rows:
            self._rows.execute("INSERT OR REPLACE INTO blocked VALUES (?, ?)", (sid, until_ms))
            self._rows.execute("DELETE FROM blocked WHERE until < ?", (int(time.time() * 1000),))
        self.changed.set()

    def close(self) -> None:
        """Close the database."""
        self._rows.close()

    def has(self, sid: str) -> bool:
        """Return whether a session is blocked."""
        return self._rows.execute("SELECT 1 FROM blocked WHERE sid = ?", (sid,)).fetchone() is not None


class Service:
    """A service that accepts tokens. It never asks the session store."""

    def __init__(self, blocklist: Blocklist) -> None:
        self._blocklist = blocklist

    def user_of(self, token: str) -> str | None:
        """Return the user of a token, or None if it is not valid."""
        text, _, given = token.rpartition(".")
        if not hmac.compare_digest(given, signature(text)):
            return None
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text.partition(".")[2] + "=="))
        if claims["exp"] <= time.time() or self._blocklist.has(claims["sid"]):
            return None
        return str(claims["sub"])


async def feed(events: SessionEvents, blocklist: Blocklist) -> None:
    """Block each session that ends, and each id that is replaced."""
    async for event in events:
        if event.type in ("session.ended", "session.rotated"):
            # A token never outlives the deadline of its session, so the entry need not either.
            blocklist.add(event.session_hash, event.expires_at)
            print("blocked:", event.reason or event.type)


async def main() -> None:
    """Log alice in, and out again."""
    factory, blocklist = factory_for_env(), Blocklist()
    service = Service(blocklist)
    async with (
        SessionManager("shop", factory, default_ttl_hours=1, events=True) as manager,
        SessionEvents(factory, reader="blocklist", sandbox_id="shop") as events,
    ):
        feeding = asyncio.create_task(feed(events, blocklist))
        session_id = await manager.allocate_session(user_id="alice")
        token = issue(session_id, "alice", int(time.time() * 1000) + 3_600_000)
        print("accepted:", service.user_of(token))

        await manager.delete_session(session_id)
        async with asyncio.timeout(30):
            await blocklist.changed.wait()
        print("after the logout:", service.user_of(token))
        events.stop()
        await feeding
    blocklist.close()


if __name__ == "__main__":
    asyncio.run(main())
