"""Errors that the library raises.

SessionError
├── ProviderError                  the store failed, not the session
│   ├── SessionUnavailableError    unreachable, not ready, or refuses the login; not applied, or safe to repeat
│   │   └── SessionTimeoutError    no reply in time; not applied, or safe to repeat
│   ├── OutcomeUnknownError        the reply was lost: the change may have been applied
│   │   └── NotReplicatedError     applied, but too few replicas acknowledged it: a failover may undo it
│   ├── RevocationIncompleteError  parts of the store did not reply: the user may have sessions left there
│   ├── StoreFullError             the server is at its memory limit; nothing was applied
│   ├── CorruptRecordError         the stored value is not a session record of this library
│   ├── KeyUnavailableError        the record is encrypted under a key that is not available here
│   └── NotSupportedError          this kind of provider cannot do that
├── SessionConflictError           the session is not what the caller assumes; nothing was applied
│   ├── SessionExistsError         there is one with that id already
│   ├── SessionOwnerError          it belongs to another user
│   ├── VersionConflictError       it has changed; `version` is the current one
│   ├── SessionRotatedError        its id has already been replaced
│   ├── SessionLimitError          the user has as many sessions as allowed
│   ├── GrantLimitError            the session has as many grants as allowed
│   ├── SessionTooLargeError       with the change, it would be larger than the limit
│   ├── MetadataConflictError      values have changed; `keys` names them
│   ├── NotACounterError           the value to increment is not a whole number within ±(2^53 − 1)
│   ├── NotAListError              the value to append to is not a list
│   ├── ListFullError              with the items to append, the list would be larger than `max_bytes`
│   └── EncryptedValueError        the value to increment or to append to is encrypted
├── InvalidMetadataError           also a ValueError: JSON cannot represent it exactly
│   └── MetadataTooLargeError      it is larger than the limit
└── ManagerClosedError             the manager was closed

The library never reports an outage as False or None, which mean that the session does not exist. An invalid argument
raises a plain ValueError. No error message contains a password or a whole session id.
"""

from __future__ import annotations

from typing import Any


class SessionError(Exception):
    """Base class of all errors of this library."""


class ProviderError(SessionError):
    """An error of the store, not of the session."""


class SessionUnavailableError(ProviderError):
    """The store is unreachable, not ready, or refuses the login.

    The call was not applied, or repeating it is harmless.

    Attributes:
        reply_lost: whether an attempt may have been applied, because its reply was lost, for internal use.

    """

    reply_lost = False


class SessionTimeoutError(SessionUnavailableError):
    """The store did not reply in time.

    The call was not applied, or repeating it is harmless.
    """


class OutcomeUnknownError(ProviderError):
    """The reply was lost: the change may or may not have been applied.

    Read the session before you repeat the change.

    Attributes:
        session_id: of the session that the call may have created or rotated, if the caller does not know the id;
            otherwise None, and a session that was to be rotated is still under its id, if that can be known.

    """

    session_id: str | None = None

    def may_be_applied(self, *_: int) -> bool:
        """Return whether the change may have been applied, for internal use."""
        return True


class NotReplicatedError(OutcomeUnknownError):
    """The primary has applied the change, but too few replicas have acknowledged it: a failover may undo it.

    Attributes:
        reply: the primary's reply to the change, for internal use.

    """

    def __init__(self, message: str, reply: Any = None) -> None:
        super().__init__(message)
        self.reply = reply if isinstance(reply, list) else [reply]

    def may_be_applied(self, *statuses: int) -> bool:
        """Return whether the primary's reply has one of these statuses, for internal use."""
        return self.reply[0] in statuses


class RevocationIncompleteError(ProviderError):
    """Parts of the store did not reply while a user's sessions were revoked, so sessions may be left there.

    All other sessions of the user were deleted. It is safe to revoke again.

    Attributes:
        revoked: number of sessions that were deleted.
        buckets: numbers (0 to 255) of the buckets that did not reply.

    """

    def __init__(self, message: str, revoked: int, buckets: tuple[int, ...]) -> None:
        super().__init__(message, revoked, buckets)
        self.revoked = revoked
        self.buckets = buckets

    def __str__(self) -> str:
        return str(self.args[0])


class StoreFullError(ProviderError):
    """The server is at its memory limit and refused to store more. Nothing was applied."""


class CorruptRecordError(ProviderError):
    """The value stored under the session's key is not a record of this library, or a single value is not UTF-8 text."""


class KeyUnavailableError(ProviderError):
    """The record, or a value in it, is encrypted under a key that is not available here.

    The record is not damaged. Give the process the key, and read it again. A manager that requires encryption also
    raises this for a record that is not encrypted.
    """


class NotSupportedError(ProviderError):
    """This kind of store cannot do that. A custom provider, for example, has no index."""


class SessionConflictError(SessionError):
    """The session is not what the caller assumes. Nothing was applied."""


class SessionExistsError(SessionConflictError):
    """There is a live session with the id that was to be created."""


class SessionOwnerError(SessionConflictError):
    """The session belongs to another user."""


class VersionConflictError(SessionConflictError):
    """The session has changed since the expected version.

    Attributes:
        version: the current version.

    """

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message, version)
        self.version = version

    def __str__(self) -> str:
        return str(self.args[0])


class MetadataConflictError(SessionConflictError):
    """The metadata does not have the expected values.

    Attributes:
        keys: the keys whose values are different.

    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(keys)
        self.keys = keys

    def __str__(self) -> str:
        return f"the session's metadata has other values than expected under {list(self.keys)}"


class SessionRotatedError(SessionConflictError):
    """The id has already been replaced.

    The error does not contain the new id, because the holder of the old one must not learn it.
    """


class SessionLimitError(SessionConflictError):
    """The user has as many sessions as allowed."""


class GrantLimitError(SessionConflictError):
    """The session has as many grants as allowed."""


class SessionTooLargeError(SessionConflictError):
    """The session would be larger than the manager's `max_session_bytes`."""


class NotACounterError(SessionConflictError):
    """The value to increment is not a whole number within ±(2^53 − 1), or would leave that range."""


class NotAListError(SessionConflictError):
    """The value to append to is not a list."""


class ListFullError(SessionConflictError):
    """The list would be larger than the `max_bytes` of the call."""


class EncryptedValueError(SessionConflictError):
    """The value to increment, or to append to, is encrypted, so the store cannot change it; see `plain_keys`."""


class InvalidMetadataError(SessionError, ValueError):
    """JSON cannot represent the metadata exactly."""


class MetadataTooLargeError(InvalidMetadataError):
    """The metadata is larger than the manager's `max_metadata_bytes`."""


class ManagerClosedError(SessionError):
    """The manager was closed and can no longer be used."""


__all__ = [
    "CorruptRecordError",
    "EncryptedValueError",
    "GrantLimitError",
    "InvalidMetadataError",
    "KeyUnavailableError",
    "ListFullError",
    "ManagerClosedError",
    "MetadataConflictError",
    "MetadataTooLargeError",
    "NotACounterError",
    "NotAListError",
    "NotReplicatedError",
    "NotSupportedError",
    "OutcomeUnknownError",
    "ProviderError",
    "RevocationIncompleteError",
    "SessionConflictError",
    "SessionError",
    "SessionExistsError",
    "SessionLimitError",
    "SessionOwnerError",
    "SessionRotatedError",
    "SessionTimeoutError",
    "SessionTooLargeError",
    "SessionUnavailableError",
    "StoreFullError",
    "VersionConflictError",
]
