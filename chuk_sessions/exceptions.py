"""Every error the library raises of its own.

SessionError
├── ProviderError                  the store, not the session, is the trouble
│   ├── SessionUnavailableError    not reachable, not ready, or refuses us; nothing was applied, or a repeat is harmless
│   │   └── SessionTimeoutError    no answer in time; nothing was applied, or applying it twice is harmless
│   ├── OutcomeUnknownError        the answer was lost: the change may or may not have been applied
│   │   └── NotReplicatedError     applied, but on fewer replicas than asked for: a failover may undo it
│   ├── RevocationIncompleteError  parts of the store did not answer: sessions of the user may be left there
│   ├── StoreFullError             the server is at its memory limit; nothing was applied
│   ├── CorruptRecordError         what is stored is not a session record of this library
│   └── NotSupportedError          this kind of provider cannot do that
├── SessionConflictError           the session is not as the caller takes it to be; nothing was applied
│   ├── SessionOwnerError          it belongs to another user
│   ├── VersionConflictError       it was changed in between (`version` is the present one)
│   ├── SessionRotatedError        its id has been replaced already
│   ├── SessionLimitError          the user has as many sessions as allowed
│   ├── SessionTooLargeError       the change would make it larger than the configured bound
│   └── NotACounterError           the value to increment is not a whole number within ±(2^53 − 1)
├── InvalidMetadataError           also a ValueError: JSON cannot carry it exactly
│   └── MetadataTooLargeError      it is larger than the configured bound
└── ManagerClosedError             the manager was closed

An outage is never answered with False or None: those mean that the session is not there. Malformed arguments are a
plain ValueError. No message holds a password or a whole session id.
"""

from __future__ import annotations

from typing import Any


class SessionError(Exception):
    """Base of all errors of this library."""


class ProviderError(SessionError):
    """The store is the trouble."""


class SessionUnavailableError(ProviderError):
    """The store cannot be reached or is not ready. Nothing was applied, or applying it twice is harmless."""


class SessionTimeoutError(SessionUnavailableError):
    """The store did not answer in time. Nothing was applied, or repeating is harmless."""


class OutcomeUnknownError(ProviderError):
    """The answer was lost on the way: the change may or may not have been applied. Read before you repeat it."""


class NotReplicatedError(OutcomeUnknownError):
    """The primary has applied the change, but fewer replicas than asked for have it: a failover may undo it.

    Attributes:
        reply: the primary's reply to the change, for this library's own use.

    """

    def __init__(self, message: str, reply: Any = None) -> None:
        super().__init__(message)
        self.reply = reply if isinstance(reply, list) else [reply]


class RevocationIncompleteError(ProviderError):
    """Parts of the store did not answer while a user's sessions were revoked: sessions may be left there. All others
    were deleted; revoking again is safe.

    Attributes:
        revoked: how many sessions were deleted.
        buckets: numbers of the buckets, of 256, that did not answer.

    """

    def __init__(self, message: str, revoked: int, buckets: tuple[int, ...]) -> None:
        super().__init__(message, revoked, buckets)
        self.revoked = revoked
        self.buckets = buckets

    def __str__(self) -> str:
        return str(self.args[0])


class StoreFullError(ProviderError):
    """The server is at its memory limit and refused to grow. Nothing was applied."""


class CorruptRecordError(ProviderError):
    """What is stored under the session's key is not a record of this library."""


class NotSupportedError(ProviderError):
    """This provider cannot do that: it knows single keys only."""


class SessionConflictError(SessionError):
    """The session is not as the caller takes it to be. Nothing was applied."""


class SessionOwnerError(SessionConflictError):
    """The session belongs to another user."""


class VersionConflictError(SessionConflictError):
    """The session was changed since the expected version.

    Attributes:
        version: the present version.

    """

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message, version)
        self.version = version

    def __str__(self) -> str:
        return str(self.args[0])


class SessionRotatedError(SessionConflictError):
    """The id has been replaced by a new one, which whoever holds the old one must not learn."""


class SessionLimitError(SessionConflictError):
    """The user has as many sessions as allowed."""


class SessionTooLargeError(SessionConflictError):
    """The change would make the session larger than the manager's `max_session_bytes`."""


class NotACounterError(SessionConflictError):
    """The value to increment is not a whole number within ±(2^53 − 1), or would leave that range."""


class InvalidMetadataError(SessionError, ValueError):
    """The metadata cannot be carried by JSON exactly."""


class MetadataTooLargeError(InvalidMetadataError):
    """The metadata is larger than the manager's `max_metadata_bytes`."""


class ManagerClosedError(SessionError):
    """The manager was closed and does not work any more."""


__all__ = [
    "CorruptRecordError",
    "InvalidMetadataError",
    "ManagerClosedError",
    "MetadataTooLargeError",
    "NotACounterError",
    "NotReplicatedError",
    "NotSupportedError",
    "OutcomeUnknownError",
    "ProviderError",
    "RevocationIncompleteError",
    "SessionConflictError",
    "SessionError",
    "SessionLimitError",
    "SessionOwnerError",
    "SessionRotatedError",
    "SessionTimeoutError",
    "SessionTooLargeError",
    "SessionUnavailableError",
    "StoreFullError",
    "VersionConflictError",
]
