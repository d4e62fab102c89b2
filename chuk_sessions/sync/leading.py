"""Calling threads that run the event loop themselves, so that a call needs no switch between threads.

One thread at a time runs the loop: the one that holds its turn. The background thread gives the turn away while no call
is in progress, and takes it back soon after the last caller. A caller that gets it runs the loop until its own call has
ended. Calls of others meanwhile go to the inbox, as always.

The main thread does not run the loop, because signal handlers may raise exceptions there at any point.
"""

from __future__ import annotations

import asyncio
import sys
from _thread import get_ident
from collections import deque
from typing import TYPE_CHECKING, Any

from .call import AnyCoroutine, Call
from .primitives import original

if TYPE_CHECKING:
    from .background import BackgroundLoop
    from .inbox_selector import InboxSelector

_set_running_loop = asyncio._set_running_loop


class NoLock:
    """The lock of a call for which nobody waits, because the caller runs it."""

    def acquire(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""


NO_LOCK = NoLock()


def lead(background: BackgroundLoop, selector: InboxSelector, coroutine: AnyCoroutine, owner: object) -> Call:
    """Run the loop in this thread, which has the turn, until a call has ended. Give the turn up and return the call."""
    call = Call(background, coroutine, NO_LOCK, owner)
    loop: Any = background.loop
    hooks = sys.get_asyncgen_hooks()
    thread, loop._thread_id = loop._thread_id, get_ident()
    selector.is_led = selector.was_led = True
    selector.inbox.sleeping = False
    sys.set_asyncgen_hooks(firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook)
    _set_running_loop(loop)
    try:
        call.start()
        while not call.done():
            _run_ready(loop._ready)
            if call.done():
                break
            loop._run_once()
    except BaseException as failure:
        background.fail(failure)
        loop.stop()
        raise
    finally:
        _set_running_loop(None)
        sys.set_asyncgen_hooks(*hooks)
        loop._thread_id = thread
        selector.is_led = False
        # From now on, the next function wakes the background thread.
        selector.inbox.sleeping = True
        selector.turn.release()
        if selector.inbox.functions or background.calls or loop._ready or background.stopping or background.ended:
            selector.wake()
    if background.stopping and call.cancelled():
        _wait_for_the_end()
    return call


def _run_ready(ready: deque[asyncio.Handle]) -> None:
    """Run the callbacks that are ready, without asking for events. The loop does that afterwards."""
    for _ in range(len(ready)):
        handle = ready.popleft()
        if not handle._cancelled:
            handle._run()


def _wait_for_the_end() -> None:
    """Wait forever: when the interpreter exits, daemon threads keep waiting, so that they do not report an error."""
    never = original("_thread", "allocate_lock")()
    never.acquire()
    never.acquire()
