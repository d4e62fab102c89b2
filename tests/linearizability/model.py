"""The sequential model: what the emulator's twins do, one call after another, on keyspaces that never change."""

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
    """A moment of the store: the time, and every key with what it holds and when it goes."""

    now: int
    keys: Frozen = ()


class Wait(NamedTuple):
    """Time passes: a step of its own, taken by a process like any other."""

    ms: int


Step = Call | Wait


def perform(state: State, step: Step) -> tuple[State, Any]:
    """The state after a step, and its result."""
    if isinstance(step, Wait):
        now = state.now + step.ms
        return _frozen(_keyspace(State(now, state.keys))), now
    space = _keyspace(state)
    reply = TWINS[step.operation.name](space, step.keys, step.argv)
    return _frozen(space), comparable(step, reply)


def comparable(step: Step, reply: Any) -> Any:
    """A result as it is compared: fields of a hash have no order, and pickles have no views."""
    if isinstance(step, Call) and step.operation.name == operations.READ.name and reply[0] == OK:
        return (OK, tuple(sorted(zip(reply[1][::2], reply[1][1::2], strict=True))), *map(tuple, reply[2:]))
    return reply if isinstance(step, Wait) else tuple(tuple(part) if isinstance(part, list) else part for part in reply)


def _keyspace(state: State) -> Keyspace:
    space = Keyspace(ManualClock(state.now))
    for key, held, moment in state.keys:
        if isinstance(held, frozenset):
            assert moment is not None, "a session without an end"
            space.load(key, dict(held), moment)
        else:
            space.load_set(key, held, moment)
    space.tick()
    return space


def _frozen(space: Keyspace) -> State:
    found = space.snapshot().items()
    held = ((key, frozenset(of.items()) if isinstance(of, dict) else tuple(of), moment) for key, (of, moment) in found)
    return State(space.now, tuple(sorted(held, key=lambda entry: entry[0])))
