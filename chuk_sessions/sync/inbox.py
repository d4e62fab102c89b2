"""The inbox of the background event loop, through which other threads hand functions to it.

On Linux, a selector empties it (`inbox_selector`). Elsewhere, a callback of the loop does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

Function = Callable[[], object]

_BATCH = 8
"""Most functions that run in a row. The loop then sends what they have written, and the server starts on it."""


class Inbox:
    """Functions that the background loop's thread is to run, in the order in which they were put.

    Attributes:
        functions: the functions that have not been run.
        sleeping: whether the next function must wake the thread.
        wake: wakes the thread, or raises an error if that is impossible.

    """

    __slots__ = ("functions", "sleeping", "wake")

    def __init__(self, wake: Function) -> None:
        self.functions: deque[Function] = deque()
        self.sleeping = True
        self.wake = wake

    def put(self, function: Function) -> None:
        """Let the thread run a function. Safe in any thread, and in a signal handler that interrupts another `put`.

        If this raises an error, the function is not run.
        """
        self.functions.append(function)
        if self.sleeping:
            # One wake-up is enough for all functions that are put until the thread is awake.
            self.sleeping = False
            try:
                self.wake()
            except BaseException:
                self.sleeping = True
                with suppress(ValueError):
                    self.functions.remove(function)
                raise

    def run(self) -> None:
        """Run some of the functions."""
        functions = self.functions
        for _ in range(min(len(functions), _BATCH)):
            functions.popleft()()

    def run_all(self) -> None:
        """Run all functions. The next one must wake the thread again."""
        self.sleeping = True
        while self.functions:
            self.run()

    def refuse(self, wake: Function) -> None:
        """Let each further `put` raise the error that `wake` raises."""
        self.wake = wake
        self.sleeping = True
