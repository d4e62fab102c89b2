"""A Redis-native session engine: every change of a session is one atomic script on the server.

An emulator gives the same results without a server.
"""

from __future__ import annotations

from .api import get_session, session
from .cache import LocalCache
from .core.ids import session_hash
from .enums import ABSENT, AllocateMode, ProviderType, SessionStatus, WhenFull
from .exceptions import (
    CorruptRecordError,
    EncryptedValueError,
    GrantLimitError,
    InvalidMetadataError,
    KeyUnavailableError,
    ListFullError,
    ManagerClosedError,
    MetadataConflictError,
    MetadataTooLargeError,
    NotACounterError,
    NotAListError,
    NotReplicatedError,
    NotSupportedError,
    OutcomeUnknownError,
    ProviderError,
    RevocationIncompleteError,
    SessionConflictError,
    SessionError,
    SessionExistsError,
    SessionLimitError,
    SessionOwnerError,
    SessionRotatedError,
    SessionTimeoutError,
    SessionTooLargeError,
    SessionUnavailableError,
    StoreFullError,
    VersionConflictError,
)
from .models import (
    CachedSession,
    Health,
    Increment,
    ListedGrant,
    ListedSession,
    RateLimit,
    ResolvedGrant,
    SessionMetadata,
    Transformed,
)
from .provider_factory import factory_for_env
from .session_manager import SessionManager

__version__ = "1.0.0.dev0"

__all__ = [
    "ABSENT",
    "AllocateMode",
    "CachedSession",
    "CorruptRecordError",
    "EncryptedValueError",
    "GrantLimitError",
    "Health",
    "Increment",
    "InvalidMetadataError",
    "KeyUnavailableError",
    "ListFullError",
    "ListedGrant",
    "ListedSession",
    "LocalCache",
    "ManagerClosedError",
    "MetadataConflictError",
    "MetadataTooLargeError",
    "NotACounterError",
    "NotAListError",
    "NotReplicatedError",
    "NotSupportedError",
    "OutcomeUnknownError",
    "ProviderError",
    "ProviderType",
    "RateLimit",
    "ResolvedGrant",
    "RevocationIncompleteError",
    "SessionConflictError",
    "SessionError",
    "SessionExistsError",
    "SessionLimitError",
    "SessionManager",
    "SessionMetadata",
    "SessionOwnerError",
    "SessionRotatedError",
    "SessionStatus",
    "SessionTimeoutError",
    "SessionTooLargeError",
    "SessionUnavailableError",
    "StoreFullError",
    "Transformed",
    "VersionConflictError",
    "WhenFull",
    "__version__",
    "factory_for_env",
    "get_session",
    "session",
    "session_hash",
]
