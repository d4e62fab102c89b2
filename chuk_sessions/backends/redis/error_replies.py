"""What the server's error replies mean, and what is done about each: the one table.

All of them mean that nothing was applied: a server refuses before it runs a script, or at the script's first write.

| reply | what is done | and when that does not help |
|---|---|---|
| NOSCRIPT | sent again as EVAL, which also loads the script | never seen |
| MOVED | topology: sent again to the node it names, and the map is read anew | on a single server, not supported |
| ASK | topology: sent again to the node it names, with ASKING before it | on a single server, not supported |
| TRYAGAIN | topology: after a pause, when the slot's migration has come further | unavailable |
| CLUSTERDOWN | topology: after a pause, when the slot has a primary again | unavailable |
| READONLY | topology: after a pause, on the new primary; a replica can also become one | unavailable |
| MASTERDOWN | topology: likewise | unavailable |
| LOADING | topology: after a pause, when the server has read its data | unavailable |
| BUSY | after a pause, when the script that holds the server up is over | unavailable |
| OOM | raised at once: more load does not help | store full |
| MISCONF, NOREPLICAS | raised at once: somebody has to see to the server | unavailable |
| NOAUTH, WRONGPASS, NOPERM | raised at once: settings are wrong | unavailable; the missing ACL rule is named |
| ERR, as NOPERM inside a script | likewise | likewise |
| ERR unknown command 'SENTINEL' | raised at once: no sentinel is there | unavailable |
| WRONGTYPE | raised at once | corrupt record |
| others | raised at once | provider error, with the server's text |
"""

from __future__ import annotations

import re
from enum import Enum

from ... import exceptions as errors
from .permissions import missing_permission


class Action(Enum):
    """What is done about an error reply."""

    EVAL = "send the script's text"
    TOPOLOGY = "ask the topology where to go and when"
    WAIT = "try again after a pause"
    RAISE = "raise the error that stands for it"


_OUT_OF_MEMORY = re.compile(r"(^|[\s:-])OOM\b")
_UNAVAILABLE, _UNSUPPORTED = errors.SessionUnavailableError, errors.NotSupportedError
_CODES: tuple[tuple[str, Action, type[errors.ProviderError], str], ...] = (
    ("LOADING", Action.TOPOLOGY, _UNAVAILABLE, "the server is still loading its data"),
    ("READONLY", Action.TOPOLOGY, _UNAVAILABLE, "the server is a replica and takes no writes"),
    ("MASTERDOWN", Action.TOPOLOGY, _UNAVAILABLE, "the server is a replica cut off from its primary"),
    ("CLUSTERDOWN", Action.TOPOLOGY, _UNAVAILABLE, "the cluster is down"),
    ("TRYAGAIN", Action.TOPOLOGY, _UNAVAILABLE, "the keys are on their way to another node"),
    ("MOVED", Action.TOPOLOGY, _UNSUPPORTED, "the server is part of a cluster, and was not expected to be"),
    ("ASK", Action.TOPOLOGY, _UNSUPPORTED, "the server is part of a cluster, and was not expected to be"),
    ("BUSY", Action.WAIT, _UNAVAILABLE, "the server is held up by a script"),
    ("MISCONF", Action.RAISE, _UNAVAILABLE, "the server refuses writes because it cannot save them"),
    ("NOREPLICAS", Action.RAISE, _UNAVAILABLE, "the server refuses writes because it has too few replicas"),
    ("NOAUTH", Action.RAISE, _UNAVAILABLE, "the server wants a password"),
    ("WRONGPASS", Action.RAISE, _UNAVAILABLE, "the server does not take this user and password"),
    ("NOPERM", Action.RAISE, _UNAVAILABLE, "this user may not run the scripts: see the server's ACL"),
    ("WRONGTYPE", Action.RAISE, errors.CorruptRecordError, "a session's key holds something else than a session"),
)
_TABLE = {code: (answer, kind, meaning) for code, answer, kind, meaning in _CODES}
_CODE = re.compile(rf"(?:^|[\s:-])({'|'.join(_TABLE)})\b")
_NO_SENTINEL = re.compile(r"ERR unknown command .?SENTINEL\b", re.I)
_NO_SENTINEL_MEANING = (
    "no sentinel answers there but a server: a name behind the host is that of a primary which Sentinels watch; "
    "a database is a number"
)


def action_for(message: str) -> Action:
    """What is done about an error reply of this text."""
    if message.startswith("NOSCRIPT"):
        return Action.EVAL
    found = None if _OUT_OF_MEMORY.search(message) else _CODE.search(message)
    return _TABLE[found[1]][0] if found else Action.RAISE


def unwrapped(message: str) -> str:
    """The message from its code on. Servers before Redis 7 wrap an error inside a script in text of their own."""
    found = _CODE.search(message)
    return message[found.start(1) :] if found else message


def error_for(message: str, what: str, where: str = "") -> errors.ProviderError:
    """Return the error for an error reply.

    `message` is the reply's text, `what` names the call, and `where` the server if it is known.
    """
    at = f" ({where})" if where else ""
    if _OUT_OF_MEMORY.search(message):
        return errors.StoreFullError(f"{what}: the server is at its memory limit (maxmemory){at}")
    missing = missing_permission(message, what)
    if missing is not None:
        return errors.SessionUnavailableError(f"{what}: this user may not {missing}{at}")
    if _NO_SENTINEL.match(message):
        return errors.SessionUnavailableError(f"{what}: {_NO_SENTINEL_MEANING}{at}")
    found = _CODE.search(message)
    if found:
        _, kind, meaning = _TABLE[found[1]]
        return kind(f"{what}: {meaning}{at}")
    return errors.ProviderError(f"{what}: the server answered with an error{at}: {message[:200]}")
