"""Events in the streams of a world, and the rules that every sequence of events follows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from chuk_sessions import session_hash
from chuk_sessions.core import event_entries, ids, index_operations, keys
from chuk_sessions.core.event_entries import EventEntry

from .worlds import World

FIRST = {"created", "logged_in"}
LAST = {"ended", "rotated"}


async def read_events(world: World, buckets: Iterable[int] = range(ids.BUCKETS)) -> list[tuple[int, EventEntry]]:
    """Return the events of buckets, each with its bucket; those of one bucket in order."""
    found = []
    for bucket in buckets:
        after: bytes = b""
        while True:
            call = index_operations.read_events(keys.events(bucket), after=after)
            _, page = await world.backend.run(call)
            found += [(bucket, event_entries.parse(*entry)) for entry in page]
            if len(page) < index_operations.PAGE_LIMIT:
                break
            after = page[-1][0]
    return found


async def summary(world: World, *session_ids: str | None) -> list[str]:
    """Return the events of sessions as `KIND`, `KIND REASON` or `KIND > NUMBER`, in the order of sessions and events.

    The number is that of the session that replaces this one, in the order of `session_ids`.
    """
    order = {session_hash(str(session_id)): number for number, session_id in enumerate(session_ids)}
    told: dict[int, list[str]] = defaultdict(list)
    for bucket, entry in await read_events(world):
        number = order.get(entry.session_hash(bucket))
        if number is None:
            continue
        replaced_by = entry.replaced_by_hash(bucket)
        words = [entry.kind, entry.reason, None if replaced_by is None else f"> {order.get(replaced_by)}"]
        told[number].append(" ".join(word for word in words if word))
    return [text for number in range(len(session_ids)) for text in told[number]]


class Lifecycles:
    """The events of sessions so far, which are checked one by one. A session is known by sandbox and reference.

    Attributes:
        alive: the sessions whose events have begun and have not ended.
        ends: how often each session ended.

    """

    def __init__(self) -> None:
        self.alive: set[tuple[str, str]] = set()
        self.announced: set[tuple[str, str]] = set()
        self.ends: dict[tuple[str, str], int] = defaultdict(int)

    def add(self, bucket: int, entry: EventEntry) -> None:
        """Check the next event of a session. Raises AssertionError if it breaks a rule."""
        session = entry.sandbox, entry.session_hash(bucket)
        if entry.kind in FIRST:
            assert session not in self.alive, f"{entry} begins a session that has not ended"
            self.alive.add(session)
            self.announced.discard(session)
            return
        assert session in self.alive, f"{entry} is an event of a session that has not begun, or has ended"
        if entry.kind in LAST:
            self.alive.remove(session)
            self.ends[session] += 1
        replaced_by = entry.replaced_by_hash(bucket)
        if replaced_by is not None:
            successor = entry.sandbox, replaced_by
            if entry.kind == "rotated":
                assert successor not in self.alive, f"{entry} leads to a session that has begun before"
                self.alive.add(successor)
            else:
                self.announced.add(successor)
