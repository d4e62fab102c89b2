"""tail and top, on the emulator and on a server."""

from __future__ import annotations

import json
import threading

from chuk_sessions import session_hash
from chuk_sessions.cli.exits import ExitCode
from tests.cli.conftest import Store


def delete(store, *session_ids):
    async def work(manager):
        for session_id in session_ids:
            assert await manager.delete_session(session_id)

    store.with_manager(work, events=True)


def readers_of(store):
    return [row["reader"] for row in store.run("readers", "list").rows]


def test_tail_resumes_after_the_last_event_that_it_printed(store):
    created = store.create("alice", "bob", events=True)
    delete(store, *created)
    parts = [
        store.run("tail", "--reader", "ops", "--oldest", "--limit", "1"),
        store.run("tail", "--reader", "ops", "--limit", "3"),
    ]
    rows = [row for part in parts for row in part.rows]
    assert len({row["id"] for row in rows}) == 4
    for session_id, user in zip(created, ("alice", "bob"), strict=True):
        own = [row for row in rows if row["reference"] == session_hash(session_id)]
        assert [(row["type"], row["reason"]) for row in own] == [
            ("session.created", None),
            ("session.ended", "deleted"),
        ]
        assert {row["user"] for row in own} == {user}
        assert not any(session_id in part.out + part.err for part in parts)
    assert readers_of(store) == ["ops"]


def test_tail_without_a_name_leaves_no_reader(store):
    (created,) = store.create("alice", events=True)
    line = store.run_plain("tail", "--oldest", "--limit", "1").out
    assert line.split()[1:] == ["created", session_hash(created), "user", "alice", "sandbox", "cli"]
    assert readers_of(store) == []


def test_tail_of_all_sandboxes(store):
    store.create("alice", events=True)
    store.with_manager(lambda manager: manager.allocate_session(), sandbox="other", events=True)
    rows = store.run("tail", "--oldest", "--all-sandboxes", "--limit", "2").rows
    assert {row["sandbox"] for row in rows} == {"cli", "other"}


def test_top_has_live_sessions_rates_and_the_newest_sessions(server, capsys):
    store = Store(server.url, capsys)
    created = store.create("alice", "bob", events=True)
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            delete(store, *store.create("carol", events=True))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        ran = store.run("top", "--interval", "0.5", "--count", "3")
    finally:
        stop.set()
        thread.join()
    assert len(ran.rows) == 3
    last = ran.rows[-1]
    assert last["live_sessions"] in (2, 3)
    assert {"created", "ended (deleted)"} <= set(last["events_per_second"])
    assert {row["user"] for row in last["newest"]} == {"carol"}
    assert last["server"].startswith("valkey")
    assert not any(session_id in ran.out + ran.err for session_id in created)
    assert readers_of(store) == []


def test_top_prints_tables_off_a_terminal(store):
    store.create("alice")
    out = store.run_plain("top", "--interval", "0.1", "--count", "1").out
    assert "live sessions" in out
    assert json.dumps(1) in out


def test_readers_are_listed_with_their_lag_and_removed(store):
    store.create("alice", "bob", events=True)
    store.run("tail", "--reader", "ops", "--oldest", "--limit", "1")
    (row,) = store.run("readers", "list").rows
    assert (row["reader"], row["sandbox"], row["lag_events"], row["processes"]) == ("ops", "cli", 1, 0)
    assert "no such reader" in store.run("readers", "remove", "ops", "--all-sandboxes", code=ExitCode.FINDINGS).err
    assert [one["reader"] for one in store.run("readers", "remove", "ops").rows] == ["ops"]
    assert readers_of(store) == ["ops"]
    assert store.run("readers", "remove", "ops", "--yes").rows[0]["removed"] is True
    assert readers_of(store) == []


def test_a_user_id_cannot_forge_a_line(store):
    store.create("alice\n2026-01-01T00:00:00.000Z  ended", events=True)
    assert len(store.run_plain("tail", "--oldest", "--limit", "1").out.splitlines()) == 1
    assert len(store.run_plain("list").out.splitlines()) == 2
