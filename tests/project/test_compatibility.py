"""Names that users of chuk-sessions import, each from the path that they import it from."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import chuk_sessions
from chuk_sessions import exceptions

ROOT = Path(__file__).parents[2]
IMPORTS = {
    "chuk_sessions": [
        "SessionManager", "get_session", "session", "factory_for_env", "SessionError", "ProviderError",
        "SessionMetadata", "SessionStatus", "ProviderType", "__version__",
    ],
    "chuk_sessions.session_manager": ["SessionManager", "SessionMetadata"],
    "chuk_sessions.provider_factory": ["factory_for_env"],
    "chuk_sessions.providers.memory": ["factory"],
    "chuk_sessions.providers.redis": ["factory"],
    "chuk_sessions.api": ["get_session", "session"],
    "chuk_sessions.models": ["SessionMetadata"],
    "chuk_sessions.enums": ["SessionStatus", "ProviderType"],
    "chuk_sessions.exceptions": ["SessionError", "ProviderError"],
}  # fmt: skip


@pytest.mark.parametrize("module", IMPORTS)
def test_users_imports_work_first_thing_in_a_process(module):
    code = f"from {module} import {', '.join(IMPORTS[module])}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [name for name in IMPORTS if name.count(".") == 1])
def test_a_name_is_the_same_object_on_every_path(module):
    """A second class of the same name would escape a user's `except`."""
    shared = set(IMPORTS[module]) & set(IMPORTS["chuk_sessions"])
    assert shared
    found = import_module(module)
    assert [name for name in shared if getattr(found, name) is not getattr(chuk_sessions, name)] == []


def test_session_is_another_name_of_get_session():
    assert chuk_sessions.session is chuk_sessions.get_session


def test_the_top_level_lists_what_users_import_and_every_error():
    listed = chuk_sessions.__all__
    assert [name for name in listed if not hasattr(chuk_sessions, name)] == []
    assert {*IMPORTS["chuk_sessions"], *exceptions.__all__} <= set(listed)
