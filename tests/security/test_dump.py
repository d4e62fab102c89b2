"""No session id appears in the store, in what the server says and logs, in the library's log, or in events: in no
encoding. With encryption, no user and no value does either.

A load with about 1,000 ids runs on a real server. Then the server's files, its diagnostics, all traffic, and both logs
are searched. A canary that is put into each of them shows that the search would find an id there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import threading
from base64 import b32encode, b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from chuk_sessions import SessionManager, session_hash
from chuk_sessions.core import ids
from chuk_sessions.events import SessionEvent, SessionEvents
from chuk_sessions.providers import redis
from tests.conftest import bundled
from tests.encryption.stored import encryption
from tests.harness.farms.proxy import Proxy
from tests.harness.servers import Server, running
from tests.redis.tools import until

LONG = bool(os.environ.get("CHUK_TEST_LONG"))
VISITORS, CONCURRENT = 150 if LONG else 50, 50
USERS = 1000 if LONG else 200
WINDOW = 12
"""Bytes that the search compares first. An encoded id has at least 72 bits of entropy in these."""
DUMPED = ("--appendonly", "yes", "--aof-use-rdb-preamble", "no", "--rdbcompression", "no", "--loglevel", "debug")
LOGGED = ("--slowlog-log-slower-than", "0", "--slowlog-max-len", "1000000")
SOURCES = ("RDB", "AOF", "MONITOR", "SLOWLOG", "CLIENT LIST", "server log", "traffic", "library log", "events")


def encodings(session_id: str) -> dict[str, bytes]:
    """Return an id, and the random part of a generated one, in every form in which code could store or log it."""
    parts = {"id": session_id.encode()}
    forms: dict[str, bytes] = {}
    if ids.is_generated(session_id):
        digits = session_id[-34:]
        raw = bytes.fromhex(digits[2:])
        seconds = int(session_id.split("-")[-2]).to_bytes(5)
        parts |= {"digits": digits[2:].encode(), "raw": raw, "reversed raw": raw[::-1], "packed": seconds + raw}
        forms |= {"number": b"%d" % int(digits, 16), "upper digits": digits.upper().encode()}
    for name, part in parts.items():
        forms |= {
            name: part,
            f"{name} in hex": part.hex().encode(),
            f"{name} in upper hex": part.hex().upper().encode(),
        }
        forms |= {f"{name} in base32": b32encode(part).rstrip(b"="), f"{name} escaped": _escaped(part)}
        for shift in range(3):
            # Whatever precedes an id in a longer text that is encoded, only its first and last character depend on it.
            for kind, encode in (("base64", b64encode), ("base64url", urlsafe_b64encode)):
                text = encode(bytes(shift) + part).rstrip(b"=")
                forms[f"{name} in {kind}, {shift} bytes on"] = text[shift and shift + 1 : -1]
    return forms


def _escaped(part: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in part)


class Search:
    """A search for many ids at once."""

    def __init__(self, session_ids: list[str]) -> None:
        self._by_window: dict[bytes, list[tuple[str, str, bytes]]] = {}
        for session_id in session_ids:
            for name, form in encodings(session_id).items():
                # The end of an id is its random part.
                self._by_window.setdefault(form[-WINDOW:], []).append((session_id, name, form))

    def find(self, data: bytes) -> set[tuple[str, str]]:
        """Return the ids in the data, each with the form in which it was found."""
        windows = self._by_window
        ends = [end for end in range(WINDOW, len(data) + 1) if data[end - WINDOW : end] in windows]
        return {
            (session_id, name)
            for end in ends
            for session_id, name, form in windows[data[end - WINDOW : end]]
            if data[max(0, end - len(form)) : end] == form
        }


def unescaped(data: bytes) -> bytes:
    """Return text as MONITOR and logs print it, with `\\xNN` as bytes."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), data)


