"""The doctor finds corrupt, orphaned, and undecryptable records. It names references, never ids or users."""

from __future__ import annotations

import asyncio
import re
from typing import Any, NamedTuple

import pytest

from chuk_sessions import SessionManager, cli, session_hash
from chuk_sessions.core import ids, keys
from chuk_sessions.doctor import Level, Progress, examine
from chuk_sessions.doctor.layout import TYPES, parse
from chuk_sessions.encryption import Encryption, generate_key
from tests.doctor.tools import finding, findings, manager_on
from tests.harness.servers import Server
from tests.project.test_docs import table

USER = "alice"


class Planted(NamedTuple):
    """A server with sessions of one user, among them one to damage."""

    client: Any
    session_id: str
    keys: keys.SessionKeys


@pytest.fixture
async def planted(patient: Server):
    async with manager_on(patient) as manager:
        ids_ = [await manager.allocate_session(user_id=USER, custom_metadata={"number": n}) for n in range(5)]
    with patient.client() as client:
        yield Planted(client, ids_[2], keys.session_keys("web", ids_[2]))


async def damage_record(planted: Planted):
    planted.client.hset(planted.keys.record, "m:number", "{not JSON")


async def lose_a_field(planted: Planted):
    planted.client.hdel(planted.keys.record, "v")


async def break_a_pointer(planted: Planted):
    planted.client.delete(planted.keys.record)
    planted.client.hset(planted.keys.record, mapping={"r": "nonsense", "d": 9**14})
    planted.client.pexpire(planted.keys.record, 100_000)
    planted.client.zrem(planted.keys.index_keys.deadlines, planted.keys.handle)
    planted.client.zrem(planted.keys.index_keys.users, planted.keys.handle)


async def change_the_type(planted: Planted):
    planted.client.set(planted.keys.record, "text")


async def change_the_type_of_an_index(planted: Planted):
    planted.client.set(keys.index("web", 3).users, "text")


async def add_a_strange_entry(planted: Planted):
    planted.client.zadd(planted.keys.index_keys.deadlines, {"not a handle": 9e14})


async def add_a_strange_key(planted: Planted):
    planted.client.set("chuk1:other", "text")


async def delete_the_record(planted: Planted):
    planted.client.delete(planted.keys.record)


async def leave_the_index(planted: Planted):
    planted.client.zrem(planted.keys.index_keys.deadlines, planted.keys.handle)


async def leave_the_index_of_users(planted: Planted):
    planted.client.zrem(planted.keys.index_keys.users, planted.keys.handle)


async def enter_the_index_of_another_user(planted: Planted):
    planted.client.zadd(planted.keys.index_keys.users, {planted.keys.handle: ids.user_hash("bob")})


async def forget_a_note(planted: Planted):
    """Lose the note that leads to a session under an id of the application, as a failover can."""
    home = ids.home_bucket("web", USER)
    session_id = next(name for name in map(str, range(99)) if keys.session_keys("web", name).index_keys.bucket != home)
    async with manager_on(f"redis://127.0.0.1:{planted.client.connection_pool.connection_kwargs['port']}") as manager:
        await manager.allocate_session(session_id, USER)
    index = keys.index("web", home)
    planted.client.delete(index.notes(ids.user_hash(USER)))
    planted.client.delete(index.noted)


async def leave_a_user_entry(planted: Planted):
    planted.client.zadd(planted.keys.index_keys.users, {b"A" * 22: 7})


async def hide_the_sandbox(planted: Planted):
    planted.client.zrem(planted.keys.index_keys.sandboxes, "web")


async def lose_the_ttl(planted: Planted):
    planted.client.persist(planted.keys.record)


