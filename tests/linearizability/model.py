"""The sequential model: the emulator's twins, run one after another on immutable states."""

from __future__ import annotations

from typing import Any, NamedTuple

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.backends.memory.keyspace import Keyspace
from chuk_sessions.backends.memory.twins import TWINS
from chuk_sessions.core import operations
from chuk_sessions.core.operation import Call
from chuk_sessions.core.statuses import OK

Frozen = tuple[tuple[str, Any, int | None], ...]


class State(NamedTuple):
    """The state of the store: the time, and every key with its content and expiration time."""

    now: int
    keys: Frozen = ()


class Wait(NamedTuple):
    """A step that lets time pass. A process takes it like a call."""

    ms: int


Step = Call | Wait


def perform(state: State, step: Step) -> tuple[State, Any]:
    """Return the state after a step, and its result."""
    if isinstance(step, Wait):
        now = state.now + step.ms
        return _frozen(_keyspace(State(now, state.keys))), now
    space = _keyspace(state)
    reply = TWINS[step.operation.name](space, step.keys, step.argv)
    return _frozen(space), comparable(step, reply)


def comparable(step: Step, reply: Any) -> Any:
    """Return a result as a tuple for comparisons, without the order of hash fields."""
    reads = (operations.READ.name, operations.LOAD.name, operations.FETCH.name)
    if isinstance(step, Call) and step.operation.name in reads and reply[0] == OK:
        return (OK, tuple(sorted(zip(reply[1][::2], reply[1][1::2], strict=True))), *map(_frozen_part, reply[2:]))
    return reply if isinstance(step, Wait) else tuple(map(_frozen_part, reply))


def _frozen_part(part: Any) -> Any:
    return tuple(part) if isinstance(part, list) else part


def _keyspace(state: State) -> Keyspace:
    space = Keyspace(ManualClock(state.now))
    for key, held, expires_at in state.keys:
        if isinstance(held, frozenset):
            assert expires_at is not None, "a session without an expiration time"
            space.load(key, dict(held), expires_at)
        else:
            space.load_set(key, held, expires_at)
    space.tick()
    return space


def _frozen(space: Keyspace) -> State:
    found = space.snapshot().items()
    held = (
        (key, frozenset(of.items()) if isinstance(of, dict) else tuple(of), expires_at)
        for key, (of, expires_at) in found
    )
    return State(space.now, tuple(sorted(held, key=lambda entry: entry[0])))