class Load:
    """Visitors who use sessions in every way.

    Attributes:
        session_ids: all ids that callers were given or have chosen.

    """

    def __init__(self, manager: SessionManager) -> None:
        self.session_ids: list[str] = []
        self._manager = manager

    async def run(self) -> None:
        """Let all visitors in, then list, sweep, and revoke."""
        for first in range(0, VISITORS, CONCURRENT):
            await asyncio.gather(*(self._visit(number) for number in range(first, first + CONCURRENT)))
        await asyncio.gather(*(self._expire(number) for number in range(CONCURRENT)))
        assert len(await self._manager.list_sessions()) > CONCURRENT
        assert await self._manager.list_user_sessions("user-7")
        assert await self._manager.cleanup_expired_sessions(all_sandboxes=True) > 0
        assert await self._manager.revoke_user_sessions("user-7") > 0

    def _note(self, session_id: str | None) -> str:
        assert session_id is not None
        self.session_ids.append(session_id)
        return session_id

    async def _allocate(self, user: str | None = None, *, chosen: bool = False, ttl_hours: float = 1) -> str:
        own = secrets.token_urlsafe(24) if chosen else None
        return self._note(await self._manager.allocate_session(own, user, ttl_hours, {"cart": ["a", 1]}))

    async def _visit(self, number: int) -> None:
        manager, user = self._manager, f"user-{number % CONCURRENT}"
        guest, own, first = await self._allocate(), await self._allocate(user, chosen=True), await self._allocate(user)
        for session_id in (guest, own, first):
            await manager.validate_session(session_id)
            await manager.update_session_metadata(session_id, {"x": 1}, idempotency_key="once")
            await manager.increment_session_counter(session_id, "n")
            await manager.append_session_metadata(session_id, "seen", number)
            await manager.transform_session_metadata(session_id, "n", lambda found: found + 1)
        inside = self._note(await manager.rotate_session(guest, user_id=user))
        rotated = self._note(await manager.rotate_session(inside, grace_seconds=60))
        moved = await manager.rotate_session(own, grace_seconds=60)
        if moved is not None:
            await manager.validate_session(own)
            await manager.extend_session_ttl(self._note(moved), 1)
        await manager.validate_session(inside)
        await manager.get_session_info(rotated)
        await (manager.delete_session(inside) if number % 3 else manager.revoke_session(session_hash(first)))
        await manager.validate_session(self._note(secrets.token_urlsafe(24)))

    async def _expire(self, number: int) -> None:
        await self._allocate(f"gone-{number}", ttl_hours=1e-9)
        await self._allocate(chosen=True, ttl_hours=1e-9)


@contextmanager
def monitored(server: Server, lines: bytearray) -> Iterator[None]:
    """Record what MONITOR prints."""
    end = secrets.token_hex(16).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"MONITOR\r\n")
        assert connection.recv(5) == b"+OK\r\n"

        def read() -> None:
            while end not in lines[-1000:]:
                lines.extend(connection.recv(1 << 20))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            with server.client() as client:
                client.echo(end)
            thread.join()


def put_everywhere(server: Server, canary: str) -> None:
    """Put a value where the load could have put an id."""
    with server.client() as client:
        client.set("canary", canary)
        client.get("canary")
        client.eval("redis.log(redis.LOG_WARNING, ARGV[1])", 0, canary)
    logging.getLogger("chuk_sessions").debug("the canary is %s", canary)


def server_state(server: Server, canary: str) -> dict[str, bytes]:
    """Return what the server has stored and tells."""
    assert server.folder is not None
    with server.client() as client:
        client.client_setname(canary)
        client.save()
        slow, client_list = client.slowlog_get(-1), client.client_list()
    return {
        "RDB": (server.folder / "dump.rdb").read_bytes(),
        "AOF": b"".join(path.read_bytes() for path in _files(server.folder / "appendonlydir")),
        "SLOWLOG": b"\n".join(entry["command"] for entry in slow),
        "CLIENT LIST": str(client_list).encode(),
        "server log": (server.folder / "log").read_bytes(),
    }


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


async def _read(events: SessionEvents, received: list[SessionEvent]) -> None:
    async for event in events:
        received.append(event)


@dataclass(frozen=True)
class EncryptedLoad:
    """Visitors with users and values that nobody may find.

    Attributes:
        session_ids, users, values: what was written: `USERS` of each, 1,000 in `make proof`.

    """

    session_ids: list[str]
    users: list[str]
    values: list[str]

    async def run(self, manager: SessionManager) -> None:
        """Create a session for each user, and work with it in every way that takes values or users."""
        for first in range(0, len(self.users), CONCURRENT):
            await asyncio.gather(*(self._visit(manager, number) for number in range(first, first + CONCURRENT)))

    async def _visit(self, manager: SessionManager, number: int) -> None:
        user, value = self.users[number], self.values[number]
        own = f"own-{secrets.token_urlsafe(16)}" if number % 5 == 0 else None
        first = await manager.allocate_session(own, user if number % 2 else None, custom_metadata={"first": value})
        await manager.update_session_metadata(first, {"a": [value]}, idempotency_key="once")
        await manager.update_session_metadata(first, {"b": value}, expected={"first": value})
        await manager.transform_session_metadata(first, "c", lambda _: {"deep": value})
        inside = await manager.rotate_session(first, user_id=user)
        assert inside is not None
        rotated = await manager.rotate_session(inside, grace_seconds=60)
        assert rotated is not None
        self.session_ids.extend((first, inside, rotated))
        if number % 10 == 0:
            assert len(await manager.list_user_sessions(user)) == await manager.count_sessions(user) == 1
        if number % 3 == 0:
            await manager.update_session_metadata(inside, {"d": value}, merge=False)
        if number % 7 == 0:
            assert await manager.revoke_user_sessions(user) == 1


