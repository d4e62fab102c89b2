"""Grid paths: a generated key parses to its parts, and parts that would climb or collide are refused."""

from __future__ import annotations

import itertools

import pytest

from chuk_sessions import SessionManager, session_hash
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.providers import memory

MANAGER = SessionManager("webapp", memory.factory(ManualClock()))
SESSION = "sess-alice-1234567890-" + "ab" * 17
ARTIFACTS = [
    "document123",
    "my report.pdf",
    "名前",
    "a:b",
    "x" * 512,
    "...",
    ".hidden",
    "-",
    "{a}",
    "*",
    "a%2fb",
    "grid",
]
REFUSED = [
    "",
    ".",
    "..",
    "a/b",
    "/",
    "../x",
    "a\\b",
    "a\nb",
    "\x00",
    "\x7f",
    "\u2028",
    "\ud800",
    "x" * 513,
    None,
    7,
    b"a",
]


def test_the_three_kinds_of_paths():
    assert MANAGER.get_session_prefix_pattern() == "grid/webapp/"
    assert MANAGER.get_canonical_prefix(SESSION) == f"grid/webapp/{SESSION}/"
    assert MANAGER.generate_artifact_key(SESSION, "document123") == f"grid/webapp/{SESSION}/document123"


def test_paths_by_reference_contain_no_session_id():
    reference = session_hash(SESSION)
    assert MANAGER.get_canonical_prefix(SESSION, by_reference=True) == f"grid/webapp/{reference}/"
    path = MANAGER.generate_artifact_key(SESSION, "a", "b/c", by_reference=True)
    assert path == f"grid/webapp/{reference}/a/b/c"
    parts = {"sandbox_id": "webapp", "session_id": reference, "artifact_id": "a", "subpath": "b/c"}
    assert MANAGER.parse_grid_key(path) == parts


@pytest.mark.parametrize("session_id", ["", "..", "a/b", "x" * 201, None, 7])
def test_paths_by_reference_refuse_the_ids_that_other_paths_refuse(session_id):
    with pytest.raises(ValueError, match="session_id"):
        MANAGER.get_canonical_prefix(session_id, by_reference=True)
    with pytest.raises(ValueError, match="session_id"):
        MANAGER.generate_artifact_key(session_id, "a", by_reference=True)


@pytest.mark.parametrize("artifact_id", ARTIFACTS)
@pytest.mark.parametrize("session_id", [SESSION, "own", "a:b@c", "~"])
@pytest.mark.parametrize("subpath", [None, "a", "a/b/c.txt"])
def test_a_generated_key_parses_to_its_parts(artifact_id, session_id, subpath):
    key = MANAGER.generate_artifact_key(session_id, artifact_id, subpath)
    assert key.startswith(MANAGER.get_canonical_prefix(session_id))
    assert MANAGER.parse_grid_key(key) == {
        "sandbox_id": "webapp",
        "session_id": session_id,
        "artifact_id": artifact_id,
        "subpath": subpath,
    }


def test_different_parts_give_different_keys():
    keys = [MANAGER.generate_artifact_key(*pair) for pair in itertools.product([SESSION, "own"], ARTIFACTS)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("artifact_id", REFUSED, ids=lambda value: repr(value)[:12])
def test_artifacts_that_climb_or_collide_are_refused(artifact_id):
    with pytest.raises(ValueError, match="artifact"):
        MANAGER.generate_artifact_key(SESSION, artifact_id)


@pytest.mark.parametrize("subpath", ["", "/", "a/", "/a", "a//b", "..", "a/../b", "a/./b", 7])
def test_subpaths_that_climb_or_collide_are_refused(subpath):
    with pytest.raises(ValueError, match="subpath"):
        MANAGER.generate_artifact_key(SESSION, "a", subpath)


@pytest.mark.parametrize("session_id", ["../tenant-b/s9", "a/b", "..", "", None, "a b"])
def test_sessions_that_climb_are_refused(session_id):
    with pytest.raises(ValueError, match="session_id"):
        MANAGER.generate_artifact_key(session_id, "x")
    with pytest.raises(ValueError, match="session_id"):
        MANAGER.get_canonical_prefix(session_id)


@pytest.mark.parametrize("sandbox_id", ["a/b", "..", ".", "a b", "a{b}", "é", "x" * 129, 7])
def test_sandboxes_that_climb_are_refused(sandbox_id):
    with pytest.raises(ValueError, match="sandbox_id"):
        SessionManager(sandbox_id)


@pytest.mark.parametrize(
    "key",
    [
        None, 7, b"grid/a/b/c", "", "grid", "grid/", "grid/a", "grid/a/b", "grid/a/b/", "grid//b/c", "grid/a//c",
        "other/a/b/c", "/grid/a/b/c", "grid/a/../c", "grid/../b/c", "grid/a/b/..", "grid/a/b/c/..", "grid/a/b/c/",
        "grid/a/b/c//d", "grid/a b/c/d", "grid/a/b/c\n", "GRID/a/b/c",
    ],
    ids=repr,
)  # fmt: skip
def test_any_other_text_parses_to_none(key):
    assert MANAGER.parse_grid_key(key) is None


def test_paths_of_other_sandboxes_parse_too():
    parsed = MANAGER.parse_grid_key("grid/other/s1/a/b/c")
    assert parsed == {"sandbox_id": "other", "session_id": "s1", "artifact_id": "a", "subpath": "b/c"}
