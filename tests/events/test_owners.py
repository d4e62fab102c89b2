"""Owners of events: decrypted by readers that have the keys, and otherwise marked as not known."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

from chuk_sessions import SessionManager
from chuk_sessions.events import SessionEvents
from tests.harness.readers import reading, take
from tests.harness.toy_codec import ToyCodec


async def test_a_reader_with_the_keys_decrypts_owners(world):
    await world.manager(events=True, _values=ToyCodec).allocate_session(user_id="alice")
    async with reading(world) as plain, reading(world, "other", encryption=SimpleNamespace(codec=ToyCodec)) as other:
        [event], [decrypted] = await take(plain, 1), await take(other, 1)
    assert (event.user_id, event.owner_known) == (None, False)
    assert (decrypted.user_id, decrypted.owner_known) == ("alice", True)


async def test_the_owner_of_a_session_is_not_known_once_its_record_is_gone(source):
    async with SessionManager("test", source, events=True, retention_seconds=0) as manager:
        await manager.allocate_session(user_id="alice", ttl_hours=1e-6)
        give_up = time.monotonic() + 30
        while await manager.cleanup_expired_sessions() == 0:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)
        async with SessionEvents(source, reader="mailer") as events:
            created, ended = await take(events, 2)
    assert (created.user_id, created.owner_known) == ("alice", True)
    assert (ended.type, ended.user_id, ended.owner_known, ended.version) == ("session.ended", None, False, None)


async def test_a_guest_has_no_owner(world):
    await world.manager(events=True).allocate_session()
    async with reading(world) as events:
        [event] = await take(events, 1)
    assert (event.user_id, event.owner_known, event.version) == (None, True, 1)
