"""The generated synchronous SessionManager: it is up to date, and complete."""

from __future__ import annotations

import inspect

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.sync import SessionManager as SyncSessionManager
from tests.project import sync_code

RENAMED = {"aclose": "close"}


def public(kind: type) -> dict[str, object]:
    return {name: value for name, value in inspect.getmembers(kind) if not name.startswith("_")}


def test_the_generated_module_is_up_to_date():
    pytest.importorskip("ruff")
    generated = sync_code.TARGET.read_text(encoding="utf-8")
    assert generated == sync_code.generate(), f"the asynchronous SessionManager has changed: run {sync_code.COMMAND}"


def test_both_managers_have_the_same_methods_and_properties():
    expected = {RENAMED.get(name, name) for name in public(SessionManager)} | {"session_factory"}
    assert set(public(SyncSessionManager)) == expected


@pytest.mark.parametrize("name", sorted(public(SessionManager)))
def test_methods_have_the_same_parameters(name):
    ours, theirs = getattr(SyncSessionManager, RENAMED.get(name, name)), getattr(SessionManager, name)
    if isinstance(theirs, property):
        assert isinstance(ours, property)
        return
    assert not inspect.iscoroutinefunction(ours)
    assert [(one.name, one.kind, one.default) for one in inspect.signature(ours).parameters.values()] == [
        (one.name, one.kind, one.default) for one in inspect.signature(theirs).parameters.values()
    ]


def test_the_constructors_have_the_same_public_parameters():
    ours, theirs = inspect.signature(SyncSessionManager).parameters, inspect.signature(SessionManager).parameters
    public_ones = [one for one in theirs.values() if not one.name.startswith("_")]
    assert [(one.name, one.kind, one.default) for one in ours.values()] == [
        (one.name, one.kind, one.default) for one in public_ones
    ]


def test_docstrings_of_synchronous_code_say_no_await():
    assert sync_code.adapted("x", "Return it: `if await manager.ping()`.") == "Return it: `if manager.ping()`."
    with pytest.raises(ValueError, match="add a replacement"):
        sync_code.adapted("x", "Return it to the event loop.")
    with pytest.raises(ValueError, match="does not contain"):
        sync_code.adapted("rotate_session", "Rotate.")
