"""The production checklist names checks of the doctor and commands that exist."""

from __future__ import annotations

import re

from chuk_sessions.doctor.checks import NAMES
from tests.harness.children import ROOT

CHECKLIST = (ROOT / "docs" / "production.md").read_text(encoding="utf-8").split("## Check it")[1].split("\n## ")[0]


def test_each_item_names_a_check_that_exists():
    rows = [line.strip("| ").split(" | ") for line in CHECKLIST.splitlines() if line.startswith("| ")][1:]
    assert all(len(row) == 3 and row[2] for row in rows)
    checks = [
        name
        for row in rows
        for group in re.findall(r"(?:doctor: |checks )((?:`\w+`(?:, )?)+)", row[2])
        for name in re.findall(r"\w+", group)
    ]
    assert len(checks) > 10
    assert set(checks) <= set(NAMES)
