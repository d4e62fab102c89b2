"""The write hook: tells listeners in this process which records a write may have changed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .keys import records_among
from .operation import Call

logger = logging.getLogger(__package__)

Listener = Callable[[tuple[str, ...], Call], object]
"""Takes the keys of the records that a call may have changed, and the call."""


class _Registration:
    """A listener, and whether it has raised an error before."""

    __slots__ = ("failed", "listener")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.failed = False


class WriteHook:
    """The listeners to the writes on one store, or on all stores that this process cannot tell apart.

    A backend reports each call that is not read-only when it has completed, failed, or been canceled, and before its
    caller gets the result. Listeners therefore hear the writes of all managers in this process, whichever of the
    backends that share the hook they use. They hear nothing from other processes.

    - A report says that records may have changed, not that they have: a `validate` within the touch interval writes
      nothing, and a failed or canceled write may still reach the server later. The call tells operations apart.
    - A call that was sent again under another id is reported once for each call that was sent, with those that undo
      lost attempts. Records that the store itself removes when they expire are not reported. Neither are the calls that
      name no record, such as the first one of a sweep.
    - Listeners run in the thread and event loop of the caller, in its task. They may run in several threads at once, so
      they must be safe for threads, fast, and never wait. If a loop is closed with calls in flight, they run in
      whichever thread discards those calls.
    - An exception of a listener is logged once and ignored.

    Attributes:
        listeners: the registrations. Without any, a backend need not report.

    """

    __slots__ = ("_changed", "listeners")

    def __init__(self, changed: Callable[[], object] | None = None) -> None:
        """Create a hook without listeners. `changed` is called after each change of `listeners`."""
        self._changed = changed or (lambda: None)
        # Adding, removing, and copying are single operations of a built-in set, so no lock is needed.
        self.listeners: set[_Registration] = set()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Report writes to `listener` until the returned function is called, including those that are in flight now."""
        registration = _Registration(listener)
        self.listeners.add(registration)
        self._changed()

        def remove() -> None:
            self.listeners.discard(registration)
            self._changed()

        return remove

    def report(self, call: Call) -> None:
        """Tell all listeners that a call is over, unless it is read-only."""
        if not self.listeners or call.operation.read_only:
            return
        records = records_among(call.keys)
        if not records:
            return
        for registration in self.listeners.copy():
            try:
                registration.listener(records, call)
            except Exception:
                if not registration.failed:
                    registration.failed = True
                    logger.exception("a listener to writes failed; its further errors are not logged")
