"""The sequential model for the sessions of a user: creation, rotation, login, deletion, list, and revocation.

A list and a revocation read several keys, one after another. So they are not atomic for all sessions of a user, but for
each session by itself. A revocation deletes each session at some time between its beginning and its end, and perhaps
once more if the session is created again meanwhile. A list names each session under the id that it has at some such
time. While a session is rotated or moved, a list may name it under both ids, each of which it has at some time. A
move first creates a copy, and until it has deleted the old session, several lists may name both. The model therefore
follows each session separately: the histories of different sessions have no influence on each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from chuk_sessions import session_hash
from tests.linearizability.checker import Event, linearizable

USER = "alice"
ROTATED = "rotated"


class UserStep(NamedTuple):
    """A call of a method of SessionManager.

    Attributes:
        name: a method of `Model`.
        session_id: the id that it is called with; of a list, the id that it names. Empty for no id.
        new_id: the id that a rotation or login leads to, if it does.

    """

    name: str
    session_id: str = ""
    new_id: str = ""


class Model(NamedTuple):
    """The state of one session, under all ids that it has had. At most one of them is current.

    Attributes:
        current: the id; empty for a session that does not exist.
        owner: its user; empty for a guest.
        pointers: pairs of an old id in its grace period, which does not end in a history, and the next id.
        copy: the id of the copy that a move has created, until the move is complete; empty for none.

    """

    current: str = ""
    owner: str = ""
    pointers: frozenset[tuple[str, str]] = frozenset()
    copy: str = ""

    def resolve(self, session_id: str) -> str:
        """Return the id that an id leads to."""
        following = dict(self.pointers)
        while session_id in following:
            session_id = following[session_id]
        return session_id

    def is_alive(self, session_id: str) -> bool:
        """Return whether an id is valid."""
        return self.current != "" and self.resolve(session_id) == self.current

    def without(self, session_id: str) -> frozenset[tuple[str, str]]:
        """Return the pointers without the one under an id."""
        return frozenset(pair for pair in self.pointers if pair[0] != session_id)

    def allocate(self, step: UserStep) -> tuple[Model, Any]:
        """Create the session of a user under a chosen id, or touch it."""
        if self.is_alive(step.session_id):
            return self, True
        return Model(step.session_id, USER, self.without(step.session_id)), True

    def remove_pointer(self, step: UserStep) -> tuple[Model, Any]:
        """Remove the pointer of an old id, if the session that it leads to has ended."""
        return (self if self.is_alive(step.session_id) else self._replace(pointers=self.without(step.session_id))), True

    def start_move(self, step: UserStep) -> tuple[Model, Any]:
        """Create the copy of a session that will replace it."""
        return (self._replace(copy=step.new_id) if self.is_alive(step.session_id) else self), True

    def create_guest(self, step: UserStep) -> tuple[Model, Any]:
        """Create a session without a user."""
        return Model(step.session_id), True

    def rotate(self, step: UserStep) -> tuple[Model, Any]:
        """Give the session a new id. The old one stays valid."""
        if step.session_id in dict(self.pointers):
            return self, ROTATED
        if not self.is_alive(step.session_id):
            return self, False
        return Model(step.new_id, self.owner, self.pointers | {(step.session_id, step.new_id)}), True

    def log_in(self, step: UserStep) -> tuple[Model, Any]:
        """Give the session of a guest to the user, under a new id."""
        alive = self.is_alive(step.session_id)
        return (Model(step.new_id, USER, self.pointers), True) if alive else (self, False)

    def delete(self, step: UserStep) -> tuple[Model, Any]:
        """Delete the session, under an old id too."""
        alive, pointers = self.is_alive(step.session_id), self.without(step.session_id)
        return (Model(pointers=pointers), True) if alive else (self._replace(pointers=pointers), False)

    def validate(self, step: UserStep) -> tuple[Model, Any]:
        """Return whether the id is valid."""
        return self, self.is_alive(step.session_id)

    def revoke(self, _: UserStep) -> tuple[Model, Any]:
        """Delete the session if it belongs to the user."""
        return (Model(pointers=self.pointers) if self.owner == USER else self), True

    def list(self, step: UserStep) -> tuple[Model, Any]:
        """Return whether a list of the user's sessions names the id; without one, whether it names none."""
        listed = self.current if self.owner == USER else ""
        return self, step.session_id == listed or (self.copy != "" and step.session_id == self.copy)


def perform(state: Model, step: UserStep) -> tuple[Model, Any]:
    """Return the state after a step, and its result."""
    after: tuple[Model, Any] = getattr(state, step.name)(step)
    return after


def explain(history: Sequence[Event], *, retried: bool = False) -> list[Event] | None:
    """Return the events of a session that no order explains; None if every session can be explained.

    With `retried`, the lost attempt of a creation may have taken effect, too.
    """
    for session_ids in _sessions(history):
        events = list(_events_of(history, session_ids, retried))
        if not linearizable(events, Model(), perform):
            return events
    return None


def _sessions(history: Sequence[Event]) -> Iterator[frozenset[str]]:
    """Yield the ids of each session: those that rotations and logins connect."""
    groups: dict[str, set[str]] = {}
    for step in (event.step for event in history if event.step.session_id):
        merged = groups.get(step.session_id, {step.session_id}) | groups.get(step.new_id, set())
        merged |= {step.new_id} if step.new_id else set()
        groups.update(dict.fromkeys(merged, merged))
    return iter({frozenset(group) for group in groups.values()})


def _events_of(history: Sequence[Event], session_ids: frozenset[str], retried: bool) -> Iterator[Event]:
    """Yield the events that concern a session.

    A list becomes one event for each id of the session that it names. A revocation becomes one event, and another one
    for each creation meanwhile. The creation of a session under an old id becomes two: it first removes the pointer.
    """
    old_ids = {one.step.session_id for one in history if one.step.new_id}
    creations = [one for one in history if one.step.name == "allocate" and one.step.session_id in session_ids]
    for event in history:
        if event.step.name == "list":
            named = [one for one in session_ids if session_hash(one) in event.result]
            yield from (replace(event, step=UserStep("list", one), result=True) for one in named or [""])
        elif event.step.name == "revoke":
            meanwhile = [one for one in creations if one.began < event.ended and one.ended > event.began]
            yield from [event] * (1 + len(meanwhile))
        elif event.step.session_id in session_ids:
            if event.step.name == "allocate" and event.step.session_id in old_ids:
                yield replace(event, step=event.step._replace(name="remove_pointer"))
            if event.step.name == "allocate" and retried and event.result is True:
                yield replace(event, optional=True)
            if event.step.new_id:
                yield replace(event, step=event.step._replace(name="start_move"), result=True, optional=True)
            yield event
