"""keys: listing, creating, rotating, and reencryption, on the emulator and on a server."""

from __future__ import annotations

import pytest

from chuk_sessions.cli.exits import ExitCode
from chuk_sessions.encryption import Encryption


@pytest.fixture
def keys(store, monkeypatch):
    """Set a generated keyset in the environment, and return its text."""
    text = store.run("keys", "generate", "first").rows[0]["keys"]
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", text)
    return text


def test_keys_list_counts_records_under_each_key(store, keys):
    store.create("alice", "bob", encryption=Encryption(keys, primary="first"))
    store.create("carol", encryption=Encryption(keys, primary=None))
    assert store.run("keys", "list").rows == [
        {"key": "first", "records": 2, "primary": True, "available": True},
        {"key": "plain", "records": 1, "primary": False, "available": True},
    ]
    assert store.run("list", "--user", "alice").rows[0]["keys"] == ["color"]


def test_reencryption_after_a_rotation(store, keys, monkeypatch, tmp_path):
    store.create("alice", "bob", encryption=Encryption(keys, primary="first"))
    steps = [row["keys"] for row in store.run("keys", "rotate", "second").rows]
    assert len(steps) == 3
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", steps[1])
    state = tmp_path / "state.json"
    assert store.run("keys", "reencrypt", "--state", str(state)).rows == [
        {"rewritten": 2, "unavailable": 0, "damaged": 0}
    ]
    assert not state.exists()
    assert [row["records"] for row in store.run("keys", "list").rows] == [2, 0]


def test_records_under_a_key_that_is_not_available_are_findings(store, keys, monkeypatch):
    store.create("alice", encryption=Encryption(keys, primary="first"))
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", store.run("keys", "generate", "other").rows[0]["keys"])
    rows = store.run("keys", "list", code=ExitCode.FINDINGS).rows
    assert [(row["records"], row["available"]) for row in rows] == [(0, True), (1, False)]
    assert store.run("keys", "reencrypt", code=ExitCode.FINDINGS).rows[0]["unavailable"] == 1
    assert store.run("list", code=ExitCode.FINDINGS).rows[0]["unreadable"]


def test_without_keys_the_variables_are_named(store):
    assert "SESSION_ENCRYPTION_KEYS" in store.run("keys", "list", code=ExitCode.USAGE).err