async def test_no_dump_or_traffic_contains_an_id_user_or_value_with_encryption():
    traffic, monitor, canary = bytearray(), bytearray(), f"canary-{secrets.token_hex(12)}"
    users, values = [[f"{kind}-{secrets.token_hex(12)}" for _ in range(USERS)] for kind in ("user", "value")]
    load = EncryptedLoad([], users, values)
    with running(bundled(), *DUMPED, *LOGGED) as server, Proxy(server.port, forwarded=traffic) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        with monitored(server, monitor), replicated(server) as replication:
            async with SessionManager("web", redis.factory(url), encryption=encryption(require=True)) as manager:
                await load.run(manager)
            put_everywhere(Server(url), canary)
        state = server_state(server, canary)
    state |= {"MONITOR": bytes(monitor), "traffic": bytes(traffic), "replication": bytes(replication)}
    assert len({*load.session_ids}) == 3 * USERS
    random_parts = {session_id[-32:].encode() for session_id in load.session_ids if ids.is_generated(session_id)}
    for source, data in state.items():
        found = written_texts(data) | written_texts(unescaped(data))
        assert found == {canary.encode()}, source
        digits = {run[place : place + 32] for run in set(DIGITS(data)) for place in range(len(run) - 31)}
        assert not digits & random_parts, source


WRITTEN = re.compile(
    rb"(?:user|value|canary)-[0-9a-f]{24}|757365722d|76616c75652d|dXNlci[0-9A-Za-z+/]{20}|dmFsdWUt"
).findall
"""Finds users and values as they are, in hexadecimal, and in base64."""
DIGITS = re.compile(rb"[0-9a-f]{32,}").findall


def written_texts(data: bytes) -> set[bytes]:
    """Return what looks like a user, a value, or the canary."""
    return set(WRITTEN(data))


def test_the_search_finds_users_and_values_in_each_form():
    for kind in ("user", "value"):
        text = f"{kind}-{secrets.token_hex(12)}".encode()
        for form in (text, text.hex().encode(), b64encode(text)):
            assert written_texts(b"x" + form + b"x")


@contextmanager
def replicated(server: Server) -> Iterator[bytearray]:
    """Record what the server sends to a replica."""
    received, ended = bytearray(), threading.Event()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"SYNC\r\n")
        connection.settimeout(0.2)

        def read() -> None:
            while not ended.is_set() or b"canary" not in received[-1_000_000:]:
                with suppress(TimeoutError):
                    received.extend(connection.recv(1 << 20))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield received
        finally:
            ended.set()
            thread.join()


async def test_no_store_reply_or_log_contains_a_session_id(caplog: pytest.LogCaptureFixture):
    traffic, monitor, canary = bytearray(), bytearray(), ids.new_id("canary", 7)
    with (
        running(bundled(), *DUMPED, *LOGGED) as server,
        Proxy(server.port, forwarded=traffic) as proxy,
        caplog.at_level(logging.DEBUG),
    ):
        url = f"redis://127.0.0.1:{proxy.port}/0"
        async with (
            SessionManager(
                "web", redis.factory(url), idle_timeout_seconds=600, max_sessions_per_user=4, events="updates"
            ) as manager,
            SessionEvents(redis.factory(url), reader="mailer") as events,
        ):
            load, received = Load(manager), list[SessionEvent]()
            reading = asyncio.create_task(_read(events, received))
            with monitored(server, monitor):
                await load.run()
                put_everywhere(Server(url), canary)
            state = server_state(server, canary)
            await until(lambda: len(received) > len(load.session_ids), 30)
            events.stop()
            await reading
        state["events"] = repr([*received, canary]).encode()
    state |= {"MONITOR": bytes(monitor), "traffic": bytes(traffic), "library log": caplog.text.encode()}
    assert sorted(state) == sorted(SOURCES)
    assert 6 * VISITORS < len(set(load.session_ids)) < 10 * VISITORS
    search = Search([*load.session_ids, canary])
    for source, data in state.items():
        found = search.find(data) | (search.find(unescaped(data)) if b"\\x" in data else set())
        assert {session_id for session_id, _ in found} == {canary}, (source, len(found))


@pytest.mark.parametrize(
    "session_id",
    [ids.new_id("alice", 7), ids.new_id(None, 255), secrets.token_urlsafe(24)],
    ids=["user", "guest", "own"],
)
def test_the_search_finds_every_encoding(session_id):
    search = Search([*(ids.new_id("alice", 7) for _ in range(50)), session_id])
    for name, form in encodings(session_id).items():
        data = secrets.token_bytes(1000) + form + secrets.token_bytes(1000)
        assert (session_id, name) in search.find(data)
        assert search.find(data[:1000] + form[1:]) <= search.find(data)
    for before in (b"", b"x", b"xy", b"xyz"):
        packed = b64encode(before + session_id.encode() + b"after")
        assert any(name.startswith("id in base64") for _, name in search.find(packed))
    assert not search.find(session_hash(session_id).encode())
