from __future__ import annotations

import pytest

from chuk_sessions.backends.memory import SystemClock
from chuk_sessions.providers import memory, redis


@pytest.fixture(params=["memory", "redis"])
def source(request):
    """Return the factory of an emulator of its own, and of the bundled server. Their clocks run."""
    if request.param == "memory":
        return memory.factory(SystemClock())
    return redis.factory(request.getfixturevalue("server").url)
