"""A clock for leases: seconds since the host was booted, including the time for which it was suspended.

`time.monotonic` stops while a virtual machine is suspended, so a lease by that clock would outlive the suspension.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)

now: Final[Callable[[], float]] = time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME)
"""Returns the time in seconds. Where the platform has no such clock, this is the monotonic one."""
