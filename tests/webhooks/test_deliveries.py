"""Webhooks when processes are killed, in the long form: `test_relay_processes` has the short one.

`python -m tests.webhooks` prints the counts.
"""

from __future__ import annotations

import pytest

from tests.redis.tools import LONG

from .deliveries import DELIVERIES, deliver


@pytest.mark.skipif(not LONG, reason="takes minutes; CHUK_TEST_LONG=1 runs it")
@pytest.mark.parametrize("delivery", DELIVERIES, ids=lambda delivery: delivery.name)
async def test_no_event_is_lost(delivery):
    tally = await deliver(delivery, 10.0)
    print(delivery.name, tally)
    assert tally.due > 0
    assert tally.lost == 0
