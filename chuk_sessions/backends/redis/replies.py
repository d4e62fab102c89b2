"""What the server's error replies mean to a caller: the one table."""

from __future__ import annotations

import re

from ... import exceptions as errors

_OUT_OF_MEMORY = re.compile(r"(^|[\s:-])OOM\b")
_CODES: tuple[tuple[str, type[errors.ProviderError], str], ...] = (
    ("LOADING", errors.SessionUnavailableError, "the server is still loading its data"),
    ("READONLY", errors.SessionUnavailableError, "the server is a replica and takes no writes"),
    ("MASTERDOWN", errors.SessionUnavailableError, "the server is a replica cut off from its primary"),
    ("BUSY", errors.SessionUnavailableError, "the server is held up by a script"),
    ("MISCONF", errors.SessionUnavailableError, "the server refuses writes because it cannot save them"),
    ("NOREPLICAS", errors.SessionUnavailableError, "the server refuses writes because it has too few replicas"),
    ("CLUSTERDOWN", errors.SessionUnavailableError, "the cluster is down"),
    ("NOAUTH", errors.SessionUnavailableError, "the server wants a password"),
    ("WRONGPASS", errors.SessionUnavailableError, "the server does not take this user and password"),
    ("NOPERM", errors.SessionUnavailableError, "this user may not run the scripts: see the server's ACL"),
    ("MOVED", errors.NotSupportedError, "the server is part of a cluster, which is not supported yet"),
    ("ASK", errors.NotSupportedError, "the server is part of a cluster, which is not supported yet"),
    ("WRONGTYPE", errors.CorruptRecordError, "a session's key holds something else than a session"),
)


def error_for(message: str, what: str) -> errors.ProviderError:
    """The error that stands for an error reply. `message` is the reply's text, `what` names the call.

    Servers before Redis 7 wrap an error inside a script in text of their own, so the code is looked for anywhere.
    """
    if _OUT_OF_MEMORY.search(message):
        return errors.StoreFullError(f"{what}: the server is at its memory limit (maxmemory)")
    for code, kind, meaning in _CODES:
        if re.search(rf"(^|[\s:-]){code}\b", message):
            return kind(f"{what}: {meaning}")
    return errors.ProviderError(f"{what}: the server answered with an error: {message[:200]}")
