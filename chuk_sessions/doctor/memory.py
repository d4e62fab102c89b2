"""Checks of memory: eviction, headroom, and the encoding of records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .case import Case
from .facts import BlockedError, Facts
from .finding import Verdict, ok, problem, warning

_NEARLY_FULL, _FILLING = 0.9, 0.75
_ROOM_FOR_THE_SYSTEM = 0.8
"""The part of the machine's memory that the data may take. Buffers and saving need the rest."""

_USER_AGENT = 256
"""Bytes of a long User-Agent, the longest value that most sessions have."""
_FIELDS = 64
"""Fields that a compact record should be able to have."""

_LIMITS = ("hash-max-listpack-value 1024", "hash-max-listpack-entries 512")
"""Settings that keep records compact."""

_ORDERS = {
    "lru": "keys that have not been used for long",
    "lfu": "keys that are rarely used",
    "random": "keys at random",
    "ttl": "the keys that would expire first",
}


def eviction(server: Facts, _case: Case) -> Iterator[Verdict]:
    """Check that a server with full memory refuses writes instead of deleting sessions."""
    policy = server.text("maxmemory_policy")
    evicted = server.number("evicted_keys") if server.has("evicted_keys") else 0
    if policy == "noeviction":
        yield (
            _past_evictions(evicted)
            if evicted
            else ok("maxmemory-policy is noeviction: at full memory the server refuses new sessions and deletes none")
        )
        return
    limit = server.number("maxmemory")
    found = f"maxmemory-policy is {policy}. {_consequence(policy)} {_state(server, limit, evicted)}"
    advice = (
        "On this server and on all of its replicas, run `CONFIG SET maxmemory-policy noeviction`, and then `CONFIG "
        "REWRITE`, so that a restart keeps it. (For a managed service, change its parameter group.) It takes effect "
        "at once and needs no restart. At full memory, the server then refuses what would need memory "
        "(StoreFullError), and sessions that exist stay. So leave headroom: raise maxmemory if more than 75 % is in "
        "use, and alert on it. If other data on this server must be evicted, move the sessions to a server of their "
        "own, because the policy applies to all databases of a server."
    )
    if evicted:
        advice += (
            " Evicted sessions cannot be restored. The check `orphans` counts what they left in the indexes; run "
            "`chuk-sessions doctor --all` to count all of it."
        )
    yield (problem if limit or evicted else warning)(found, advice)


def _consequence(policy: str) -> str:
    scope, _, order = policy.partition("-")
    which = _ORDERS.get(order, "keys of its choice")
    if scope == "volatile":
        return (
            f"When memory is full, the server deletes {which}, among those with an expiry. These are the records of "
            "sessions, and never the indexes. So users are logged out without an error or a log line, while lists and "
            "counts still have their sessions."
        )
    return (
        f"When memory is full, the server deletes {which}, without an error or a log line. A deleted record logs its "
        "user out. A deleted index is worse: the sessions in it stay alive, but lists, caps, and "
        "revoke_user_sessions() no longer find them, so a user who signs out everywhere stays signed in."
    )


def _state(server: Facts, limit: int, evicted: int) -> str:
    since = f" since the server started {_ago(server)}" if server.has("uptime_in_seconds") else ""
    past = f"{evicted:,} keys have been evicted{since}." if evicted else f"Nothing has been evicted{since}."
    if not limit:
        return f"There is no memory limit (maxmemory 0), so eviction begins when one is set. {past}"
    used = server.number("used_memory")
    return f"{100 * used // limit} % of maxmemory is in use ({_size(used)} of {_size(limit)}). {past}"


def _ago(server: Facts) -> str:
    seconds = server.number("uptime_in_seconds")
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} seconds ago"


def _past_evictions(evicted: int) -> Verdict:
    return warning(
        f"maxmemory-policy is noeviction now, but the server has evicted {evicted:,} keys since it started, under an "
        "earlier policy. Sessions among them are lost",
        "Run `chuk-sessions doctor --all`, whose check `orphans` counts what evicted sessions left in the indexes. "
        "Then run `CONFIG RESETSTAT`, so that a new eviction is noticed.",
    )


