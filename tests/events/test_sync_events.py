"""SyncSessionEvents: events for code without `await`."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from chuk_sessions import ManagerClosedError
from chuk_sessions.events import SyncSessionEvents
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager
from tests.harness.children import running_python


def manager_on(source):
    return SessionManager("test", source, events=True)


def test_delivers_events_and_acknowledges_them(source):
    with manager_on(source) as manager, SyncSessionEvents(source, reader="mailer") as events:
        session_id = manager.allocate_session(user_id="alice")
        manager.delete_session(session_id)
        created, ended = next(events), next(events)
        assert (created.type, created.user_id) == ("session.created", "alice")
        assert (ended.type, ended.reason) == ("session.ended", "deleted")
        assert events.acknowledge()
        assert events.lost == 0
    with manager_on(source) as manager, SyncSessionEvents(source, reader="mailer") as events:
        manager.allocate_session()
        assert next(events).user_id is None


def test_an_event_that_was_not_acknowledged_is_delivered_again(source):
    with manager_on(source) as manager:
        for _ in range(3):
            manager.allocate_session()
        with SyncSessionEvents(source, reader="mailer") as events:
            first = next(events)
        with SyncSessionEvents(source, reader="mailer") as events:
            assert len({next(events).id for _ in range(3)} | {first.id}) == 3


def test_refuses_to_iterate_before_its_context_was_entered(source):
    events = SyncSessionEvents(source, reader="mailer")
    with pytest.raises(RuntimeError, match="not entered"):
        next(iter(events))
    events.close()


def test_close_ends_the_wait_of_another_thread(source):
    events, ended = SyncSessionEvents(source, reader="mailer"), []

    def read():
        for _ in events:
            pass
        ended.append(True)

    with events:
        thread = threading.Thread(target=read)
        thread.start()
        while not events._events.is_waiting:
            time.sleep(0.001)
    thread.join(30)
    assert ended
    with pytest.raises((ManagerClosedError, StopIteration)):
        next(events)


async def test_refuses_to_block_an_event_loop(source):
    events = SyncSessionEvents(source, reader="mailer")
    with pytest.raises(RuntimeError, match="event loop"), events:
        pass
    await asyncio.to_thread(events.close)


INTERRUPTED = """
import signal, sys, threading
from chuk_sessions.events import SyncSessionEvents
with SyncSessionEvents(sys.argv[1], reader="mailer") as events:
    print("ready", flush=True)
    while True:
        try:
            for event in events:
                print("event", flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


def test_an_interrupt_ends_the_wait_and_loses_no_event(server):
    with manager_on(redis.factory(server.url)) as manager, running_python(INTERRUPTED, server.url) as child:
        child.wait_for("ready")
        for number in range(1, 4):
            manager.allocate_session()
            child.wait_for("event", number)
            child.interrupt()
            child.wait_for("interrupted", number)
