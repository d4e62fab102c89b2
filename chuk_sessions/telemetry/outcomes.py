"""Outcomes of calls, and the sessions that calls have ended."""

from __future__ import annotations

import asyncio
from typing import Final

from .. import exceptions as errors
from ..core import index_operations, operations, statuses
from ..core.event_entries import LETTERS
from ..core.operation import Arg, Call, Operation, Reply

OUTCOMES: Final = {status: name.lower() for status, name in statuses.NAMES.items()}
"""Outcomes of calls that were replied to, by status."""

OUTCOME_UNKNOWN: Final = "outcome_unknown"
ERRORS: Final = ("unavailable", "timeout", OUTCOME_UNKNOWN, "store_full", "canceled", "error")
"""Outcomes of calls that raised an exception."""


def outcomes_of(operation: Operation) -> tuple[str, ...]:
    """Return all outcomes that an operation may have."""
    return (*[OUTCOMES[status] for status in sorted(operation.statuses)], *ERRORS)


def outcome_of_error(call: Call, error: BaseException | None) -> str:
    """Return the outcome of a call that raised an exception."""
    if isinstance(error, errors.OutcomeUnknownError) or _may_be_applied(call, error):
        return OUTCOME_UNKNOWN
    if isinstance(error, errors.SessionTimeoutError):
        return "timeout"
    if isinstance(error, errors.SessionUnavailableError):
        return "unavailable"
    if isinstance(error, errors.StoreFullError):
        return "store_full"
    return "canceled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "error"


def _may_be_applied(call: Call, error: BaseException | None) -> bool:
    """Return whether the manager raises OutcomeUnknownError for this error, because its caller cannot repeat the call.

    These calls have an operation id, or the new id of a session.
    """
    operation = call.operation
    if not getattr(error, "reply_lost", False) or operation.read_only:
        return False
    return operation is operations.ROTATE or _argument(call, "operation") not in (None, b"")


def ended_by(call: Call, reply: Reply) -> tuple[str, int]:
    """Return the reason and the number of the sessions that a call has ended."""
    operation = call.operation
    if operation is operations.DELETE and reply[0] == statuses.OK:
        letter = _argument(call, "letter")
        _, reason = LETTERS.get(letter, ("", None)) if isinstance(letter, bytes) else ("", None)
        return reason or "", int(reason is not None)
    if operation is index_operations.SWEEP and len(reply) > 1:
        return "expired", int(reply[1])
    if operation is operations.ALLOCATE and reply[0] == statuses.CREATED:
        victims = _argument(call, "victims")
        return "evicted", victims if isinstance(victims, int) else 0
    return "", 0


def _argument(call: Call, name: str) -> Arg | None:
    """Return an argument of a call by its name in the script; None if it is left out."""
    operation, _, argv = call
    if name not in operation.args:
        return None
    place = operation.args.index(name)
    if "options" in operation.args and place > (options := operation.args.index("options")) and not argv[options]:
        return None
    return argv[place] if place < len(argv) else None


ENDING: Final = frozenset({operations.DELETE, index_operations.SWEEP, operations.ALLOCATE})
"""The operations that may end sessions."""

REASONS: Final = ("deleted", "revoked", "expired", "evicted", "aborted")
"""The reasons that `ended_by` returns. Only events tell idle sessions from others that have expired."""
