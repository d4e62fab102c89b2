"""The judge notices each kind of damage in a store that was changed past the load."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from chuk_sessions.core import keys
from tests.faults.load.counts import Counts
from tests.faults.load.ledger import STRIDE, Account
from tests.faults.load.load import Load, load_on
from tests.harness.servers import Server
from tests.redis.tools import until

from .judge import broken_promises, count

Tamper = Callable[[redis.Redis, str, Load], None]


def remove_one(client: redis.Redis, record: str, load: Load) -> None:
    client.hincrby(record, "m:n", -1)


def add_three(client: redis.Redis, record: str, load: Load) -> None:
    client.hincrby(record, "m:n", 3)


def delete_record(client: redis.Redis, record: str, load: Load) -> None:
    client.delete(record)


def change_marker(client: redis.Redis, record: str, load: Load) -> None:
    client.hset(record, "m:marker", '"session 999"')


def unindex(client: redis.Redis, record: str, load: Load) -> None:
    client.delete(record.partition("/s/")[0] + "/deadlines")


def revive(client: redis.Redis, record: str, load: Load) -> None:
    client.copy(record, keys.session_keys("faults", load.ledger.invalid_ids[0]).record)


def do_nothing(client: redis.Redis, record: str, load: Load) -> None:
    pass


@pytest.mark.parametrize(
    ("tamper", "seen"),
    [
        (do_nothing, ()),
        (remove_one, ("lost",)),
        (add_three, ("twice",)),
        (delete_record, ("lost", "missing")),
        (change_marker, ("crossed",)),
        (unindex, ("unindexed",)),
        (revive, ("revived",)),
    ],
)
async def test_damage_done_past_the_load_is_counted(server: Server, tamper: Tamper, seen: tuple[str, ...]):
    async with load_on(server.url, timeout=5.0) as load:
        await until(lambda: load.ledger.invalid_ids)
    account = load.ledger.accounts[0]
    with server.client() as client:
        tamper(client, keys.session_keys("faults", account.session_id).record, load)
    counts = await count(load, server.url, 0.0)
    names = ("lost", "missing", "twice", "revived", "crossed", "unindexed", "late", "other")
    assert tuple(name for name in names if getattr(counts, name)) == seen
    assert bool(broken_promises(counts, keeps_writes=True, keeps_lifecycle=True, errors=frozenset())) == bool(seen)
    assert account.base == account.number * STRIDE


def test_an_error_that_is_not_allowed_breaks_a_promise():
    counts = Counts(unknown=2)
    assert broken_promises(counts, keeps_writes=True, keeps_lifecycle=True, errors=frozenset()) == ["unknown: 2"]
    assert not broken_promises(counts, keeps_writes=True, keeps_lifecycle=True, errors=frozenset({"unknown"}))


def test_a_missing_session_has_lost_all_its_writes():
    assert Account("s", 1, added=3, noted=2, hours=1).lost(None) == 7
