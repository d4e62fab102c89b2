"""Durable events of sessions: readers, in asynchronous and in synchronous code."""

from __future__ import annotations

from ..core.ids import session_hash
from .blocking import SyncSessionEvents
from .progress import EventReaders, ReaderProgress
from .readers import SessionEvents
from .session_event import SessionEvent

__all__ = [
    "EventReaders",
    "ReaderProgress",
    "SessionEvent",
    "SessionEvents",
    "SyncSessionEvents",
    "session_hash",
]
