"""The judge sees what it is there to see: a store that is tampered with behind the load's back."""

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

from .judge import broken, count

Tamper = Callable[[redis.Redis, str, Load], None]


def take_away(client: redis.Redis, record: str, load: Load) -> None:
    client.hincrby(record, "m:n", -1)


def put_on(client: redis.Redis, record: str, load: Load) -> None:
    client.hincrby(record, "m:n", 3)


def take_all(client: redis.Redis, record: str, load: Load) -> None:
    client.delete(record)


def exchange(client: redis.Redis, record: str, load: Load) -> None:
    client.hset(record, "m:marker", '"session 999"')


def unindex(client: redis.Redis, record: str, load: Load) -> None:
    client.delete(record.partition("/s/")[0] + "/deadlines")


def revive(client: redis.Redis, record: str, load: Load) -> None:
    client.copy(record, keys.session_keys("faults", load.ledger.dead[0]).record)


def nothing(client: redis.Redis, record: str, load: Load) -> None:
    pass


@pytest.mark.parametrize(
    ("tamper", "seen"),
    [
        (nothing, ()),
        (take_away, ("lost",)),
        (put_on, ("twice",)),
        (take_all, ("lost", "missing")),
        (exchange, ("crossed",)),
        (unindex, ("unindexed",)),
        (revive, ("revived",)),
    ],
)
async def test_what_was_done_behind_the_loads_back_is_counted(server: Server, tamper: Tamper, seen: tuple[str, ...]):
    async with load_on(server.url, timeout=5.0) as load:
        await until(lambda: load.ledger.dead)
    account = load.ledger.accounts[0]
    with server.client() as client:
        tamper(client, keys.session_keys("faults", account.session_id).record, load)
    counts = await count(load, server.url, 0.0)
    names = ("lost", "missing", "twice", "revived", "crossed", "unindexed", "late", "other")
    assert tuple(name for name in names if getattr(counts, name)) == seen
    assert bool(broken(counts, keeps=True, ends=True, errors=frozenset())) == bool(seen)
    assert account.base == account.number * STRIDE


def test_errors_that_are_not_allowed_break_a_promise():
    counts = Counts(unknown=2)
    assert broken(counts, keeps=True, ends=True, errors=frozenset()) == ["unknown: 2"]
    assert not broken(counts, keeps=True, ends=True, errors=frozenset({"unknown"}))


def test_a_session_that_nothing_is_left_of_has_lost_all_its_writes():
    assert Account("s", 1, added=3, noted=2, hours=1).lost(None) == 7
