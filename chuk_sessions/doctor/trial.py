"""The trial session: the doctor creates, uses, and deletes a session of its own on each primary.

It lives in a sandbox that no application has, for at most a minute, and shows that scripts load and run, that the user
has the rights for them, and that the server takes writes. User data is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ..backends.base import Backend
from ..core import ids, index_operations, keys, operations, statuses
from ..core.keys import SessionKeys
from ..core.operation import Call
from ..exceptions import NotSupportedError, SessionError
from .case import Case, Trial
from .facts import Facts
from .finding import Verdict, ok, problem
from .rights import TRIAL_SANDBOX

_OWNER = "doctor"
_TTL_MS, _RETENTION_MS = 60_000, 1_000


async def run(backend: Backend, bucket: int, *, writes: bool) -> Trial:
    """Run the trial session in a bucket, and remove all that it leaves. Without `writes`, only read from it."""
    trial = Trial(writes=writes)
    old, new = (keys.session_keys(TRIAL_SANDBOX, ids.new_id(_OWNER, bucket)) for _ in range(2))
    for call in _calls(old, new) if writes else _reads(old):
        try:
            statuses.check(call.operation, await backend.run(call))
        except NotSupportedError:
            continue  # a custom provider has no index
        except (SessionError, ValueError) as error:
            trial.failed, trial.reason = call.operation.name, str(error)
            break
        trial.steps.append(call.operation.name)
    if writes and trial.steps:
        for call in (
            operations.delete(new),
            operations.delete(old),
            index_operations.sweep(old.index_keys, TRIAL_SANDBOX),
        ):
            with suppress(SessionError):  # the session expires within a minute, and a sweep removes its index entry
                await backend.run(call)
    return trial


def _reads(target: SessionKeys) -> Iterator[Call]:
    yield operations.validate(target, 0, _RETENTION_MS, False)
    yield operations.read(target)
    yield index_operations.list_(target.index_keys, user=ids.user_hash(_OWNER), limit=1)


def _calls(old: SessionKeys, new: SessionKeys) -> Iterator[Call]:
    yield operations.allocate(
        old,
        TRIAL_SANDBOX,
        ttl_ms=_TTL_MS,
        idle_ms=0,
        owner=_OWNER.encode(),
        user=ids.user_hash(_OWNER),
        cap=0,
        retention_ms=_RETENTION_MS,
        create=True,
    )
    yield from _reads(old)
    yield operations.extend(old, additional_ms=1_000, operation_id=b"chuk-doctor", retention_ms=_RETENTION_MS)
    yield operations.rotate(old, new, grace_ms=0)
    yield operations.delete(new)


def scripts(server: Facts, case: Case) -> Iterator[Verdict]:
    """Check that scripts load and run, and that the server takes writes."""
    trial = case.trials.get(server.server.address)
    if trial is not None:
        yield verdict(trial)


def verdict(trial: Trial) -> Verdict:
    """Return the verdict on a trial session."""
    if trial.failed:
        return problem(
            f"the trial session failed: {trial.reason}",
            "Calls of the application fail in the same way. The other findings about this server usually name the "
            "cause: rights, full memory, a failed save, or too few replicas. docs/reliability.md explains the error.",
        )
    done = "created, used, and deleted" if trial.writes else "not created, because nothing may be written, but read"
    return ok(f"scripts load and run: a trial session was {done} ({', '.join(trial.steps)})")
