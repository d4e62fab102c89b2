"""Outcomes of calls whose caller cannot repeat them: a repeat would be another change."""

from __future__ import annotations

from types import TracebackType

from .. import exceptions as errors


class UnknownAfterLostReply:
    """A context that raises OutcomeUnknownError instead of SessionUnavailableError if a reply was lost before.

    Some calls can be retried only under the id that they got here: an operation id, or the new id of a session. When
    the retries have ended, an attempt may have been applied, and a repeat by the caller would be applied, too.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Replace the error, if it is one after a lost reply."""
        if isinstance(error, errors.SessionUnavailableError) and error.reply_lost:
            raise errors.OutcomeUnknownError(f"a reply was lost, and then: {error}") from error


# A context that a generator function creates takes five times as long.
unknown_after_lost_reply = UnknownAfterLostReply()
"""The context, which has no state."""
