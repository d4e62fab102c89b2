"""The table of error replies."""

from __future__ import annotations

import pytest

from chuk_sessions import exceptions as errors
from chuk_sessions.backends.redis.error_replies import Action, action_for, error_for, unwrapped

OLD = "ERR Error running script (call to f_0123): @user_script:7: @user_script: 7: -{} more of it"
TABLE = [
    ("MOVED 3999 127.0.0.1:6381", Action.TOPOLOGY, errors.NotSupportedError),
    ("ASK 3999 127.0.0.1:6381", Action.TOPOLOGY, errors.NotSupportedError),
    ("TRYAGAIN Multiple keys request during rehashing of slot", Action.TOPOLOGY, errors.SessionUnavailableError),
    ("CLUSTERDOWN Hash slot not served", Action.TOPOLOGY, errors.SessionUnavailableError),
    ("READONLY You can't write against a read only replica.", Action.TOPOLOGY, errors.SessionUnavailableError),
    ("MASTERDOWN Link with MASTER is down", Action.TOPOLOGY, errors.SessionUnavailableError),
    ("LOADING Redis is loading the dataset in memory", Action.TOPOLOGY, errors.SessionUnavailableError),
    ("BUSY Redis is busy running a script.", Action.WAIT, errors.SessionUnavailableError),
    ("OOM command not allowed when used memory > 'maxmemory'.", Action.RAISE, errors.StoreFullError),
    ("MISCONF Redis is configured to save RDB snapshots", Action.RAISE, errors.SessionUnavailableError),
    ("NOREPLICAS Not enough good replicas to write.", Action.WAIT, errors.SessionUnavailableError),
    ("NOAUTH Authentication required.", Action.RAISE, errors.SessionUnavailableError),
    ("WRONGPASS invalid username-password pair", Action.RAISE, errors.SessionUnavailableError),
    ("NOPERM this user has no permissions", Action.RAISE, errors.SessionUnavailableError),
    ("WRONGTYPE Operation against a key", Action.RAISE, errors.CorruptRecordError),
    ("ERR whatever", Action.RAISE, errors.ProviderError),
]


@pytest.mark.parametrize(("message", "action", "kind"), TABLE, ids=[row[0].split()[0] for row in TABLE])
def test_action_and_error_of_a_reply(message: str, action: Action, kind: type[Exception]):
    assert action_for(message) is action
    assert type(error_for(message, "validate")) is kind


@pytest.mark.parametrize("code", ["READONLY", "MASTERDOWN", "BUSY", "NOREPLICAS", "OOM", "MISCONF"])
def test_errors_that_old_servers_wrap_are_unwrapped(code: str):
    wrapped = OLD.format(code)
    plain = f"{code} more of it"
    assert action_for(wrapped) is action_for(plain)
    assert type(error_for(wrapped, "validate")) is type(error_for(plain, "validate"))
    if code != "OOM":
        assert unwrapped(wrapped) == plain


def test_a_forgotten_script_is_sent_as_text():
    assert action_for("NOSCRIPT No matching script. Please use EVAL.") is Action.EVAL
