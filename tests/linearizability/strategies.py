"""Random steps for concurrent processes on one session: few names and small numbers, so that calls meet."""

from __future__ import annotations

from random import Random

from chuk_sessions.core import data_operations, ids, index_operations, keys, modes, operations, rate_limits
from tests.linearizability.model import Step, Wait

SANDBOX = "a"
BUCKET = 7
OWNERS = (b"", b"alice", b"bob")
PROCESSES, TASKS, CALLS = 3, 2, 4

Plan = list[list[list[Step]]]
"""For each process, for each of its tasks, the sequence of its steps."""


def session_id(number: int) -> str:
    """Return the first id of the session (0), or an id of a later rotation."""
    return f"sess-{1_700_000_000 + number}-{BUCKET:02x}{number:032x}"


class StepGenerator:
    """A generator of the steps of one history."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._ids = 1
        self._operations = 0

    def plan(self) -> Plan:
        """Draw the steps of each task of each process."""
        return [[[self.step() for _ in range(CALLS)] for _ in range(TASKS)] for _ in range(PROCESSES)]

    def step(self) -> Step:
        names = ["allocate"] * 4 + ["merge", "increment", "append", "rate_limit", "read"] * 3
        names += ["load", "delete", "rotate"] * 2
        rarely = ["validate", "extend", "set_ttl", "count", "list", "sweep", "wait"]
        step: Step = getattr(self, self._random.choice([*names, *rarely]))()
        return step

    def allocate(self) -> Step:
        owner = self._random.choice(OWNERS)
        mode = self._random.choice([modes.TOUCH, modes.TOUCH, modes.CREATE, modes.REPLACE])
        return operations.allocate(
            self._target(),
            SANDBOX,
            ttl_ms=self._random.choice([2000, 10_000]),
            idle_ms=self._random.choice([0, 0, 1500]),
            owner=owner,
            user=ids.user_hash(owner.decode()) if owner else 0,
            cap=self._random.choice([0, 1]) if owner else 0,
            victims=self._random.choice([(), (), (self._target(),)]),
            retention_ms=300_000,
            create=True,
            mode=mode,
            operation_id=b"" if mode == modes.TOUCH else self._operation_id(),
            pairs=[b"m:n", b"%d" % self._random.randrange(3)],
            reused=True,
        )

    def validate(self) -> Step:
        return operations.validate(self._target(), interval_ms=0, retention_ms=300_000, index=True)

    def load(self) -> Step:
        return operations.load(self._target(), interval_ms=0, retention_ms=300_000, index=True)

    def read(self) -> Step:
        return operations.read(self._target(), operation_ids=self._random.random() < 0.3)

    def merge(self) -> Step:
        pairs = [self._random.choice([b"m:n", b"m:x"]), b"%d" % self._random.randrange(100)]
        version = self._random.choice([None, 1, 2, 3])
        once = self._random.choice([b"", b"", b"once"])
        replace = self._random.random() < 0.2
        limit = self._random.choice([data_operations.MAX_SESSION_BYTES, 6])
        expected = self._random.choice([(), (), (b"m:n", b"1"), (b"m:n", b"2"), (b"m:x", b"")])
        return data_operations.merge(
            self._target(),
            pairs=pairs,
            version=version,
            expected=expected,
            replace=replace,
            operation_id=once,
            ttl_ms=self._random.choice([None, None, 1000, 5000]),
            retention_ms=300_000,
            limit=limit,
        )

    def append(self) -> Step:
        item = b"%d" % self._random.randrange(100)
        once = self._random.choice([b"", b"", b"seldom"])
        most = self._random.choice([None, None, 12])
        return data_operations.append(self._target(), field=b"m:list", items=item, most=most, operation_id=once)

    def increment(self) -> Step:
        ceiling = self._random.choice([None, 2, 3])
        once = self._random.choice([b"", b"", b"twice"])
        return data_operations.increment(self._target(), field=b"m:n", amount=1, ceiling=ceiling, operation_id=once)

    def rate_limit(self) -> Step:
        rate = rate_limits.rate(3, 1.5, None, self._random.choice([1, 1, 2]))
        once, limit = self._random.choice([b"", b"", b"at most once"]), data_operations.MAX_SESSION_BYTES
        return rate_limits.rate_limit(self._target(), field=b"l:n", rate=rate, operation_id=once, limit=limit)

    def extend(self) -> Step:
        once = self._random.choice([b"thrice", b"often"])
        return operations.extend(self._target(), additional_ms=1000, operation_id=once, retention_ms=300_000)

    def set_ttl(self) -> Step:
        ttl = self._random.choice([500, 5000])
        return operations.set_ttl(self._target(), ttl_ms=ttl, retention_ms=300_000)

    def delete(self) -> Step:
        owner = self._random.choice([b"", b"", b"alice"])
        version = self._random.choice([None, None, 2])
        successor, grace = self._random.choice([(b"", 0), (b"", 0), (self._target().handle, 800)])
        return operations.delete(self._target(), owner=owner, version=version, successor=successor, grace_ms=grace)

    def rotate(self) -> Step:
        new = keys.session_keys(SANDBOX, session_id(self._ids))
        self._ids += 1
        return operations.rotate(self._target(), new, grace_ms=self._random.choice([0, 800, 60_000]))

    def count(self) -> Step:
        return index_operations.count(
            self._target().index_keys, user=self._random.choice([None, ids.user_hash("alice")])
        )

    def list(self) -> Step:
        return index_operations.list_(self._target().index_keys, user=None, limit=10)

    def sweep(self) -> Step:
        target = self._target()
        return index_operations.sweep(target.index_keys, SANDBOX, [target.handle])

    def wait(self) -> Step:
        return Wait(self._random.choice([400, 900, 2100]))

    def _operation_id(self) -> bytes:
        """Draw the id of a further operation or, as an attempt that arrives late has it, of an earlier one."""
        if self._operations and self._random.random() < 0.2:
            return b"%d" % self._random.randrange(self._operations)
        self._operations += 1
        return b"%d" % (self._operations - 1)

    def _target(self) -> keys.SessionKeys:
        known = self._random.choice([0, 0, 0, self._random.randrange(self._ids)])
        return keys.session_keys(SANDBOX, session_id(known))
