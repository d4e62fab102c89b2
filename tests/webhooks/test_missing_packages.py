"""Without the packages of an extra, an error names the extra."""

from __future__ import annotations

import pytest

from tests.harness.children import python

BLOCK = "import sys; sys.modules[{name!r}] = None; "


@pytest.mark.parametrize(
    ("name", "statement", "extra"),
    [
        ("aiohttp", "from chuk_sessions.events import WebhookRelay", "chuk-sessions[redis,webhooks]"),
        ("aiohttp", "from chuk_sessions.events.__main__ import main; sys.exit(main(['relay']))", "[redis,webhooks]"),
        ("joserfc", "import chuk_sessions.events.security_events", "chuk-sessions[redis,security-events]"),
    ],
)
def test_the_error_names_the_extra(name, statement, extra):
    done = python(BLOCK.format(name=name) + statement)
    assert done.returncode == 1
    assert extra in done.stderr


def test_readers_and_endpoints_need_neither():
    statement = "from chuk_sessions.events import SessionEvents, WebhookEndpoints"
    done = python(BLOCK.format(name="aiohttp") + BLOCK.format(name="joserfc") + statement)
    assert done.returncode == 0, done.stderr
