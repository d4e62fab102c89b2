"""Bulk migration: copies all sessions of a source, compares them, and removes those from the source that were copied.

It can be killed at any point and run again. Other processes may use the target meanwhile, and the source, too: another
run brings the sessions up to date that have changed at the source and not here.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from .. import exceptions as errors
from ..backends.base import MOVING
from ..core import adoption, grants, rate_limits
from ..core import statuses as s
from ..core.adoption import IF_UNCHANGED
from ..core.record import Record
from .outcomes import Outcome, Report
from .own_format import SandboxSource
from .source import Found, Part, ReadsAll, SourceSession, Unreadable
from .state import State
from .target import Target

T = TypeVar("T")

_CONCURRENT_PARTS: Final = 8
_PAUSE: Final = 0.5
_OUTCOMES: Final = {
    s.CREATED: Outcome.ADOPTED,
    s.OK: Outcome.UPDATED,
    s.EXISTS: Outcome.PRESENT,
    s.MOVED: Outcome.PRESENT,
}
_REMOVED: Final = (Outcome.EQUAL, Outcome.CHANGED, Outcome.ENDED)
"""A store removes what has expired itself, by its own clock."""


class Migration:
    """A migration from a source to a target."""

    def __init__(
        self,
        source: ReadsAll,
        target: Target,
        *,
        state: State | None = None,
        on_progress: Callable[[int], object] = lambda _: None,
        patience: float = 60.0,
    ) -> None:
        """Create a migration; nothing is sent.

        Args:
            source: a PublishedSource, a SandboxSource, or a FileSource.
            target: the store to copy to.
            state: checkpoints that survive the process.
            on_progress: called with the number of sessions that were read since the last call.
            patience: for how many seconds a store may be unreachable, as in a failover, before an error is raised.

        """
        self._source = source
        self._target = target
        self._state = state or State()
        self._on_progress = on_progress
        self._patience = patience
        self._is_checked = False

    async def copy(self) -> Report:
        """Copy all sessions with their times. Sessions that have ended in the target stay ended.

        A session that was copied before is brought up to date if it has changed at the source and not in the target.

        Raises:
            SessionUnavailableError: a store was unreachable for too long. Another run goes on from there.
            ProviderError: another error of a store.
            ValueError: source and target are the same.

        """
        report = await self._walk(self._copy_one, self._state)
        self._state.restart()
        return report

    async def compare(self, *, remove: bool = False) -> Report:
        """Compare every field and time of each session. With `remove`, then remove it from the source, unless it is
        missing in the target, differs, or has changed at the source meanwhile.

        Without `copy`, this tells what a copy would do: it would adopt the sessions that are missing. Raises what
        `copy` raises.
        """

        async def compare_one(found: SourceSession) -> Outcome:
            outcome = await self._compare_one(found)
            if not remove or outcome not in _REMOVED:
                return outcome
            return Outcome.REMOVED if await self._source.remove(found) else Outcome.LEFT

        return await self._walk(compare_one, State(), writes=remove)

    async def _check(self) -> None:
        """Raise ValueError if the source is the target: a removal would remove the only copies."""
        if not self._is_checked and isinstance(self._source, SandboxSource):
            if await self._target.contains(self._source.executor):
                raise ValueError("source and target are the same sandbox of the same store")
            self._is_checked = True

    async def _walk(
        self, visit: Callable[[SourceSession], Awaitable[Outcome]], state: State, *, writes: bool = True
    ) -> Report:
        """Visit all sessions. Parts whose layout changes meanwhile are read again."""
        report = Report(Counter({Outcome(name): number for name, number in state.counts.items()}))
        give_up = time.monotonic() + self._patience
        while True:
            before = report.total
            try:
                if writes:
                    await self._check()
                parts = await self._source.parts()
                todo = state.begin(parts)
                is_moving = any(MOVING in part.layout for part in parts)
                if not todo and not is_moving:
                    return report
                await self._walk_parts(todo, visit, state, report)
                if report.total > before or not is_moving:
                    give_up = time.monotonic() + self._patience
                    continue
                error: errors.SessionError = errors.SessionConflictError(
                    "slots of the source keep moving; run it again"
                )
            except errors.SessionUnavailableError as unavailable:
                error = unavailable
                if report.total > before:
                    give_up = time.monotonic() + self._patience
            if time.monotonic() > give_up:
                raise error
            await asyncio.sleep(_PAUSE)

    async def _walk_parts(
        self, parts: Sequence[Part], visit: Callable[[SourceSession], Awaitable[Outcome]], state: State, report: Report
    ) -> None:
        unread = iter(parts)

        async def work() -> None:
            for part in unread:
                await self._walk_part(part, visit, state, report)

        await _all([work() for _ in range(min(len(parts), _CONCURRENT_PARTS))])

    async def _walk_part(
        self, part: Part, visit: Callable[[SourceSession], Awaitable[Outcome]], state: State, report: Report
    ) -> None:
        cursor = state.cursor(part)
        while True:
            found, cursor = await part.page(cursor)
            outcomes = await _all([self._visit(each, visit) for each in found])
            for each, (outcome, reason) in zip(found, outcomes, strict=True):
                report.add(outcome, _name(each), reason)
            state.advance(part, cursor, report.counts)
            self._on_progress(len(found))
            if not cursor:
                return

    async def _visit(self, found: Found, visit: Callable[[SourceSession], Awaitable[Outcome]]) -> tuple[Outcome, str]:
        if isinstance(found, Unreadable):
            return Outcome.UNREADABLE, found.reason
        try:
            return await visit(found), ""
        except (ValueError, errors.CorruptRecordError, errors.KeyUnavailableError) as error:
            return Outcome.UNREADABLE, str(error)

    async def _copy_one(self, found: SourceSession) -> Outcome:
        status = await self._target.adopter(found.sandbox_id).adopt(found, IF_UNCHANGED)
        return _OUTCOMES.get(status) or (Outcome.EXPIRED if _is_over(found) else Outcome.ENDED)

    async def _compare_one(self, found: SourceSession) -> Outcome:
        adopter = self._target.adopter(found.sandbox_id)
        target = adopter.target(found)
        adopter.stored(found)
        record, reply = await adopter.present(target)
        marker = await adopter.marker(target)
        if record is not None:
            return _compared(found, record, marker)
        if reply[0] == s.CORRUPT:
            return Outcome.DIFFERENT
        if adoption.was_decided(marker):
            return Outcome.ENDED
        if _is_over(found):
            return Outcome.EXPIRED
        return Outcome.ENDED if await adopter.is_revoked(found) else Outcome.MISSING


def _compared(found: SourceSession, record: Record, marker: Mapping[bytes, bytes]) -> Outcome:
    """Return the outcome for a session that is alive in the target."""
    if not adoption.is_unchanged(marker, record.fields):
        # If it was never copied, the target has another session under its id.
        return Outcome.CHANGED if adoption.was_decided(marker) else Outcome.DIFFERENT
    unlike = differences(found, record)
    if unlike == ["grants"] and adoption.is_copy_of(marker, found.fingerprint):
        # Grants do not change the version. As the source has not changed, these were given or revoked in the target.
        return Outcome.CHANGED
    return Outcome.DIFFERENT if unlike else Outcome.EQUAL


def differences(found: SourceSession, record: Record) -> list[str]:
    """Return the names of what differs between a session and its copy. An access may be later in the copy."""
    pairs: dict[str, tuple[Any, Any]] = {
        "user_id": (found.user_id, record.user_id),
        "created_at": (found.created, record.created),
        "expires_at": (found.deadline, record.deadline),
        "idle timeout": (found.idle, record.idle),
        "custom_metadata": (found.metadata, record.metadata()),
        "grants": (_grants(found.fields), _grants(record.fields)),
        "fields": (
            _others(found.fields),
            _others({name: record.fields[name] for name in found.fields if name in record.fields}),
        ),
    }
    late = ["last_accessed"] if record.accessed < found.accessed else []
    return [name for name, (one, other) in pairs.items() if one != other] + late


def _grants(fields: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in fields.items() if name.startswith(grants.PREFIX)}


def _others(fields: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return fields without grants and rate limits: requests that are counted do not change the version."""
    ignored = (rate_limits.PREFIX, grants.PREFIX)
    return {name: value for name, value in fields.items() if name != b"p" and not name.startswith(ignored)}


def _is_over(found: SourceSession) -> bool:
    return found.expiry <= time.time() * 1000


def _name(found: Found) -> str:
    if isinstance(found, Unreadable):
        return found.name
    return f"{found.bucket:02x}{found.handle.decode()}"


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """Return all results. Raises the first error, once all have finished."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return list(results)  # type: ignore[arg-type]