DAMAGE = {
    damage_record: ("corrupt", Level.PROBLEM, "raises CorruptRecordError", "revoke --session"),
    lose_a_field: ("corrupt", Level.PROBLEM, "lack a required field", "revoke --session"),
    break_a_pointer: ("corrupt", Level.PROBLEM, "lack a required field", "revoke --session"),
    change_the_type: ("corrupt", Level.PROBLEM, "a type that this library does not write", "revoke --session"),
    change_the_type_of_an_index: ("corrupt", Level.PROBLEM, "have another type", "their users have to log in again"),
    add_a_strange_entry: ("corrupt", Level.WARNING, "do not name a session", "`ZREM`"),
    add_a_strange_key: ("corrupt", Level.WARNING, "unknown to this version", "another program uses the prefix"),
    delete_the_record: ("orphans", Level.WARNING, "have no record", "see the check `eviction`"),
    leave_the_index: ("orphans", Level.PROBLEM, "no list, count, or revocation", "revoke --session"),
    leave_the_index_of_users: ("orphans", Level.PROBLEM, "leaves them alive", "revoke --session"),
    enter_the_index_of_another_user: ("orphans", Level.PROBLEM, "leaves them alive", "reencrypt"),
    forget_a_note: ("orphans", Level.PROBLEM, "no note leads to them", "SESSION_REDIS_WAIT_REPLICAS=1"),
    leave_a_user_entry: ("orphans", Level.WARNING, "no sweep removes them", "`ZREM INDEX ENTRY`"),
    hide_the_sandbox: ("orphans", Level.WARNING, "unknown to a sweep", "sweep"),
    lose_the_ttl: ("orphans", Level.WARNING, "have no TTL", "`PEXPIRE`"),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
async def test_damage_is_found_with_its_remedy(patient: Server, planted: Planted, damage):
    await damage(planted)
    check, level, found, advice = DAMAGE[damage]
    before = {key: planted.client.dump(key) for key in planted.client.scan_iter()}
    seen = [each for each in await findings(patient.url) if each.check not in ("scripts", "sweep")]
    assert [(each.check, each.level) for each in seen] == [(check, level)]
    assert found in seen[0].found
    assert advice in seen[0].advice
    assert " 1 found: " in seen[0].found
    assert before == {key: planted.client.dump(key) for key in planted.client.scan_iter()}


async def test_all_damage_is_found_in_one_walk(patient: Server):
    """Each kind of damage is in a session of its own."""
    async with manager_on(patient) as manager:
        ids_ = [await manager.allocate_session(user_id=f"{USER}{n}", custom_metadata={"number": n}) for n in range(20)]
    kinds = dict.fromkeys(found for _, _, found, _ in DAMAGE.values())
    with patient.client() as client:
        for session_id, damage in zip(ids_, DAMAGE, strict=False):
            await damage(Planted(client, session_id, keys.session_keys("web", session_id)))
        seen = [each for each in await findings(patient.url, sample=None) if each.check not in ("scripts", "sweep")]
    for found in kinds:
        assert any(found in each.found for each in seen), found
    assert all("Examined: all " in each.found for each in seen)


async def test_findings_contain_references_and_neither_ids_nor_users(patient: Server, planted: Planted):
    await damage_record(planted)
    seen = await finding(patient.url, "corrupt")
    assert session_hash(planted.session_id) in seen.found
    text = str([each.to_dict() for each in await examine(patient.url)])
    assert planted.session_id not in text
    assert USER not in text


async def test_the_remedy_that_most_findings_name_works(patient: Server):
    damages = [damage_record, change_the_type, leave_the_index, enter_the_index_of_another_user, lose_the_ttl]
    async with manager_on(patient) as manager:
        ids_ = [await manager.allocate_session(user_id=USER, custom_metadata={"number": 1}) for _ in damages]
    with patient.client() as client:
        for session_id, damage in zip(ids_, damages, strict=True):
            await damage(Planted(client, session_id, keys.session_keys("web", session_id)))
    references = set()
    for each in await findings(patient.url):
        assert "revoke" in each.advice
        references |= set(re.findall(r"\b[0-9a-f]{2}[\w-]{22}(?=[,.])", each.found.partition(" found: ")[2]))
    assert references == {session_hash(session_id) for session_id in ids_}
    words = ["--url", patient.url, "--sandbox", "web", "revoke", "--yes", "--session"]
    for reference in references:
        assert await asyncio.to_thread(cli.main, [*words, reference]) == 0
    assert await findings(patient.url) == []


@pytest.mark.parametrize("damage", [delete_the_record, leave_a_user_entry])
async def test_the_remedy_for_entries_without_a_session_works(patient: Server, planted: Planted, damage):
    await damage(planted)
    [found] = await findings(patient.url)
    [(entry, index)] = re.findall(r"1 found: ([\w-]{22}) in (\S+)\. ", found.found)
    assert "`ZREM INDEX ENTRY`" in found.advice
    for beside in ("users", "deadlines"):
        planted.client.zrem(f"{index.rpartition('/')[0]}/{beside}", entry)
    assert await findings(patient.url) == []


async def test_only_the_sandbox_that_is_named_is_examined(patient: Server, planted: Planted):
    await damage_record(planted)
    assert await findings(patient.url, sandbox_id="other") == []
    assert await findings(patient.url, sandbox_id="we") == []
    async with manager_on(patient, "other") as manager:
        assert await findings(manager) == []
    async with manager_on(patient, "web") as manager:
        assert [each.check for each in await findings(manager)] == ["corrupt"]


def encryption(**keys_: bytes) -> Encryption:
    return Encryption({"index": b"i" * 32, **keys_}, primary=next(iter(keys_)))


async def test_records_under_keys_that_are_missing_are_found(patient: Server, monkeypatch):
    old, new = generate_key(), generate_key()
    async with manager_on(patient, encryption=encryption(old=old)) as manager:
        for number in range(4):
            await manager.allocate_session(user_id=USER, custom_metadata={"number": number})
        assert await findings(manager) == []
    assert await findings(patient.url, encryption=encryption(new=new, old=old)) == []
    for given in (None, encryption(new=new)):
        seen = await finding(patient.url, "undecryptable", encryption=given)
        assert seen.level is Level.PROBLEM
        assert " 4 found: " in seen.found
        assert "SESSION_ENCRYPTION_KEYS" in seen.advice
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", f"old:{old.hex()}")
    with pytest.raises(ValueError, match="old"):
        await examine(patient.url)


async def test_a_sample_is_limited_and_all_keys_are_walked_on_request(patient: Server):
    async with manager_on(patient) as manager:
        for number in range(300):
            await manager.allocate_session(user_id=f"user{number}")
    with patient.client() as client:
        client.mset({f"foreign:{number}": "x" for number in range(500)})
        total = client.dbsize()
    progress: list[Progress] = []
    [seen] = [each for each in await examine(patient.url, sample=50) if each.check == "corrupt"]
    assert int(re.findall(r"sample of ([\d,]+) records", seen.found)[0]) <= 50
    found = await examine(patient.url, sample=None, on_progress=progress.append, writes=False)
    [seen] = [each for each in found if each.check == "corrupt"]
    assert "none among all 300 records and 600 index entries" in seen.found
    assert progress[-1].total == total
    assert [each.done for each in progress] == sorted(each.done for each in progress)
    assert progress[-1].done >= total - 200


async def test_damage_in_the_emulator_is_found(monkeypatch):
    monkeypatch.setenv("SESSION_PROVIDER", "memory")
    async with SessionManager("damaged") as manager:
        session_id = await manager.allocate_session(user_id=USER)
        target = keys.session_keys("damaged", session_id)
        space = manager.session_factory.backend._space
        space.hdel(target.record, [b"v"])
        assert [each.check for each in await findings(manager)] == ["store", "corrupt"]
        space.zrem(target.index_keys.deadlines, target.handle)
        assert [each.check for each in await findings(manager)] == ["store", "corrupt", "orphans"]
        await manager.revoke_session(session_hash(session_id))


def test_every_key_of_the_layout_is_known():
    for row in table("docs/operations.md", "Keys"):
        key = row[0].strip("`").replace("{T}", f"{{{keys.tag(7)}}}").replace("{Q}", f"{{{keys.tag(0)}}}")
        name = parse(key.replace("HANDLE", "A" * 22).replace("USER", "7").encode())
        assert name is not None, key
        assert {"hash": "hash", "sorted set": "zset", "stream": "stream"}[row[1]] == TYPES[name.kind]
        assert name.sandbox_id == ("SANDBOX" if "SANDBOX" in key else "")
    assert parse(b"chuk1:{zz}/web/s/x") is None
    assert parse(b"chuk2:{4L}/sandboxes") is None


async def test_a_long_key_of_another_program_is_cut(patient: Server, planted: Planted):
    planted.client.set("chuk1:" + "x" * 1_000_000, "text")
    seen = await finding(patient.url, "corrupt")
    assert len(seen.found) < 1000


async def test_sessions_that_change_meanwhile_are_no_findings(patient: Server):
    """Creations, rotations, logins, ids of the application, revocations, touches, and expiries race with the doctor."""
    stop = asyncio.Event()

    async def change(manager: SessionManager, number: int):
        user_id = f"user{number}"
        while not stop.is_set():
            session_id = await manager.allocate_session(user_id=None if number % 2 else user_id)
            await manager.allocate_session(f"chosen-{number}", user_id, mode="replace")
            session_id = await manager.rotate_session(session_id, user_id=user_id) or session_id
            session_id = await manager.rotate_session(session_id, grace_seconds=1) or session_id
            await manager.validate_session(session_id)
            await manager.increment_session_counter(session_id, "requests", idempotency_key="once")
            await manager.revoke_user_sessions(user_id)

    async def recreate(manager: SessionManager, session_id: str):
        """Let each look at an id meet another session."""
        while not stop.is_set():
            await manager.allocate_session(session_id, session_id, mode="replace")
            await manager.delete_session(session_id)

    async def expire(manager: SessionManager):
        while not stop.is_set():
            await manager.allocate_session(user_id="short", ttl_hours=0.1 / 3600)
            await manager.cleanup_expired_sessions()

    async with (
        manager_on(patient, events=True, idle_timeout_seconds=600) as manager,
        manager_on(patient, "short", retention_seconds=1) as short,
    ):
        churning = [asyncio.create_task(change(manager, number)) for number in range(6)]
        churning += [asyncio.create_task(recreate(manager, f"again-{number}")) for number in range(6)]
        churning.append(asyncio.create_task(expire(short)))
        try:
            for _ in range(4):
                found = await findings(patient.url, sample=None)
                assert found == []
        finally:
            stop.set()
            await asyncio.gather(*churning)
