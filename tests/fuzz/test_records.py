"""Whatever somebody has written into a record or an index: emulator and server say the same of it, and errors are
typed. What lies in another sandbox under the same id is not touched.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from chuk_sessions import SessionError
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import keys
from tests.equivalence.test_state_machine import FAR_MS
from tests.fuzz.cases import FUZZ
from tests.harness.worlds import EmulatorWorld, ServerWorld

MADE = "sess-alice-1700000000-07" + "0" * 32
TARGET, OTHER = keys.session_keys("test", MADE), keys.session_keys("other", MADE)
NOW = time.time_ns() // 1_000_000 + FAR_MS
NUMBERS = st.one_of(
    st.sampled_from([b"", b"nan", b"inf", b"-inf", b"0x7fffffffffff", b"1e15", b"+5", b" 5", b"5\n", b"1_0", b"-0"]),
    st.sampled_from(
        [b"007", b"1.5", b"9" * 15, b"9" * 16, b"-" + b"9" * 15, b"9" * 400, b"%d" % NOW, b"%d" % (NOW + 1)]
    ),
    st.integers(-(10**17), 10**17).map(lambda number: b"%d" % number),
    st.integers(0, 10**15).map(lambda number: b"%d" % number),
)
FIELDS = st.sampled_from([b"c", b"d", b"a", b"i", b"v", b"u", b"r", b"m:n", b"m:x", b"o:once", b"z", b"x:y"])
VALUES = st.one_of(
    NUMBERS, st.binary(max_size=8), st.just(TARGET.handle), st.sampled_from([b"^", b"../x", b"{t}", b"{"])
)
CHANGES = st.dictionaries(FIELDS, st.none() | VALUES, max_size=3)
MEMBERS = st.lists(st.binary(min_size=1, max_size=6) | st.just(b"^nonsense"), max_size=2)
CALLS = {
    "validate": lambda manager: manager.validate_session(MADE),
    "read": lambda manager: manager.get_session_info(MADE),
    "update": lambda manager: manager.update_session_metadata(MADE, {"x": 1}, idempotency_key="k"),
    "increment": lambda manager: manager.increment_session_counter(MADE, "n", ceiling=10**6, idempotency_key="k"),
    "extend": lambda manager: manager.extend_session_ttl(MADE, 1),
    "delete": lambda manager: manager.delete_session(MADE),
    "allocate": lambda manager: manager.allocate_session(MADE, "alice", custom_metadata={"n": 1}),
    "rotate": lambda manager: manager.rotate_session(MADE, grace_seconds=9),
    "log in": lambda manager: manager.rotate_session(MADE, user_id="bob"),
    "list": lambda manager: manager.list_sessions(),
    "list a user's": lambda manager: manager.list_user_sessions("alice"),
    "revoke": lambda manager: manager.revoke_user_sessions("alice"),
    "sweep": lambda manager: manager.cleanup_expired_sessions(all_sandboxes=True),
}
NEW_IDS = ("rotate", "log in")


@dataclass
class Damage:
    """What somebody has done to a stored session.

    Attributes:
        fields: what is in them now; None for one that is gone.
        members: of the indexes.

    """

    fields: dict[bytes, bytes | None]
    members: list[bytes] = field(default_factory=list)

    def on_emulator(self, world):
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

    def on_server(self, client):
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
    """What a call gives, as far as it is the same everywhere."""
    try:
        result = await CALLS[name](world.manager(idle_timeout_seconds=60))
    except SessionError as error:
        return type(error)
    except ValueError as error:
        if "beyond the year 9999" in str(error):
            return ValueError
        raise
    if name in NEW_IDS and result is not None:
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
            await world.manager(sandbox).allocate_session(MADE, "alice", custom_metadata={"n": 5})
    untouched = client.dump(OTHER.record)
    damage.on_emulator(worlds[0])
    damage.on_server(client)
    for name in names:
        ours, theirs = [await outcome(world, name) for world in worlds]
        assert ours == theirs, (name, damage)
        if name in NEW_IDS:
            break  # what follows would tell the new ids, which differ
    assert client.dump(OTHER.record) == untouched


def test_altered_records_are_seen_alike_and_harm_nobody_else(any_server):
    server = ServerWorld(ManualClock(NOW), any_server)
    with asyncio.Runner() as executor, any_server.client() as client:

        @FUZZ
        @given(CHANGES, MEMBERS, st.lists(st.sampled_from(sorted(CALLS)), min_size=1, max_size=2))
        @example({b"d": b"nan"}, [], ["validate"])
        @example({b"d": b"0x7fffffffffff"}, [], ["validate"])
        @example({b"a": b" 5"}, [], ["update"])
        @example({b"v": b"1e3"}, [], ["update", "extend"])
        @example({b"r": b"\xff"}, [], ["validate", "allocate"])
        @example({b"r": TARGET.handle}, [], ["read", "delete"])
        @example({}, [b"\xff", b"^nonsense"], ["list", "list a user's"])
        @example({}, [b"\xff", b"*"], ["revoke", "sweep"])
        def check(changes, members, names):
            executor.execute(compare(server, client, Damage(changes, members), names))

        check()
        executor.execute(server.close())
