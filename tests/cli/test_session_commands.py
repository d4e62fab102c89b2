"""list, show, count, revoke, and sweep, on the emulator and on a server."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import session_hash
from chuk_sessions.cli.exits import ExitCode
from chuk_sessions.core.keys import session_keys
from tests.cli.conftest import Store

FIELDS = {"sandbox", "reference", "user", "created_at", "last_accessed", "expires_at", "version", "keys"}


def test_list_has_references_and_keys_of_metadata(store):
    created = store.create("alice", "bob", None)
    rows = store.run("list").rows
    assert {row["reference"] for row in rows} == set(map(session_hash, created))
    assert {row["user"] for row in rows} == {"alice", "bob", None}
    assert all(set(row) == FIELDS and row["keys"] == ["color"] for row in rows)
    table = store.run_plain("list").out
    assert table.splitlines()[0].split() == ["reference", "user", "created", "at", "expires", "at", "keys"]
    assert all(session_hash(one) in table and one not in table for one in created)
    assert "red" not in table


def test_list_of_a_user_is_in_order_and_limited(store):
    created = store.create("alice", "bob", "alice", "alice")
    ran = store.run("list", "--user", "alice", "--limit", "2")
    assert [row["user"] for row in ran.rows] == ["alice", "alice"]
    assert "only 2 sessions are listed" in ran.err
    ran = store.run("list", "--user", "alice", "--limit", "3")
    assert {row["reference"] for row in ran.rows} == {session_hash(created[index]) for index in (0, 2, 3)}
    assert ran.err == ""
    assert len(store.run("list", "--limit", "2").rows) == 2
    assert store.run_plain("list", "--user", "nobody").out == ""


def test_list_goes_on_after_a_record_that_cannot_be_read(server, capsys):
    store = Store(server.url, capsys)
    bad, good = store.create("alice", "bob")
    with server.client() as client:
        client.hset(session_keys("cli", bad).record, "c", "not a time")
    ran = store.run("list", code=ExitCode.FINDINGS)
    assert "1 of these sessions cannot be read" in ran.err
    by_reference = {row["reference"]: row for row in ran.rows}
    assert by_reference[session_hash(good)]["user"] == "bob"
    assert "unreadable" in by_reference[session_hash(bad)]
    assert "unreadable" in store.run("show", session_hash(bad), code=ExitCode.FINDINGS).rows[0]
    ran = store.run("revoke", "--user", "alice")
    assert (ran.rows, "1 of the sessions cannot be read" in ran.err) == ([], True)
    assert store.run("revoke", "--session", session_hash(bad), "--yes").rows[0]["revoked"] == 1


def test_show_takes_references_and_ids_and_prints_no_id(store):
    (created,) = store.create("alice")
    for name in (session_hash(created), created):
        ran = store.run("show", name)
        assert ran.rows[0]["reference"] == session_hash(created)
        assert "metadata" not in ran.rows[0]
        assert created not in ran.out + ran.err
    assert store.run("show", created, "--metadata").rows[0]["metadata"] == {"color": "red"}
    assert "alice" in store.run_plain("show", created).out


def test_show_finds_the_session_that_replaced_another(store):
    (old,) = store.create("alice")
    new = store.with_manager(lambda manager: manager.rotate_session(old, grace_seconds=60))
    assert store.run("show", old).rows[0]["reference"] == session_hash(new)


@pytest.mark.parametrize("words", [("show",), ("revoke", "--yes", "--session")])
def test_an_unknown_session_is_a_finding_and_is_not_echoed(store, words):
    ran = store.run(*words, "sess-1700000000-secret", code=ExitCode.FINDINGS)
    assert "no such session" in ran.err
    assert "secret" not in ran.out + ran.err


def test_count(store):
    store.create("alice", "bob", "alice")
    assert store.run("count").rows == [{"sandbox": "cli", "user": None, "sessions": 3}]
    assert store.run("count", "--user", "alice").rows[0]["sessions"] == 2
    assert store.run_plain("count").out == "3\n"


@pytest.mark.parametrize("scope", ["session", "user", "all"])
def test_revoke_changes_nothing_without_yes(store, scope):
    created = store.create("alice", "bob", "alice")
    words, expected = {
        "session": (("--session", created[0]), 1),
        "user": (("--user", "alice"), 2),
        "all": (("--all",), 3),
    }[scope]
    dry = store.run("revoke", *words)
    assert len(dry.rows) == expected
    assert {row["reference"] for row in dry.rows} <= set(map(session_hash, created))
    assert f"dry run: {expected} session{'s' if expected > 1 else ''} would be revoked" in dry.err
    assert store.run("count").rows[0]["sessions"] == 3
    done = store.run("revoke", *words, "--yes")
    assert done.rows[0]["revoked"] == expected
    assert created[0] not in dry.out + dry.err + done.out + done.err
    assert store.run("count").rows[0]["sessions"] == 3 - expected


def test_a_dry_run_shows_the_first_sessions_in_a_table_and_all_as_json(store):
    store.create(*["alice"] * 70)
    assert len(store.run("revoke", "--all").rows) == 70
    ran = store.run_plain("revoke", "--all")
    assert len(ran.out.splitlines()) == 21
    assert "and 50 more" in ran.err
    assert store.run_plain("revoke", "--all", "--yes").out == "70 sessions were revoked\n"


@pytest.mark.parametrize("words", [(), ("--all", "--user", "alice"), ("--session", "x", "--all")])
def test_revoke_needs_exactly_one_scope(store, words):
    assert "give one of --session, --user, and --all" in store.run("revoke", *words, code=ExitCode.USAGE).err


@pytest.mark.parametrize("everything", [False, True])
def test_sweep_removes_expired_sessions(store, everything):
    async def expire(manager):
        for _ in range(3):
            await manager.allocate_session(user_id="alice", ttl_hours=0.01 / 3600)
        await asyncio.sleep(0.05)

    store.with_manager(expire)
    store.with_manager(expire, sandbox="other")
    ran = store.run("sweep", *(["--all-sandboxes"] if everything else []))
    assert ran.rows[0]["sandbox"] == (None if everything else "cli")
    # The emulator also sweeps by itself.
    assert ran.rows[0]["removed"] in ((6 if everything else 3), 0)
    assert store.run_plain("sweep").out == "0 expired sessions were removed\n"
