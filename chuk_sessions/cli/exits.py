"""Exit codes, and the code and message for each error."""

from __future__ import annotations

from enum import IntEnum

from .. import (
    CorruptRecordError,
    KeyUnavailableError,
    NotSupportedError,
    ProviderError,
    RevocationIncompleteError,
    SessionConflictError,
    SessionError,
)


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    SUCCESS = 0
    FINDINGS = 1
    """There are findings, or only a part was done."""
    USAGE = 2
    """The command line or the environment is wrong, or a package is missing."""
    UNAVAILABLE = 3
    """The store is unreachable, refuses the login, or failed."""
    INTERRUPTED = 130
    """Ctrl-C."""
    OUTPUT_CLOSED = 141
    """The program that read the output has closed it, as `head` does."""
    TERMINATED = 143
    """SIGTERM."""


class UsageError(Exception):
    """An error in the command line or the environment. The message says what to give instead."""


_PARTIAL = (RevocationIncompleteError, CorruptRecordError, KeyUnavailableError, SessionConflictError)

_WRONG = (UsageError, NotSupportedError, ValueError, ImportError, OSError)


def code_for(error: Exception) -> ExitCode | None:
    """Return the exit code for an error, or None for one that is a defect of the program."""
    if isinstance(error, _PARTIAL):
        return ExitCode.FINDINGS
    # A provider whose package is missing raises ProviderError.
    if isinstance(error, _WRONG) or isinstance(error.__cause__, ImportError):
        return ExitCode.USAGE
    if isinstance(error, ProviderError):
        return ExitCode.UNAVAILABLE
    return ExitCode.FINDINGS if isinstance(error, SessionError) else None
