"""endpoints: return the descriptions of all endpoints."""

from __future__ import annotations

import pytest

from chuk_sessions import NotSupportedError
from chuk_sessions.core import queue_operations, statuses
from tests.harness.queues import Queue


async def test_returns_the_description_of_each_endpoint(world):
    assert await world.backend.run(queue_operations.endpoints()) == [statuses.OK, []]
    for name in ("one", "two"):
        await Queue(world, endpoint=name).create()
    _, flat = await world.backend.run(queue_operations.endpoints())
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == {b"one": b"description", b"two": b"description"}


async def test_custom_providers_have_no_endpoints(single):
    try:
        assert await single.backend.run(queue_operations.endpoints()) == [statuses.OK, []]
    except NotSupportedError:
        with pytest.raises(NotSupportedError):
            await Queue(single).create()
