"""Outcomes of calls whose caller cannot repeat them: a repeat would be another change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import exceptions as errors


@contextmanager
def unknown_after_lost_reply() -> Iterator[None]:
    """Raise OutcomeUnknownError instead of SessionUnavailableError if a reply was lost before.

    Some calls can be retried only under the id that they got here: an operation id, or the new id of a session. When
    the retries have ended, an attempt may have been applied, and a repeat by the caller would be applied, too.
    """
    try:
        yield
    except errors.SessionUnavailableError as error:
        if not error.reply_lost:
            raise
        raise errors.OutcomeUnknownError(f"a reply was lost, and then: {error}") from error
