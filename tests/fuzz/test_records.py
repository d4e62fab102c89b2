"""Damaged records and indexes: emulator and server give the same results, errors are typed, and a session with the
same id in another sandbox stays as it is.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from chuk_sessions import ABSENT, SessionError
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import keys
from tests.equivalence.comparison import FAR_MS
from tests.fuzz.cases import FUZZ
from tests.harness.worlds import EmulatorWorld, ServerWorld

SESSION_ID = "sess-alice-1700000000-07" + "0" * 32
TARGET, OTHER = keys.session_keys("test", SESSION_ID), keys.session_keys("other", SESSION_ID)
NOW = time.time_ns() // 1_000_000 + FAR_MS
NUMBERS = st.one_of(
    st.sampled_from([b"", b"nan", b"inf", b"-inf", b"0x7fffffffffff", b"1e15", b"+5", b" 5", b"5\n", b"1_0", b"-0"]),
    st.sampled_from(
        [b"007", b"1.5", b"9" * 15, b"9" * 16, b"-" + b"9" * 15, b"9" * 400, b"%d" % NOW, b"%d" % (NOW + 1)]
    ),
    st.integers(-(10**17), 10**17).map(lambda number: b"%d" % number),
    st.integers(0, 10**15).map(lambda number: b"%d" % number),
)
FIELDS = st.sampled_from(
    [b"c", b"d", b"a", b"i", b"v", b"u", b"r", b"m:n", b"m:x", b"o:once", b"z", b"x:y", b"e", b"s", b"l:api"]
)
VALUES = st.one_of(
    NUMBERS,
    st.binary(max_size=8),
    st.sampled_from([TARGET.handle, TARGET.reference.encode(), b"A" * 22, b"^", b"../x", b"{t}", b"{"]),
)
CHANGES = st.dictionaries(FIELDS, st.none() | VALUES, max_size=3)
MEMBERS = st.lists(st.binary(min_size=1, max_size=6) | st.just(b"^nonsense"), max_size=2)
CALLS = {
    "validate": lambda manager: manager.validate_session(SESSION_ID),
    "read": lambda manager: manager.get_session_info(SESSION_ID),
    "update": lambda manager: manager.update_session_metadata(SESSION_ID, {"x": 1}, idempotency_key="k"),
    "increment": lambda manager: manager.increment_session_counter(SESSION_ID, "n", ceiling=10**6, idempotency_key="k"),
    "append": lambda manager: manager.append_session_metadata(SESSION_ID, "x", 1, idempotency_key="k"),
    "transform": lambda manager: manager.transform_session_metadata(SESSION_ID, "x", lambda _: 7),
    "update and expire": lambda manager: manager.update_session_metadata(
        SESSION_ID, {"x": 1}, expected={"n": 5, "x": ABSENT}, ttl_seconds=60
    ),
    "transform once": lambda manager: manager.transform_session_metadata(
        SESSION_ID, "n", lambda _: 7, idempotency_key="k"
    ),
    "load": lambda manager: manager.load_session(SESSION_ID),
    "limit": lambda manager: manager.rate_limit_session(SESSION_ID, "api", 3, 1, idempotency_key="k"),
    "set the ttl": lambda manager: manager.set_session_ttl(SESSION_ID, 0.001),
    "extend": lambda manager: manager.extend_session_ttl(SESSION_ID, 1),
    "delete": lambda manager: manager.delete_session(SESSION_ID),
    "allocate": lambda manager: manager.allocate_session(SESSION_ID, "alice", custom_metadata={"n": 1}),
    "create": lambda manager: manager.allocate_session(SESSION_ID, "bob", mode="create"),
    "replace": lambda manager: manager.allocate_session(SESSION_ID, "bob", custom_metadata={"n": 2}, mode="replace"),
    "rotate": lambda manager: manager.rotate_session(SESSION_ID, grace_seconds=9),
    "log in": lambda manager: manager.rotate_session(SESSION_ID, user_id="bob"),
    "log in again": lambda manager: manager.rotate_session(SESSION_ID, user_id="alice", ttl_hours=math.inf),
    "list": lambda manager: manager.list_sessions(),
    "list a user's": lambda manager: manager.list_user_sessions("alice"),
    "count a user's": lambda manager: manager.count_sessions("alice"),
    "revoke one": lambda manager: manager.revoke_session(TARGET.reference),
    "revoke one of a user": lambda manager: manager.revoke_session(TARGET.reference, user_id="alice"),
    "revoke": lambda manager: manager.revoke_user_sessions("alice"),
    "sweep": lambda manager: manager.cleanup_expired_sessions(all_sandboxes=True),
}
RETURN_NEW_IDS = ("rotate", "log in", "log in again")


@dataclass
class Damage:
    """Damage to a stored session.

    Attributes:
        fields: new values of fields of the record; None removes the field.
        members: entries to add to each index.

    """

    fields: dict[bytes, bytes | None]
    members: list[bytes] = field(default_factory=list)

    def apply_to_emulator(self, world):
        space = world.backend._space
        for name, value in self.fields.items():
            if value is None:
                space.hdel(TARGET.record, [name])
            else:
                space.hset(TARGET.record, {name: value})
        for member in self.members:
            space.zadd(TARGET.index_keys.users, 1, member)
            space.zadd(TARGET.index_keys.deadlines, NOW + 10, member)
            space.zadd(TARGET.index_keys.sandboxes, 1, member)

    def apply_to_server(self, client):
        for name, value in self.fields.items():
            if value is None:
                client.hdel(TARGET.record, name)
            else:
                client.hset(TARGET.record, name, value)
        for member in self.members:
            client.zadd(TARGET.index_keys.users, {member: 1})
            client.zadd(TARGET.index_keys.deadlines, {member: NOW + 10})
            client.zadd(TARGET.index_keys.sandboxes, {member: 1})


async def outcome(world, name):
    """Return what a call returns or raises, as far as backends must agree on it."""
    try:
        result = await CALLS[name](world.manager(idle_timeout_seconds=60))
    except SessionError as error:
        return type(error)
    except ValueError as error:
        if "after the year 9999" in str(error):
            return ValueError
        raise
    if name in RETURN_NEW_IDS and result is not None:
        assert await world.manager().validate_session(result)
        return "a new id"
    return result


async def compare(server, client, damage, names):
    clock = ManualClock(NOW)
    worlds = EmulatorWorld(clock), server
    client.flushdb()
    await server.advance(ms=NOW - server.clock.now_ms())
    for world in worlds:
        for sandbox in ("test", "other"):
            await world.manager(sandbox).allocate_session(SESSION_ID, "alice", custom_metadata={"n": 5})
    untouched = client.dump(OTHER.record)
    damage.apply_to_emulator(worlds[0])
    damage.apply_to_server(client)
    for name in names:
        ours, theirs = [await outcome(world, name) for world in worlds]
        assert ours == theirs, (name, damage)
        if name in RETURN_NEW_IDS:
            break  # further calls would return the new ids, which differ
    assert client.dump(OTHER.record) == untouched


def test_backends_treat_damaged_records_alike_and_spare_other_sandboxes(any_server):
    server = ServerWorld(ManualClock(NOW), any_server)
    with asyncio.Runner() as runner, any_server.client() as client:

        @FUZZ
        @given(CHANGES, MEMBERS, st.lists(st.sampled_from(sorted(CALLS)), min_size=1, max_size=2))
        @example({b"d": b"nan"}, [], ["validate"])
        @example({b"d": b"0x7fffffffffff"}, [], ["validate"])
        @example({b"a": b" 5"}, [], ["update"])
        @example({b"v": b"1e3"}, [], ["update", "extend"])
        @example({b"m:x": b"["}, [], ["append", "transform"])
        @example({b"m:n": b""}, [], ["update and expire", "transform"])
        @example({b"r": b"\xff"}, [], ["validate", "allocate"])
        @example({b"r": TARGET.handle}, [], ["read", "delete"])
        @example({}, [b"\xff", b"^nonsense"], ["list", "list a user's"])
        @example({}, [b"\xff", b"*"], ["revoke", "sweep"])
        def check(changes, members, names):
            runner.run(compare(server, client, Damage(changes, members), names))

        check()
        runner.run(server.close())
