"""The emulator: a backend that runs the operations on a keyspace in this process, for tests and development."""

from .backend import MemoryBackend, shared
from .clock import Clock, ManualClock, SystemClock

__all__ = ["Clock", "ManualClock", "MemoryBackend", "SystemClock", "shared"]
