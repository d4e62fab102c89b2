"""What the state machine plays with: few enough names that steps meet, and arguments from ordinary to hostile."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from chuk_sessions.core import ids, keys, operations
from chuk_sessions.core.keys import SessionKeys
from chuk_sessions.core.operation import Call

SANDBOXES = ("a", "b")
USERS = (None, "alice", "bob", "a/b{c}*\ud800")
OWN_IDS = ("s1", "s2", "~x:@", "sess-alice-1-ab")
MADE_IDS = tuple(
    f"sess-{user}{1_700_000_000 + number}-{bucket:02x}{number:032x}"
    for number, (user, bucket) in enumerate(
        [("alice-", 7), ("alice-", 7), ("alice-", 7), ("", 7), ("bob-", 8), ("", 8)]
    )
)
LARGEST = 2**53 - 1

sandboxes = st.sampled_from(SANDBOXES)
session_ids = st.sampled_from(OWN_IDS + MADE_IDS)
users = st.sampled_from(USERS)
fields = st.sampled_from([b"m:n", b"m:x", b"m:", b"m:\xff"])
values = st.one_of(
    st.sampled_from([b"1", b"-3", b"0", b"-0", b"007", b"1.5", b'"t"', b"[]", b"", b"x" * 100, b" 7", b"7\n"]),
    st.integers(-LARGEST - 2, LARGEST + 2).map(lambda number: b"%d" % number),
)
pairs = st.lists(st.tuples(fields, values), max_size=3, unique_by=lambda pair: pair[0]).map(
    lambda found: [part for pair in found for part in pair]
)
removals = st.lists(fields, max_size=2)
operation_ids = st.sampled_from([b"", b"", b"once", b"twice", b"perhaps"])
versions = st.sampled_from([None, None, 1, 2, 3, 4])
retentions = st.sampled_from([0, 300_000])
idles = st.sampled_from([0, 0, 700, 4000])
amounts = st.sampled_from([1, 5, -1, -7, 0, LARGEST, -LARGEST])
ceilings = st.sampled_from([None, None, 0, 3, LARGEST])
pointers = st.one_of(st.just(b""), st.sampled_from([keys.session_keys("a", made).handle for made in MADE_IDS]))
limits = st.sampled_from([operations.MAX_SESSION_BYTES, operations.MAX_SESSION_BYTES, 0, 9, 30, 120])
handles = st.sampled_from(
    [keys.session_keys("a", session_id).handle for session_id in OWN_IDS + MADE_IDS] + [b"~", b"\xff"]
)
spans = st.sampled_from([1, 350, 700, 1000, 4000, 60_000, 600_001])


def owner_of(user: str | None) -> bytes:
    """The owner as an argument."""
    return b"" if user is None else ids.user_bytes(user)


def user_of(user: str | None) -> int:
    """Its hash."""
    return 0 if user is None else ids.user_hash(user)


def neighbours(target: SessionKeys, sandbox: str) -> list[SessionKeys]:
    """The other places in the same bucket, which a script may name together with this one."""
    others = (keys.session_keys(sandbox, session_id) for session_id in OWN_IDS + MADE_IDS)
    return [other for other in others if other.index_keys == target.index_keys and other != target]


@dataclass
class Draw:
    """Draws calls. `now` is the time in ms."""

    data: st.DataObject
    now: int

    def one(self, strategy):
        return self.data.draw(strategy)

    def target(self) -> tuple[str, SessionKeys]:
        """A sandbox and a session in it."""
        sandbox = self.one(sandboxes)
        return sandbox, keys.session_keys(sandbox, self.one(session_ids))

    def allocate(self) -> Call:
        sandbox, target = self.target()
        user = self.one(users)
        near = neighbours(target, sandbox)
        return operations.allocate(
            target,
            sandbox,
            ttl_ms=self.one(spans),
            idle_ms=self.one(idles),
            owner=owner_of(user),
            user=user_of(user),
            cap=self.one(st.sampled_from([0, 0, 1, 2])) if user else 0,
            retention_ms=self.one(retentions),
            create=self.one(st.sampled_from([True, True, True, False])),
            victims=self.one(st.lists(st.sampled_from(near), max_size=3, unique=True)) if near else [],
            pairs=self.one(pairs),
            reused=self.one(st.booleans()),
        )

    def validate(self) -> Call:
        interval = self.one(st.sampled_from([0, 0, 500, 5000]))
        return operations.validate(
            self.target()[1], interval_ms=interval, retention_ms=self.one(retentions), index=self.one(st.booleans())
        )

    def read(self) -> Call:
        return operations.read(self.target()[1], operation_ids=self.one(st.booleans()))

    def merge(self) -> Call:
        return operations.merge(
            self.target()[1],
            pairs=self.one(pairs),
            removals=self.one(removals),
            replace=self.one(st.booleans()),
            version=self.one(versions),
            operation_id=self.one(operation_ids),
            limit=self.one(limits),
        )

    def set(self) -> Call:
        return operations.merge(self.target()[1], pairs=self.one(pairs), limit=self.one(limits))

    def increment(self) -> Call:
        return operations.increment(
            self.target()[1],
            field=self.one(fields),
            amount=self.one(amounts),
            ceiling=self.one(ceilings),
            operation_id=self.one(operation_ids),
            limit=self.one(limits),
        )

    def extend(self) -> Call:
        return operations.extend(
            self.target()[1],
            additional_ms=self.one(st.sampled_from([1, 1000, 60_000, 10**15])),
            operation_id=self.one(operation_ids) or b"thrice",
            retention_ms=self.one(retentions),
        )

    def delete(self) -> Call:
        owner, version = owner_of(self.one(users)), self.one(versions)
        created = self.one(st.sampled_from([b"", b"", self.now, self.now - 350, b"soon"]))
        return operations.delete(
            self.target()[1],
            owner=owner,
            version=version,
            pointer=self.one(pointers),
            created=created,
            successor=self.one(pointers),
            grace_ms=self.one(st.sampled_from([0, 800, 10**6])),
        )

    def rotate(self) -> Call:
        sandbox = self.one(sandboxes)
        old, new = self.one(st.lists(st.sampled_from(MADE_IDS), min_size=2, max_size=2, unique=True))
        grace = self.one(st.sampled_from([0, 800, 10**6]))
        return operations.rotate(keys.session_keys(sandbox, old), keys.session_keys(sandbox, new), grace_ms=grace)

    def carry(self) -> Call:
        until = 10**9 * 1000 + self.one(st.sampled_from([0, 10**12]))
        return operations.carry(self.target()[1], [b"once", b"%d" % until, b"twice", b"%d" % (until + 1)])

    def list(self) -> Call:
        user, limit = self.one(users), self.one(st.sampled_from([1, 1, 2, 3, 100]))
        return operations.list_(
            self.target()[1].index_keys, user=user_of(user) if user else None, limit=limit, after=self.after(user)
        )

    def count(self) -> Call:
        user, limit = self.one(users), self.one(st.sampled_from([1, 1, 2, 3, 100]))
        return operations.count(
            self.target()[1].index_keys, user=user_of(user) if user else None, limit=limit, after=self.after(user)
        )

    def sweep(self) -> Call:
        sandbox, target = self.target()
        near = st.sampled_from([target, *neighbours(target, sandbox)]).map(lambda other: other.handle)
        return operations.sweep(target.index_keys, sandbox, self.one(st.lists(near, max_size=3, unique=True)))

    def due(self) -> Call:
        limit = self.one(st.sampled_from([1, 2, 100]))
        return operations.due(self.target()[1].index_keys.sandboxes, limit, self.after(None))

    def after(self, user: str | None) -> operations.Cursor:
        """Where a page begins: at the start, or after an entry that may be there."""
        if self.one(st.booleans()):
            return ()
        scores = [b"%d" % user_of(user)] if user else [b"0", b"%d" % self.now, b"%d" % (self.now + 700), b"9" * 15]
        return self.one(st.sampled_from(scores)), self.one(handles)
