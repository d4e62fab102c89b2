"""Threads of the operating system, and locks to wait with, also where gevent has replaced those of Python."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol


class WaitLock(Protocol):
    """A held lock. One caller at a time acquires it, in order to wait until another thread releases it."""

    def acquire(self) -> object:
        """Wait for a release."""

    def release(self) -> object:
        """Let the waiting caller continue, or the next one that acquires the lock."""


class EventLock:
    """A lock that is an eventfd.

    A thread that is woken by a lock of Python at once competes for the interpreter with the thread that woke it, which
    costs two switches between them. The system call that releases this lock lets go of the interpreter first.
    """

    __slots__ = ("_eventfd",)

    def __init__(self) -> None:
        self._eventfd = os.eventfd(0)

    def acquire(self) -> None:
        """Wait for a release. Signal handlers run meanwhile, and their exceptions propagate."""
        os.read(self._eventfd, 8)

    def release(self) -> None:
        """Let the waiting thread continue."""
        os.eventfd_write(self._eventfd, 1)

    def release_after_fork(self) -> None:
        """Release the lock in a forked child, but not in the parent, which shares the eventfd."""
        released = os.eventfd(1)
        os.dup2(released, self._eventfd, inheritable=False)
        os.close(released)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # Only here, so that a late release cannot write to another file.
        if hasattr(self, "_eventfd"):
            close(self._eventfd)


def gevent_is_active() -> bool:
    """Return whether gevent has replaced threads by greenlets (`gevent.monkey.patch_all`)."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")


def original(module: str, name: str) -> Any:
    """Return what a module of the standard library defines under that name, without gevent's replacement."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(import_module(module), name) if monkey is None else monkey.get_original(module, name)


def new_wait_lock() -> WaitLock:
    """Return a lock to wait with. With gevent, other greenlets run meanwhile."""
    if gevent_is_active():
        from .gevent_support import HubLock  # noqa: PLC0415  (gevent is optional)

        return HubLock()
    if hasattr(os, "eventfd"):
        try:
            return EventLock()
        except OSError:
            pass  # The process has no more file descriptors.
    lock = threading.Lock()
    lock.acquire()
    return lock


def release_after_fork(lock: WaitLock) -> None:
    """Release a lock in a forked child."""
    if isinstance(lock, EventLock):
        lock.release_after_fork()
    else:
        lock.release()


def start_daemon(function: Callable[[], object]) -> None:
    """Run a function in a thread that the interpreter does not wait for when it exits."""
    if gevent_is_active():
        from gevent import get_hub  # noqa: PLC0415  (gevent is optional)

        # Otherwise two threads may import parts of gevent for their hubs at the same time, which can deadlock.
        get_hub()
        original("_thread", "start_new_thread")(function, ())
    else:
        threading.Thread(target=function, name="chuk-sessions", daemon=True).start()
