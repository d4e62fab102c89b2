"""Without the packages of the extra, an error names the extra, and managers without a federation need none of them."""

from __future__ import annotations

import pytest

from tests.harness.children import python

BLOCK = "import sys; sys.modules[{name!r}] = None; "


@pytest.mark.parametrize("name", ["aiohttp", "joserfc", "cryptography"])
def test_the_error_names_the_extra(name):
    done = python(BLOCK.format(name=name) + "import chuk_sessions.federation")
    assert done.returncode == 1
    assert "chuk-sessions[redis,federation]" in done.stderr


def test_managers_need_none_of_them():
    blocked = "".join(BLOCK.format(name=name) for name in ("aiohttp", "joserfc", "cryptography"))
    done = python(blocked + "import chuk_sessions; chuk_sessions.SessionManager('a'); import chuk_sessions.sync")
    assert done.returncode == 0, done.stderr
