"""No session id, user id, metadata or password in a log or message.

OWASP Session Management Cheat Sheet, "Logging Sessions Life Cycle": no session id is logged as it is.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from traceback import format_exception

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.providers import redis
from tests.conftest import bundled
from tests.harness.servers import free_port, running

PASSWORD = "s3cr3t/pa55"
QUOTED = "s3cr3t%2Fpa55"
USER, VALUE = "alice-the-user", "a-value-of-metadata"
MADE_UP = "sess-alice-1700000000-07" + "0123456789abcdef" * 2

CALLS = {
    "allocate_session": lambda m, sid: m.allocate_session(sid, user_id=USER, custom_metadata={"key": VALUE}),
    "allocate_session for another": lambda m, sid: m.allocate_session(sid, user_id="bob"),
    "allocate_session with too much": lambda m, sid: m.allocate_session(sid, custom_metadata={"key": VALUE * 10**5}),
    "allocate_session with nonsense": lambda m, sid: m.allocate_session(sid, custom_metadata={"key": {VALUE}}),
    "allocate_session with an odd id": lambda m, sid: m.allocate_session(f"{sid}/*"),
    "validate_session": lambda m, sid: m.validate_session(sid),
    "validate_session with an odd id": lambda m, sid: m.validate_session(f"{sid}\n"),
    "get_session_info": lambda m, sid: m.get_session_info(sid),
    "get_session_metadata": lambda m, sid: m.get_session_metadata(sid),
    "update_session_metadata": lambda m, sid: m.update_session_metadata(sid, {"key": VALUE}),
    "update_session_metadata of a version": lambda m, sid: m.update_session_metadata(sid, {}, expected_version=99),
    "increment_session_counter": lambda m, sid: m.increment_session_counter(sid, "key"),
    "extend_session_ttl": lambda m, sid: m.extend_session_ttl(sid, 1),
    "extend_session_ttl for too long": lambda m, sid: m.extend_session_ttl(sid, 10**9),
    "list_sessions": lambda m, sid: m.list_sessions(),
    "list_user_sessions": lambda m, sid: m.list_user_sessions(USER),
    "iter_sessions": lambda m, sid: gather(m.iter_sessions),
    "iter_user_sessions": lambda m, sid: gather(m.iter_user_sessions, USER),
    "count_sessions": lambda m, sid: m.count_sessions(USER),
    "rotate_session": lambda m, sid: m.rotate_session(sid, grace_seconds=60),
    "rotate_session again": lambda m, sid: m.rotate_session(sid),
    "rotate_session at login": lambda m, sid: m.rotate_session(sid, user_id=USER),
    "revoke_user_sessions": lambda m, sid: m.revoke_user_sessions(USER, except_session_id=sid),
    "delete_session": lambda m, sid: m.delete_session(sid),
    "cleanup_expired_sessions": lambda m, sid: m.cleanup_expired_sessions(all_sandboxes=True),
    "get_canonical_prefix": lambda m, sid: inline(m.get_canonical_prefix, f"{sid}/.."),
    "generate_artifact_key": lambda m, sid: inline(m.generate_artifact_key, sid, "../x"),
    "parse_grid_key": lambda m, sid: inline(m.parse_grid_key, f"grid/../{sid}/x"),
    "get_session_prefix_pattern": lambda m, sid: inline(m.get_session_prefix_pattern),
    "ping": lambda m, sid: m.ping(),
    "get_cache_stats": lambda m, sid: inline(m.get_cache_stats),
    "aclose": lambda m, sid: m.aclose(),
    "validate_session when closed": lambda m, sid: m.validate_session(sid),
}


async def inline(method, *args):
    return method(*args)


async def gather(method, *args):
    return [found async for found in method(*args)]


def test_every_method_is_tried():
    tried = {name.partition(" ")[0] for name in CALLS}
    methods = {name for name, found in vars(SessionManager).items() if not name.startswith("_") and callable(found)}
    assert tried == methods


@contextmanager
def everything_logged(caplog):
    """All loggers at DEBUG, warnings among them."""
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)


async def messages(manager, session_id):
    """What every method raises, with the errors behind it."""
    found = ""
    for call in CALLS.values():
        try:
            await call(manager, session_id)
        except Exception as error:
            found += "".join(line for line in format_exception(error) if not line.startswith("  "))
            found += repr(error)
    return found


def check_silence(text, *secrets):
    told = [secret for secret in (*secrets, USER, VALUE) if secret in text]
    assert not told, text


async def test_nothing_is_told_of_sessions(world, caplog):
    manager = world.manager()
    session_id = await manager.allocate_session(user_id=USER, custom_metadata={"key": VALUE})
    with everything_logged(caplog):
        raised = await messages(manager, session_id)
    assert raised.count("Error") > 5
    check_silence(raised + caplog.text, session_id, session_id[-32:])


@pytest.mark.parametrize("trouble", ["nobody listens", "wrong password", "no such database"])
async def test_nothing_is_told_when_the_store_fails(trouble, caplog):
    with running(bundled(), password=PASSWORD if trouble != "wrong password" else "another") as server:
        port = free_port() if trouble == "nobody listens" else server.port
        database = 99 if trouble == "no such database" else 0
        factory = redis.factory(f"redis://:{QUOTED}@127.0.0.1:{port}/{database}", call_timeout=0.05, retries=1)
        with everything_logged(caplog):
            raised = await messages(SessionManager("test", factory), MADE_UP)
            await factory.backend.aclose()
    assert raised.count("Error") > 20
    check_silence(
        raised + caplog.text + repr(factory) + str(vars(factory.backend)), MADE_UP, MADE_UP[-32:], PASSWORD, QUOTED
    )
