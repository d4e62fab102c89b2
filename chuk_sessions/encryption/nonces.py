"""Random nonces, read from the system in batches: a system call for each would cost as much as the encryption."""

from __future__ import annotations

import os
from collections.abc import Callable
from os import getpid, urandom
from typing import Final

NONCE_BYTES: Final = 12
_BATCH: Final = 64


class Nonces:
    """A supply of nonces. It never returns a nonce twice, in any thread or forked child."""

    def __init__(self) -> None:
        self._left: list[bytes] = []
        self._process = getpid()

    def supply(self) -> Callable[[], bytes]:
        """Return `next`, to be called at once. This notices a fork that ran no hooks, as in uWSGI."""
        if self._process != getpid():
            self.clear()
        return self.next

    def next(self) -> bytes:
        """Return 12 random bytes."""
        try:
            return self._left.pop()
        except IndexError:
            random = urandom(NONCE_BYTES * _BATCH)
            batch = [random[start : start + NONCE_BYTES] for start in range(0, len(random), NONCE_BYTES)]
            nonce = batch.pop()
            # If several threads come here, the batches of all but one are lost.
            self._left = batch
            return nonce

    def clear(self) -> None:
        """Forget the nonces that are left."""
        self._left = []
        # This comes last: another thread that reads it must not find nonces of the parent.
        self._process = getpid()


NONCES: Final = Nonces()
"""The nonces of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=NONCES.clear)
