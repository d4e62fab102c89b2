"""Strategies of the state machine: few names, so that steps meet, and arguments from ordinary to hostile."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from hypothesis import strategies as st

from chuk_sessions.core import (
    adoption,
    data_operations,
    durations,
    grants,
    ids,
    index_operations,
    keys,
    modes,
    note_operations,
    operations,
    owners,
    queue_operations,
    rate_limits,
    reader_operations,
    record,
    single_use,
)
from chuk_sessions.core.keys import SessionKeys
from chuk_sessions.core.operation import Call

SANDBOXES = ("a", "b")
USERS = (None, "alice", "bob", "a/b{c}*\ud800")
OWN_IDS = ("s1", "s2", "~x:@", "sess-alice-1-ab")
GENERATED_IDS = tuple(
    f"sess-{user}{1_700_000_000 + number}-{bucket:02x}{number:032x}"
    for number, (user, bucket) in enumerate(
        [("alice-", 7), ("alice-", 7), ("alice-", 7), ("", 7), ("bob-", 8), ("", 8)]
    )
)
LARGEST = 2**53 - 1
_unused = count(1)
RATES = [rate_limits.rate(*arguments) for arguments in [(1, 1, None, 1), (3, 1, 2, 2), (2, 0.7, 5, 1), (1, 600, 9, 9)]]

sandboxes = st.sampled_from(SANDBOXES)
session_ids = st.sampled_from(OWN_IDS + GENERATED_IDS)
users = st.sampled_from(USERS)
fields = st.sampled_from([b"m:n", b"m:x", b"m:", b"m:\xff"])
values = st.one_of(
    st.sampled_from(
        [b"E\x01x", b"1", b"-3", b"0", b"-0", b"007", b"1.5", b'"t"', b"[]", b"", b"x" * 100, b" 7", b"7\n"]
    ),
    st.sampled_from([b"[1]", b"[", b"]", b"[x", b'["a",[2]]']),
    st.integers(-LARGEST - 2, LARGEST + 2).map(lambda number: b"%d" % number),
)
pairs = st.lists(st.tuples(fields, values), max_size=3, unique_by=lambda pair: pair[0]).map(
    lambda found: [part for pair in found for part in pair]
)
salts = st.sampled_from([[], [], [], [b"s", b"salt of one"], [b"s", b"salt of another"], [b"s", b""]])
updates = st.tuples(salts, pairs).map(lambda found: [*found[0], *found[1]])
hashes = st.sampled_from([owners.hashed(b"alice"), owners.hashed(b"bob")])
keyed = st.sampled_from([b"\xffalice", b"\xffbob"])
expectations = st.one_of(
    st.just([]), st.just([]), st.lists(st.tuples(fields, st.sampled_from([b"", b"", b"1", b"[]"])), max_size=2)
).map(lambda found: [part for pair in found for part in pair])
items = st.sampled_from([b"", b"1", b'"a",{}', b"[]"])
removals = st.lists(fields, max_size=2)
operation_ids = st.sampled_from([b"", b"", b"once", b"twice", b"perhaps"])
creations_by = st.sampled_from([b"", b"", b"once", b"twice", *[b"id %d" % number for number in range(12)]])
mode_texts = st.sampled_from([modes.TOUCH, modes.TOUCH, modes.CREATE, modes.REPLACE])
versions = st.sampled_from([None, None, 1, 2, 3, 4])
retentions = st.sampled_from([0, 300_000])
idles = st.sampled_from([0, 0, 700, 4000])
buckets = st.sampled_from([7, 8, 255])
amounts = st.sampled_from([1, 5, -1, -7, 0, LARGEST, -LARGEST])
ceilings = st.sampled_from([None, None, 0, 3, LARGEST])
targets = [keys.session_keys("a", session_id) for session_id in OWN_IDS + GENERATED_IDS]
pointers = st.sampled_from([b"", *[pointer for one in targets for pointer in (one.handle, one.reference.encode())]])
limits = st.sampled_from([data_operations.MAX_SESSION_BYTES, data_operations.MAX_SESSION_BYTES, 0, 9, 30, 120])
handles = st.sampled_from([*[target.handle for target in targets], b"~", b"\xff"])
readers = st.sampled_from([b"mailer", b"mail", b"a^b"])
processes = st.sampled_from([b"one", b"two"])
leases_ms = st.sampled_from([0, 1, 700, 4000])
cursors = st.sampled_from([b"0-0", b"0-0", b"1-0", b"1-2", b"2-1"])
"""Ids before those of all events, which the servers of a comparison choose by different clocks."""
event_caps = st.sampled_from([0, 10_000])
endings = st.sampled_from([b"d", b"d", b"v", b"r", b"p", b"a", b""])
lifetimes = st.sampled_from([1, 350, 700, 1000, 4000, 60_000, 600_001])


def owner_of(user: str | None) -> bytes:
    """Return the owner as scripts take it."""
    return b"" if user is None else ids.user_bytes(user)


def user_of(user: str | None) -> int:
    """Return the hash of a user, or 0 for none."""
    return 0 if user is None else ids.user_hash(user)


def creations(now: int) -> st.SearchStrategy[bytes | int]:
    """Return a strategy for the time of creation that a call expects."""
    return st.sampled_from([b"", b"", now, now - 350, b"soon"])


def unused_target(sandbox: str, bucket: int) -> SessionKeys:
    """Return the keys of a generated id that no other call has had. Only such ids may be created without a look."""
    return keys.session_keys(sandbox, f"sess-1700000100-{bucket:02x}{next(_unused):032x}")


def neighbors(target: SessionKeys, sandbox: str) -> list[SessionKeys]:
    """Return the other sessions of the bucket. A script may access them together with the target."""
    others = (keys.session_keys(sandbox, session_id) for session_id in OWN_IDS + GENERATED_IDS)
    return [other for other in others if other.index_keys == target.index_keys and other != target]


@dataclass
class CallGenerator:
    """A generator of calls. `now` is the time in ms."""

    data: st.DataObject
    now: int

    def draw(self, strategy):
        return self.data.draw(strategy)

    def target(self) -> tuple[str, SessionKeys]:
        """Draw a sandbox and a session in it."""
        sandbox = self.draw(sandboxes)
        return sandbox, keys.session_keys(sandbox, self.draw(session_ids))

    def allocate(self) -> Call:
        sandbox, target = self.target()
        reused = self.draw(st.sampled_from([True, True, False]))
        if not reused:
            target = unused_target(sandbox, target.index_keys.bucket)
        user = self.draw(users)
        near = neighbors(target, sandbox)
        return operations.allocate(
            target,
            sandbox,
            ttl_ms=self.draw(lifetimes),
            idle_ms=self.draw(idles),
            **self.forms(user),
            cap=self.draw(st.sampled_from([0, 0, 1, 2])) if user else 0,
            retention_ms=self.draw(retentions),
            create=self.draw(st.sampled_from([True, True, True, False])),
            mode=self.draw(mode_texts),
            operation_id=self.draw(creations_by),
            events=self.draw(event_caps),
            start=self.draw(st.sampled_from([b"c", b"c", b"l", b""])),
            victims=self.draw(st.lists(st.sampled_from(near), max_size=3, unique=True)) if near else [],
            pairs=self.draw(pairs),
            reused=reused,
        )

    def forms(self, user: str | None) -> dict[str, Any]:
        """Draw the forms of a user that an allocation gets: one, or the text and a keyed hash in either order."""
        text = owner_of(user)
        plain, hashed = (text, user_of(user)), (self.draw(keyed), self.draw(st.sampled_from([1, 2])))
        kind = (
            self.draw(st.sampled_from(["plain", "plain", "keyed", "plain first", "keyed first"])) if user else "plain"
        )
        first = hashed if kind.startswith("keyed") else plain
        # An engine with keys names the text by its SHA-1.
        named = (self.draw(st.sampled_from([text, owners.hashed(text)])), plain[1])
        other = {"plain first": hashed, "keyed first": named}.get(kind, (b"", 0))
        return {"owner": first[0], "user": first[1], "other_owner": other[0], "other_user": other[1]}

    def validate(self) -> Call:
        return operations.validate(*self.validate_arguments())

    def validate_arguments(self) -> tuple[SessionKeys, int, int, bool]:
        interval = self.draw(st.sampled_from([0, 0, 500, 5000]))
        return self.target()[1], interval, self.draw(retentions), self.draw(st.booleans())

    def load(self) -> Call:
        return operations.load(*self.validate_arguments())

    def read(self) -> Call:
        return operations.read(self.target()[1], operation_ids=self.draw(st.booleans()))

    def merge(self) -> Call:
        return data_operations.merge(
            self.target()[1],
            pairs=self.draw(updates),
            removals=self.draw(removals),
            replace=self.draw(st.booleans()),
            version=self.draw(versions),
            expected=self.draw(expectations),
            operation_id=self.draw(operation_ids),
            window_ms=self.draw(st.sampled_from([600_000, 120_000])),
            ttl_ms=self.draw(st.sampled_from([None, None, 1, 700, 60_000, 10**15])),
            retention_ms=self.draw(retentions),
            limit=self.draw(limits),
            updates=self.draw(st.booleans()),
        )

    def set(self) -> Call:
        return data_operations.merge(self.target()[1], pairs=self.draw(updates), limit=self.draw(limits))

    def rewrite(self) -> Call:
        return data_operations.rewrite(
            self.target()[1],
            created=b"%d" % self.draw(st.sampled_from([self.now, self.now, self.now - 350])),
            version=self.draw(st.sampled_from([b"1", b"1", b"2", b"3", b"x"])),
            pairs=[
                *self.draw(updates),
                *self.draw(st.sampled_from([[], [b"h", b"\xffalice", b"u", b"E\x01"], [b"u", b"bob"]])),
            ],
            removals=self.draw(st.lists(st.sampled_from([b"s", b"h"]), max_size=2, unique=True)),
            user=self.draw(st.sampled_from([None, 1, 2])),
        )

    def increment(self) -> Call:
        return data_operations.increment(
            self.target()[1],
            field=self.draw(fields),
            amount=self.draw(amounts),
            ceiling=self.draw(ceilings),
            operation_id=self.draw(operation_ids),
            limit=self.draw(limits),
            updates=self.draw(st.booleans()),
        )

    def fetch(self) -> Call:
        return operations.fetch(self.target()[1])

    def append(self) -> Call:
        return data_operations.append(
            self.target()[1],
            field=self.draw(fields),
            items=self.draw(items),
            most=self.draw(st.sampled_from([None, None, 1, 6, 20])),
            operation_id=self.draw(operation_ids),
            limit=self.draw(limits),
            updates=self.draw(st.booleans()),
        )

    def rate_limit(self) -> Call:
        return rate_limits.rate_limit(
            self.target()[1],
            field=self.draw(st.sampled_from([b"l:x", b"l:x", b"l:yy"])),
            rate=self.draw(st.sampled_from(RATES)),
            operation_id=self.draw(operation_ids),
            limit=self.draw(limits),
        )

    def extend(self) -> Call:
        return operations.extend(
            self.target()[1],
            additional_ms=self.draw(st.sampled_from([1, 1000, 60_000, 10**15])),
            operation_id=self.draw(operation_ids) or b"thrice",
            retention_ms=self.draw(retentions),
        )

    def set_ttl(self) -> Call:
        ttl = self.draw(st.one_of(lifetimes, st.just(durations.LATEST_MS)))
        return operations.set_ttl(self.target()[1], ttl_ms=ttl, retention_ms=self.draw(retentions))

    def delete(self) -> Call:
        owner, version = self.draw(st.one_of(users.map(owner_of), keyed, hashes)), self.draw(versions)
        if self.draw(st.booleans()):
            return operations.delete(self.target()[1], self.draw(endings))
        return operations.delete(
            self.target()[1],
            self.draw(endings),
            owner=owner,
            version=version,
            pointer=self.draw(pointers),
            created=self.draw(creations(self.now)),
            successor=self.draw(pointers),
            grace_ms=self.draw(st.sampled_from([0, 800, 10**6])),
            grants=self.draw(st.sampled_from([b"", b"", b"0", self.grant_times(5), self.grant_times(700)])),
        )

    def rotate(self) -> Call:
        sandbox = self.draw(sandboxes)
        old, new = self.draw(st.lists(st.sampled_from(GENERATED_IDS), min_size=2, max_size=2, unique=True))
        grace, created = self.draw(st.sampled_from([0, 800, 10**6])), self.draw(creations(self.now))
        lifetime = self.lifetime() if self.draw(st.booleans()) else None
        return operations.rotate(
            keys.session_keys(sandbox, old),
            keys.session_keys(sandbox, new),
            grace_ms=grace,
            created=created,
            lifetime=lifetime,
        )

    def lifetime(self) -> operations.Lifetime:
        ttl, idle = self.draw(lifetimes), self.draw(idles)
        return operations.Lifetime(ttl, idle, self.draw(retentions), self.draw(event_caps), record.KEPT_AT_LOGIN)

    def carry(self) -> Call:
        until = 10**9 * 1000 + self.draw(st.sampled_from([0, 10**12]))
        return operations.carry(self.target()[1], [b"once", b"%d" % until, b"twice", b"%d" % (until + 1)])

    def adopt(self) -> Call:
        _, target = self.target()
        overlap = self.draw(st.sampled_from([0, 350, 60_000]))
        deadline = self.now + self.draw(st.sampled_from([-1, 0, 1, 350, 4000, 60_000]))
        if self.draw(st.integers(0, 4)) == 0:
            return adoption.block(target, deadline_ms=deadline, overlap_ms=overlap)
        user, pairs = self.draw(users), self.draw(updates)
        return adoption.adopt(
            target,
            adoption.Adopted(
                created=self.now - 350,
                deadline=deadline,
                accessed=self.now - self.draw(st.sampled_from([0, 350, 700])),
                idle=self.draw(idles),
                version=self.draw(st.sampled_from([1, 1, 2, 5])),
                owner=owner_of(user),
                user=user_of(user),
                pairs=pairs,
                fingerprint=self.draw(st.sampled_from([b"one", b"two"])),
            ),
            mode=self.draw(st.sampled_from([adoption.IF_ABSENT, adoption.IF_UNCHANGED, adoption.IF_UNCHANGED])),
            overlap_ms=overlap,
            retention_ms=self.draw(retentions),
            events=self.draw(event_caps),
        )

    def grant_times(self, offset: int) -> bytes:
        """Return the time of the end of a grant, as `grant` would write it now."""
        return b"%d" % ((self.now + offset) // 1000 * 1000)

    def jti(self, target: SessionKeys) -> str:
        """Draw the id of a grant: of the session, or of another one that may have become it by rotation."""
        return f"{self.draw(st.sampled_from([target, *targets])).reference}{self.draw(st.sampled_from('AB')) * 16}"

    def grant(self) -> Call:
        target = self.target()[1]
        return grants.grant(
            target,
            jti=self.jti(target),
            ttl_ms=self.draw(lifetimes),
            audience="other",
            actions=self.draw(st.sampled_from([("read",), ("read", "write")])),
            path=self.draw(st.sampled_from(["", "doc 1/\u00e9"])),
            operation_id=self.draw(operation_ids) or b"thrice",
            limit=self.draw(limits),
            most=self.draw(st.sampled_from([64, 64, 64, 1, 2])),
        )

    def check_grant(self) -> Call:
        target = self.target()[1]
        expiry = self.now + self.draw(st.sampled_from([-1, 0, 1, 10**6, 10**6]))
        return grants.check_grant(target, jti=self.jti(target), expiry_ms=expiry)

    def revoke_grant(self) -> Call:
        target = self.target()[1]
        return grants.revoke_grant(target, self.draw(st.sampled_from(["", self.jti(target), self.jti(target)])))

    def grants(self) -> Call:
        return grants.grants(self.target()[1])

    def list(self) -> Call:
        user, limit = self.draw(users), self.draw(st.sampled_from([1, 1, 2, 3, 100]))
        return index_operations.list_(
            self.target()[1].index_keys, user=user_of(user) if user else None, limit=limit, after=self.after(user)
        )

    def find(self) -> Call:
        limit = self.draw(st.sampled_from([1, 2, 100]))
        return index_operations.find(self.target()[1].index_keys, user_of(self.draw(users)), limit)

    def count(self) -> Call:
        user, limit = self.draw(users), self.draw(st.sampled_from([1, 1, 2, 3, 100]))
        return index_operations.count(
            self.target()[1].index_keys, user=user_of(user) if user else None, limit=limit, after=self.after(user)
        )

    def sweep(self) -> Call:
        sandbox, target = self.target()
        near = st.sampled_from([target, *neighbors(target, sandbox)]).map(lambda other: other.handle)
        return index_operations.sweep(target.index_keys, sandbox, self.draw(st.lists(near, max_size=3, unique=True)))

    def due(self) -> Call:
        limit, index = self.draw(st.sampled_from([1, 2, 100])), self.target()[1].index_keys
        return index_operations.due(self.draw(st.sampled_from([index.sandboxes, index.noted])), limit, self.after(None))

    def use_once(self) -> Call:
        call = single_use.use_once(self.target()[0], self.draw(st.sampled_from(["one", "two"])), self.draw(lifetimes))
        return call._replace(argv=(self.draw(st.sampled_from([b"use", b"other"])), call.argv[1]))

    def note(self) -> Call:
        sandbox, target = self.target()
        return note_operations.note(target.index_keys, sandbox, user_of(self.draw(users)), self.draw(buckets))

    def notes(self) -> Call:
        return note_operations.notes(self.target()[1].index_keys, user_of(self.draw(users)))

    def forget(self) -> Call:
        sandbox, target = self.target()
        old = st.tuples(buckets, st.sampled_from([self.now, self.now - 350, self.now - 4000, 0]))
        return note_operations.forget(
            target.index_keys, sandbox, user_of(self.draw(users)), self.draw(st.lists(old, max_size=3))
        )

    def endpoint(self):
        return self.draw(st.sampled_from(["first", "other"]))

    def messages(self):
        message = st.tuples(st.sampled_from([b"m1", b"m2", b"m3", b"m4"]), st.sampled_from([b"text", b"\xff", b"more"]))
        return self.draw(st.lists(message, max_size=3))

    def endpoints(self) -> Call:
        return queue_operations.endpoints()

    def configure(self) -> Call:
        texts = st.sampled_from([b"", b"one", b"one", b"two"])
        return queue_operations.configure(self.endpoint(), self.draw(texts), self.draw(texts))

    def enqueue(self) -> Call:
        endpoint, limit = self.endpoint(), self.draw(st.sampled_from([0, 2, 9, 9]))
        return queue_operations.enqueue(endpoint, self.messages(), limit=limit, ordered=self.draw(st.booleans()))

    def take(self) -> Call:
        limit, lease = self.draw(st.sampled_from([1, 2, 9])), self.draw(st.sampled_from([1, 350, 60_000]))
        return queue_operations.take(self.endpoint(), limit=limit, lease_ms=lease, ordered=self.draw(st.booleans()))

    def settle(self) -> Call:
        return queue_operations.settle(
            self.endpoint(),
            self.draw(st.sampled_from([b"m1", b"m2", b"m3"])),
            self.now + self.draw(st.sampled_from([0, 1, 350, 60_000])),
            ordered=self.draw(st.booleans()),
            text=self.draw(st.sampled_from([b"", b"again"])),
            delay_ms=self.draw(st.sampled_from([None, 0, 350, 60_000])),
            most_dead=self.draw(st.sampled_from([0, 1, 9])),
        )

    def letters(self) -> Call:
        limit = self.draw(st.sampled_from([1, 2, 100]))
        times = st.sampled_from([b"0", b"%d" % self.now, b"%d" % (self.now - 350)])
        after = self.draw(st.one_of(st.just(()), st.tuples(times, st.sampled_from([b"m1", b"m2"]))))
        return queue_operations.letters(self.endpoint(), limit, after)

    def resend(self) -> Call:
        return queue_operations.resend(self.endpoint(), self.messages(), ordered=self.draw(st.booleans()))

    def bucket(self) -> int:
        """Draw a bucket that has sessions."""
        return self.target()[1].index_keys.bucket

    def join(self) -> Call:
        return reader_operations.join(
            self.bucket(), self.draw(readers).decode(), self.draw(processes), lease_ms=self.draw(leases_ms)
        )

    def claim(self) -> Call:
        return reader_operations.claim(
            self.bucket(), self.draw(readers), self.draw(processes), lease_ms=self.draw(leases_ms), newest=False
        )

    def commit(self) -> Call:
        lease = reader_operations.Lease(self.draw(readers), self.draw(processes), self.draw(st.integers(1, 3)))
        stored, cursor = self.draw(cursors), self.draw(cursors)
        read = 0 if stored == cursor else self.draw(st.integers(1, 3))
        position = reader_operations.Position(stored, cursor, read, self.draw(st.integers(0, 2)))
        return reader_operations.commit(self.bucket(), lease, position, lease_ms=self.draw(leases_ms))

    def trim(self) -> Call:
        return reader_operations.trim(self.bucket())

    def progress(self) -> Call:
        return reader_operations.progress(self.bucket())

    def retire(self) -> Call:
        return reader_operations.retire(self.bucket(), self.draw(readers))

    def read_events(self) -> Call:
        limit = self.draw(st.sampled_from([1, 2, 100]))
        return index_operations.read_events(self.target()[1].index_keys.events, limit=limit)

    def after(self, user: str | None) -> index_operations.Cursor:
        """Draw the cursor of a page: the start, or an entry that may exist."""
        if self.draw(st.booleans()):
            return ()
        scores = (
            [b"%d" % user_of(user)]
            if user
            else [b"0", b"%d" % self.now, b"%d.5" % (self.now + 699), b"%d" % (self.now + 700), b"9" * 15]
        )
        return self.draw(st.sampled_from(scores)), self.draw(handles)
