"""Logs and error messages contain no session id, user id, metadata, or password.

OWASP Session Management Cheat Sheet, "Logging Sessions Life Cycle": no session id is logged as it is.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from traceback import format_exception

import pytest

from chuk_sessions import SessionManager, session_hash
from chuk_sessions.providers import redis
from tests.conftest import bundled
from tests.harness.federated import GIVING
from tests.harness.ports import free_port
from tests.harness.servers import running

PASSWORD = "s3cr3t/pa55"
QUOTED = "s3cr3t%2Fpa55"
USER, VALUE = "alice-the-user", "a-value-of-metadata"
UNKNOWN_ID = "sess-alice-1700000000-07" + "0123456789abcdef" * 2

CALLS = {
    "allocate_session": lambda m, sid: m.allocate_session(sid, user_id=USER, custom_metadata={"key": VALUE}),
    "allocate_session for another": lambda m, sid: m.allocate_session(sid, user_id="bob"),
    "allocate_session with too much": lambda m, sid: m.allocate_session(sid, custom_metadata={"key": VALUE * 10**5}),
    "allocate_session with a set": lambda m, sid: m.allocate_session(sid, custom_metadata={"key": {VALUE}}),
    "allocate_session with an invalid id": lambda m, sid: m.allocate_session(f"{sid}/*"),
    "validate_session": lambda m, sid: m.validate_session(sid),
    "validate_session with an invalid id": lambda m, sid: m.validate_session(f"{sid}\n"),
    "get_session_info": lambda m, sid: m.get_session_info(sid),
    "get_session_metadata": lambda m, sid: m.get_session_metadata(sid),
    "update_session_metadata": lambda m, sid: m.update_session_metadata(sid, {"key": VALUE}),
    "update_session_metadata of a version": lambda m, sid: m.update_session_metadata(sid, {}, expected_version=99),
    "update_session_metadata of a value": lambda m, sid: m.update_session_metadata(
        sid, {}, expected={"key": VALUE * 2}
    ),
    "append_session_metadata": lambda m, sid: m.append_session_metadata(sid, "key", VALUE),
    "append_session_metadata to a full list": lambda m, sid: m.append_session_metadata(sid, "list", VALUE, max_bytes=9),
    "transform_session_metadata": lambda m, sid: m.transform_session_metadata(sid, "other", lambda _: VALUE),
    "transform_session_metadata to a set": lambda m, sid: m.transform_session_metadata(sid, "key", lambda old: {old}),
    "increment_session_counter": lambda m, sid: m.increment_session_counter(sid, "key"),
    "append_session_metadata to text": lambda m, sid: m.append_session_metadata(sid, "key", VALUE),
    "extend_session_ttl": lambda m, sid: m.extend_session_ttl(sid, 1),
    "extend_session_ttl for too long": lambda m, sid: m.extend_session_ttl(sid, 10**9),
    "list_sessions": lambda m, sid: m.list_sessions(),
    "list_user_sessions": lambda m, sid: m.list_user_sessions(USER),
    "get_listed_session": lambda m, sid: m.get_listed_session(session_hash(sid)),
    "get_listed_session with an id": lambda m, sid: m.get_listed_session(sid),
    "iter_sessions": lambda m, sid: gather(m.iter_sessions),
    "iter_user_sessions": lambda m, sid: gather(m.iter_user_sessions, USER),
    "count_sessions": lambda m, sid: m.count_sessions(USER),
    "load_session": lambda m, sid: m.load_session(sid),
    "cached_session": lambda m, sid: inline(m.cached_session, sid),
    "set_session_ttl": lambda m, sid: m.set_session_ttl(sid, 1),
    "rate_limit_session": lambda m, sid: m.rate_limit_session(sid, "api", 1, 60),
    "grant_session": lambda m, sid: m.grant_session(sid, to="other", path=f"grid/{sid}/{VALUE}"),
    "resolve_grant": lambda m, sid: m.resolve_grant(sid, VALUE),
    "check_grant": lambda m, sid: m.check_grant(sid),
    "list_grants": lambda m, sid: m.list_grants(sid),
    "revoke_grant": lambda m, sid: m.revoke_grant(f"{session_hash(sid)}{'A' * 16}"),
    "revoke_grants": lambda m, sid: m.revoke_grants(sid),
    "rotate_session": lambda m, sid: m.rotate_session(sid, grace_seconds=60),
    "rotate_session again": lambda m, sid: m.rotate_session(sid),
    "rotate_session at login": lambda m, sid: m.rotate_session(sid, user_id=USER),
    "revoke_user_sessions": lambda m, sid: m.revoke_user_sessions(USER, except_session_id=sid),
    "revoke_session": lambda m, sid: m.revoke_session(session_hash(sid), user_id=USER),
    "revoke_session with an id": lambda m, sid: m.revoke_session(sid),
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


def test_every_method_is_called():
    called = {name.partition(" ")[0] for name in CALLS}
    methods = {name for name in dir(SessionManager) if name[0] != "_" and callable(getattr(SessionManager, name))}
    assert called == methods


@contextmanager
def everything_logged(caplog):
    """Capture all loggers at DEBUG level, and warnings."""
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)


async def messages(manager, session_id):
    """Return the text of what every method raises, with the causes."""
    found = ""
    for call in CALLS.values():
        try:
            await call(manager, session_id)
        except Exception as error:
            found += "".join(line for line in format_exception(error) if not line.startswith("  "))
            found += repr(error)
    return found


def assert_reveals_nothing(text, *secrets):
    revealed = [secret for secret in (*secrets, USER, VALUE) if secret in text]
    assert not revealed, text


async def test_errors_and_logs_reveal_nothing_of_sessions(world, caplog):
    manager = world.manager(**GIVING)
    session_id = await manager.allocate_session(user_id=USER, custom_metadata={"key": VALUE})
    with everything_logged(caplog):
        raised = await messages(manager, session_id)
    assert raised.count("Error") > 5
    assert_reveals_nothing(raised + caplog.text, session_id, session_id[-32:])


@pytest.mark.parametrize("problem", ["no server", "wrong password", "no such database"])
async def test_errors_and_logs_reveal_nothing_if_the_store_fails(problem, caplog):
    with running(bundled(), password=PASSWORD if problem != "wrong password" else "another") as server:
        port = free_port() if problem == "no server" else server.port
        database = 99 if problem == "no such database" else 0
        factory = redis.factory(f"redis://:{QUOTED}@127.0.0.1:{port}/{database}", call_timeout=0.05, retries=1)
        with everything_logged(caplog):
            raised = await messages(SessionManager("test", factory), UNKNOWN_ID)
            await factory.backend.aclose()
    assert raised.count("Error") > 20
    assert_reveals_nothing(
        raised + caplog.text + repr(factory) + str(vars(factory.backend)),
        UNKNOWN_ID,
        UNKNOWN_ID[-32:],
        PASSWORD,
        QUOTED,
    )
