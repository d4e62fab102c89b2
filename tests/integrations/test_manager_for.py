"""The manager of an integration that was created without one."""

from __future__ import annotations

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.integrations.env import manager_for


def test_the_environment_names_provider_url_and_sandbox(monkeypatch, server):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    monkeypatch.setenv("CHUK_SANDBOX_ID", "shop")
    manager = manager_for(SessionManager)
    assert (manager.sandbox_id, manager.get_cache_stats()["provider"]) == ("shop", "redis")


def test_all_processes_share_a_sandbox_without_settings(monkeypatch):
    for name in ("SESSION_PROVIDER", "CHUK_SANDBOX_ID", "CHUK_HOST_SANDBOX_ID"):
        monkeypatch.delenv(name, raising=False)
    assert manager_for(SessionManager, sandbox_id=None).sandbox_id == "web"


async def test_arguments_replace_the_environment(single):
    manager = manager_for(SessionManager, session_factory=single.factory, sandbox_id="a", default_ttl_hours=2)
    assert (manager.sandbox_id, manager.default_ttl_hours) == ("a", 2)
    assert await manager.validate_session(await manager.allocate_session())
    assert manager_for(SessionManager, manager, sandbox_id=None) is manager


def test_a_manager_needs_no_other_arguments(single):
    manager = single.manager()
    for more in ({"session_factory": single.factory}, {"sandbox_id": "a"}):
        with pytest.raises(ValueError, match="not both"):
            manager_for(SessionManager, manager, **more)
