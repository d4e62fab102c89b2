"""The table of error replies: their meaning, and the action that follows each of them.

All of them mean that the server applied nothing: it refuses a script before it runs, or at its first write.

| reply | action | error if the action does not help |
|---|---|---|
| NOSCRIPT | retry as EVAL, which also loads the script | never seen |
| MOVED | topology: retry on the node that it names, and refresh the map | with Sentinel, not supported |
| ASK | topology: retry on the node that it names, after ASKING | with Sentinel, not supported |
| TRYAGAIN | topology: retry after a pause, while the slot migrates | unavailable |
| CLUSTERDOWN | topology: retry after a pause, until the slot has a primary | unavailable |
| READONLY | topology: retry after a pause, on the new primary, which may be this server | unavailable |
| MASTERDOWN | topology: as for READONLY | unavailable |
| LOADING | topology: retry after a pause, until the server has loaded its data | unavailable |
| BUSY | retry after a pause, until the script that blocks the server is done | unavailable |
| NOREPLICAS | retry after a pause: a new primary refuses writes until replicas have found it | unavailable |
| OOM | raise at once: a retry only adds load | store full |
| MISCONF | raise at once: an operator has to repair the server | unavailable |
| NOAUTH, WRONGPASS, NOPERM | raise at once: settings are wrong | unavailable; names the missing ACL rule |
| ERR, for NOPERM inside a script | as for NOPERM | as for NOPERM |
| ERR unknown command 'SENTINEL' | raise at once: the server is not a sentinel | unavailable |
| WRONGTYPE | raise at once | corrupt record |
| others | raise at once | provider error, with the server's text |
"""

from __future__ import annotations

import re
from enum import Enum

from ... import exceptions as errors
from .permissions import missing_permission


class Action(Enum):
    """The action that follows an error reply."""

    EVAL = "retry with the script's text"
    TOPOLOGY = "let the topology decide where and when to retry"
    WAIT = "retry after a pause"
    RAISE = "raise the error for the reply"


_OUT_OF_MEMORY = re.compile(r"(^|[\s:-])OOM\b")
_UNAVAILABLE, _UNSUPPORTED = errors.SessionUnavailableError, errors.NotSupportedError
_CODES: tuple[tuple[str, Action, type[errors.ProviderError], str], ...] = (
    ("LOADING", Action.TOPOLOGY, _UNAVAILABLE, "the server is still loading its data"),
    ("READONLY", Action.TOPOLOGY, _UNAVAILABLE, "the server is a replica and takes no writes"),
    ("MASTERDOWN", Action.TOPOLOGY, _UNAVAILABLE, "the server is a replica cut off from its primary"),
    ("CLUSTERDOWN", Action.TOPOLOGY, _UNAVAILABLE, "the cluster is down"),
    ("TRYAGAIN", Action.TOPOLOGY, _UNAVAILABLE, "the slot is migrating to another node"),
    ("MOVED", Action.TOPOLOGY, _UNSUPPORTED, "the server is unexpectedly part of a cluster"),
    ("ASK", Action.TOPOLOGY, _UNSUPPORTED, "the server is unexpectedly part of a cluster"),
    ("BUSY", Action.WAIT, _UNAVAILABLE, "a script blocks the server"),
    ("MISCONF", Action.RAISE, _UNAVAILABLE, "the server refuses writes because it failed to save its data"),
    ("NOREPLICAS", Action.WAIT, _UNAVAILABLE, "the server refuses writes because it has too few replicas"),
    ("NOAUTH", Action.RAISE, _UNAVAILABLE, "the server requires a password"),
    ("WRONGPASS", Action.RAISE, _UNAVAILABLE, "the server does not take this user and password"),
    ("NOPERM", Action.RAISE, _UNAVAILABLE, "this user may not run the scripts: check the server's ACL"),
    ("WRONGTYPE", Action.RAISE, errors.CorruptRecordError, "a session's key holds another type than a session"),
)
_TABLE = {code: (action, error, meaning) for code, action, error, meaning in _CODES}
_CODE = re.compile(rf"(?:^|[\s:-])({'|'.join(_TABLE)})\b")
_NO_SENTINEL = re.compile(r"ERR unknown command .?SENTINEL\b", re.I)
_NO_SENTINEL_MEANING = (
    "a server answered instead of a sentinel: a name after the host is the name of a primary that Sentinels monitor; "
    "a database is a number"
)


def action_for(message: str) -> Action:
    """Return the action for an error reply of this text."""
    if message.startswith("NOSCRIPT"):
        return Action.EVAL
    found = None if _OUT_OF_MEMORY.search(message) else _CODE.search(message)
    return _TABLE[found[1]][0] if found else Action.RAISE


def unwrapped(message: str) -> str:
    """Return the message from its code on. Before Redis 7, servers wrap an error inside a script in other text."""
    found = _CODE.search(message)
    return message[found.start(1) :] if found else message


def error_for(message: str, name: str, server: str = "") -> errors.ProviderError:
    """Return the error for an error reply.

    `message` is the reply's text, `name` the name of the call, and `server` the address of the server if it is known.
    """
    at = f" ({server})" if server else ""
    if _OUT_OF_MEMORY.search(message):
        return errors.StoreFullError(f"{name}: the server has reached its memory limit (maxmemory){at}")
    missing = missing_permission(message, name)
    if missing is not None:
        return errors.SessionUnavailableError(f"{name}: this user may not {missing}{at}")
    if _NO_SENTINEL.match(message):
        return errors.SessionUnavailableError(f"{name}: {_NO_SENTINEL_MEANING}{at}")
    found = _CODE.search(message)
    if found:
        _, error, meaning = _TABLE[found[1]]
        return error(f"{name}: {meaning}{at}")
    return errors.ProviderError(f"{name}: the server replied with an error{at}: {message[:200]}")
