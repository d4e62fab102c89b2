"""The table of metrics in the documentation is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

import chuk_sessions
from chuk_sessions.telemetry import FAMILIES

PAGE = Path(chuk_sessions.__file__).parents[1] / "docs/telemetry.md"


def test_the_page_has_every_metric():
    rows = re.findall(r"^\| `(chuk_sessions_\w+)` \| (\w+) \| (.+?) \| (.+) \|$", PAGE.read_text(), re.M)
    shown = [(name, kind, tuple(re.findall(r"`(\w+)`", labels)), text.lower()) for name, kind, labels, text in rows]
    assert shown == [
        (family.prometheus_name, family.kind, family.labels, family.help.rstrip(".").lower())
        for family in FAMILIES.values()
    ]
