"""The steps of docs/webhooks.md, as a newcomer runs them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.harness import children

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
STEPS = re.findall(r"^python .+$", PAGE.read_text(encoding="utf-8"), re.M)
VERIFIED = ["verified: session.created", "verified: session.ended deleted"]


def words(step):
    return [sys.executable, *step.split()[1:]]


def test_one_process_receives_verified_webhooks():
    with children.running(*words(STEPS[0])) as child:
        assert child.wait() == 0, child.printed()
        assert [line for line in VERIFIED if line not in child.printed()] == []


def test_a_newcomer_receives_verified_webhooks(server):
    _, receiver, relay, shop = STEPS
    with children.running(*words(receiver), SESSION_REDIS_URL=server.url) as received:
        received.wait_for("waiting for webhooks")
        with children.running(*words(relay), SESSION_REDIS_URL=server.url) as relaying:
            relaying.wait_for("the relay is running")
            with children.running(*words(shop), SESSION_REDIS_URL=server.url) as shopping:
                assert shopping.wait() == 0, shopping.printed()
            for line in VERIFIED:
                received.wait_for(line)
        received.interrupt()
        assert received.wait() == 0, received.printed()