def memory(server: Facts, _case: Case) -> Iterator[Verdict]:
    """Check that there is a memory limit, and headroom below and above it."""
    limit, used = server.number("maxmemory"), server.number("used_memory")
    total = server.number("total_system_memory") if server.has("total_system_memory") else 0
    if not limit:
        yield warning(
            f"maxmemory is 0: the server ({_size(used)} now) grows until the operating system kills it, which is an "
            "outage and can lose sessions",
            f"{_policy_first(server)}Set maxmemory above what is in use, for example to 60 % of the machine's "
            f"memory{_of(total)} or, in a container, of its limit, with `CONFIG SET maxmemory` and `CONFIG REWRITE`. "
            "At the limit, the server refuses new sessions instead of being killed.",
        )
        return
    share = f"{100 * used // limit} % of maxmemory is in use ({_size(used)} of {_size(limit)})"
    if used > _FILLING * limit:
        yield (problem if used > _NEARLY_FULL * limit else warning)(
            f"{share}. At the limit, logins fail with StoreFullError",
            "Raise maxmemory, or add memory or cluster nodes. Shorter lifetimes and idle timeouts, a cap "
            "(max_sessions_per_user), and a sweep every few minutes need less. docs/performance.md has the size of a "
            "session.",
        )
    else:
        yield ok(share)
    yield from _outside_of_the_limit(server, limit, total)


def _policy_first(server: Facts) -> str:
    """Return the first step of an advice to set a limit, which could delete sessions at once under another policy."""
    safe = not server.has("maxmemory_policy") or server.text("maxmemory_policy") == "noeviction"
    return "" if safe else "First set maxmemory-policy to noeviction, see the check `eviction`. "


def _outside_of_the_limit(server: Facts, limit: int, total: int) -> Iterator[Verdict]:
    names = ("mem_not_counted_for_evict", "mem_clients_slaves")
    buffers = sum(server.number(name) for name in names if server.has(name))
    if total and limit + buffers > _ROOM_FOR_THE_SYSTEM * total:
        yield warning(
            f"maxmemory ({_size(limit)}) is {100 * limit // total} % of the machine's memory ({_size(total)}). Buffers "
            f"for replicas and for the append-only file ({_size(buffers)} now) do not count for the limit, nor does "
            "the copy that a save makes of pages that change meanwhile. The operating system can kill the server",
            "Lower maxmemory to about 60 % of the machine's memory if less than that is in use, or move the server to "
            "a larger machine.",
        )


def encoding(server: Facts, case: Case) -> Iterator[Verdict]:
    """Check that the server stores records compactly."""
    compact, large = case.encodings.get(server.server.address, (0, 0))
    seen = "no record was sampled"
    if compact + large:
        seen = f"{large:,} of {compact + large:,} sampled records are stored as hash tables"
    try:
        longest = server.size("hash-max-listpack-value", "hash-max-ziplist-value")
        fields = server.size("hash-max-listpack-entries", "hash-max-ziplist-entries")
    except BlockedError:
        if not compact + large:
            raise
        if large > compact:
            yield _too_large(f"{seen}, which take about twice as much memory", _LIMITS)
        else:
            yield ok(f"{seen}; the others are compact")
        return
    if longest < _USER_AGENT or fields < _FIELDS:
        old = server.has_setting("hash-max-ziplist-value") and not server.has_setting("hash-max-listpack-value")
        limits = [text.replace("listpack", "ziplist") if old else text for text in _LIMITS]
        yield _too_large(
            f"a record is stored compactly only up to {fields} fields and values of {longest} bytes "
            "(hash-max-listpack-entries and -value). One longer value, such as a User-Agent or an encrypted value, "
            f"doubles its size; {seen}",
            [text for text, low in zip(limits, (longest < _USER_AGENT, fields < _FIELDS), strict=True) if low],
        )
    else:
        yield ok(f"records are compact up to {fields} fields and values of {longest} bytes; {seen}")


def _too_large(found: str, commands: Sequence[str]) -> Verdict:
    return warning(
        found,
        f"Run {' and '.join(f'`CONFIG SET {command}`' for command in commands)}, and then `CONFIG REWRITE`. (Redis 6.2 "
        "calls the settings hash-max-ziplist-value and -entries.) A record that is a hash table already stays one; "
        "later sessions are compact.",
    )


def _of(total: int) -> str:
    return f" ({_size(total)})" if total else ""


def _size(number: int) -> str:
    for unit in ("GiB", "MiB"):
        size = 1 << (30 if unit == "GiB" else 20)
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1024:.0f} KiB"
