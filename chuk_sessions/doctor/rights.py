"""Rights: the commands that the library runs, and a query for those that the user may not run.

A script asks the server with `redis.acl_check_cmd`, which every user may call, and which runs nothing. Redis 6.2 does
not have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..core import ids, keys
from ..core.inspection import InspectedServer, RefusedError
from .case import Case
from .facts import Facts

TRIAL_SANDBOX: Final = "chuk-sessions-doctor"
"""The sandbox of the doctor's own session."""

_KEY: Final = "{key}"

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "EVALSHA": ("0" * 40, "1", _KEY),
    "EVAL": ("return 1", "1", _KEY),
    "ECHO": ("1",),
    "CLIENT": ("SETNAME", "chuk-sessions"),
    "COPY": (_KEY, _KEY),
    "DEL": (_KEY,),
    "HDEL": (_KEY, "f"),
    "HEXISTS": (_KEY, "f"),
    "HGET": (_KEY, "f"),
    "HGETALL": (_KEY,),
    "HINCRBY": (_KEY, "f", "1"),
    "HKEYS": (_KEY,),
    "HLEN": (_KEY,),
    "HMGET": (_KEY, "f"),
    "HSET": (_KEY, "f", "1"),
    "HSTRLEN": (_KEY, "f"),
    "PEXPIREAT": (_KEY, "1"),
    "RENAME": (_KEY, _KEY),
    "TIME": (),
    "XADD": (_KEY, "*", "f", "1"),
    "XINFO": ("STREAM", _KEY),
    "XRANGE": (_KEY, "-", "+"),
    "XREVRANGE": (_KEY, "+", "-"),
    "XTRIM": (_KEY, "MAXLEN", "1"),
    "ZADD": (_KEY, "1", "m"),
    "ZCARD": (_KEY,),
    "ZCOUNT": (_KEY, "0", "1"),
    "ZMSCORE": (_KEY, "m"),
    "ZRANGE": (_KEY, "0", "1"),
    "ZRANGEBYSCORE": (_KEY, "0", "1"),
    "ZREM": (_KEY, "m"),
    "ZREMRANGEBYRANK": (_KEY, "0", "1"),
    "ZREMRANGEBYSCORE": (_KEY, "0", "1"),
    "ZSCORE": (_KEY, "m"),
}
"""The commands that scripts and connections run, with arguments that they would take."""

DANGEROUS: Final[Mapping[str, tuple[str, ...]]] = {
    "FLUSHALL": (),
    "CONFIG SET": ("maxmemory", "0"),
    "SHUTDOWN": (),
    "REPLICAOF": ("NO", "ONE"),
    "ACL SETUSER": ("app",),
}
"""Commands that an application never needs."""

QUERIES: Final[Mapping[str, str]] = {
    "INFO": "most checks of the doctor cannot look, and the library cannot warn about eviction",
    "ROLE": "the library notices that a primary was demoted only when the server refuses a write",
}
"""Commands that are useful and not necessary, with the consequence of lacking them."""

_SCRIPT = """
if not redis.acl_check_cmd then return false end
local refused = {}
for index, line in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(line, '[^\\n]+') do words[#words + 1] = word end
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if known and not allowed then refused[#refused + 1] = index end
end
return refused
"""


async def refused(server: InspectedServer, key: str, commands: Mapping[str, tuple[str, ...]]) -> list[str] | None:
    """Return those of the commands that the user may not run on the key; None if the server cannot tell.

    Raises UnansweredError.
    """
    lines = [
        "\n".join((*name.split(), *(key if word == _KEY else word for word in args))) for name, args in commands.items()
    ]
    try:
        # Without keys, because a user who may not use the key should be told that, too.
        reply = await server.query("EVAL", _SCRIPT, 0, *lines)
    except RefusedError as error:
        return ["EVAL"] if "EVAL" in commands and error.code == "NOPERM" else None
    return None if reply is None else [list(commands)[index - 1] for index in reply]


def rules_for(refused: Sequence[str]) -> str:
    """Return the ACL rules that a user lacks who may not run some of COMMANDS."""
    with_key = {name for name, args in COMMANDS.items() if _KEY in args}
    if with_key <= set(refused):  # the keys are missing, and commands may be, which another run shows
        return " ".join(("~chuk1:*", *(f"+{name.lower()}" for name in refused if name not in with_key)))
    # For a user who may use all keys, the server refuses a rule that adds some.
    return " ".join(f"+{name.lower()}" for name in refused)


async def blocked_queries(server: InspectedServer) -> list[str]:
    """Return those of the useful commands that the user may not run."""
    blocked = []
    for name in QUERIES:
        try:
            await server.query(name)
        except RefusedError as error:
            if error.code == "NOPERM":
                blocked.append(name)
    return blocked


def bucket_on(server: Facts, case: Case) -> int | None:
    """Return a bucket that a primary has; None if it has none."""
    for bucket in range(ids.BUCKETS):
        holder = case.inspection.holder(keys.sandboxes(bucket))
        if holder is server.server:
            return bucket
    return None


def key_on(server: Facts, case: Case) -> str | None:
    """Return a key of the doctor's sandbox that a primary would have; None if it has no bucket."""
    bucket = bucket_on(server, case)
    return None if bucket is None else keys.index(TRIAL_SANDBOX, bucket).deadlines
