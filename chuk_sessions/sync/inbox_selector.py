"""The selector of the background event loop on Linux, which empties the inbox.

A function in the inbox then costs no callback of the loop, and no system call unless the loop sleeps.
"""

from __future__ import annotations

import os
import select
import selectors
from typing import TYPE_CHECKING, Any

from .inbox import Inbox
from .primitives import original

if TYPE_CHECKING:
    EpollSelector = selectors.EpollSelector
else:
    EpollSelector = original("selectors", "DefaultSelector")

Key = selectors.SelectorKey

_MAX_EVENTS = 64
"""Most files whose events are returned at once."""


class InboxSelector(EpollSelector):
    """A selector that also wakes up for an inbox, and runs its functions.

    While the loop has callbacks to run, only every other `select` queries the files.
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox
        self._functions = inbox.functions
        self._keys: dict[int, Key] = {}
        self._has_polled = True
        # A second object for the same epoll instance, because the selector's own `select` takes twice as long.
        self._epoll = original("select", "epoll").fromfd(os.dup(self.fileno()))
        # The eventfd is never closed, so that a late wake-up cannot write to another file.
        self._eventfd = os.eventfd(0)
        self._epoll.register(self._eventfd, select.EPOLLIN)

    def wake(self) -> None:
        """Wake the loop. Safe in any thread."""
        os.eventfd_write(self._eventfd, 1)

    def select(self, timeout: float | None = None) -> list[tuple[Key, int]]:
        """Wait for files and functions, and run the functions. Return the events of the files."""
        inbox = self._inbox
        if self._functions:
            timeout = 0
        elif timeout is None or timeout > 0:
            inbox.sleeping = True
            if self._functions:  # A function that is put after this check wakes the loop.
                timeout = 0
        self._has_polled = timeout != 0 or not self._has_polled
        events = self._poll(timeout) if self._has_polled else []
        inbox.sleeping = False
        if self._functions:
            inbox.run()
        return events

    def _poll(self, timeout: float | None) -> list[tuple[Key, int]]:
        events = []
        for fd, flags in self._epoll.poll(timeout, _MAX_EVENTS):
            key = self._keys.get(fd)
            if key is not None:
                readable = selectors.EVENT_READ if flags & ~select.EPOLLOUT else 0
                writable = selectors.EVENT_WRITE if flags & ~select.EPOLLIN else 0
                events.append((key, (readable | writable) & key.events))
            elif fd == self._eventfd:
                os.eventfd_read(fd)
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> Key:
        """Register a file. See `selectors.BaseSelector`, also for the next methods."""
        return self._note(super().register(fileobj, events, data))

    def modify(self, fileobj: Any, events: int, data: Any = None) -> Key:
        """Change a file's events or data."""
        return self._note(super().modify(fileobj, events, data))

    def unregister(self, fileobj: Any) -> Key:
        """Forget a file."""
        key = super().unregister(fileobj)
        self._keys.pop(key.fd, None)
        return key

    def close(self) -> None:
        """Close the epoll instance."""
        self._epoll.close()
        super().close()

    def _note(self, key: Key) -> Key:
        self._keys[key.fd] = key
        return key
