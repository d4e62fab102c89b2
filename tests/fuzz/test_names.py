"""Any id, grid key, or duration gives a result or a ValueError, and two tenants never share a key."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from chuk_sessions.core import durations, grid, ids, keys
from tests.fuzz.cases import FUZZ

ANYTHING = st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.text()))
NEAR_NAMES = st.text(st.sampled_from("ab01-._~:@^{}/*?[]\\ \x00\x7fé\ud800"), max_size=12)
NAMES = st.text(st.sampled_from("ab01-._~:@"), min_size=1, max_size=12).filter(ids.is_name)
NEAR_GENERATED = st.builds(
    "sess-{}{}-{}{}".format,
    st.sampled_from(["", "a-", "alice123-", "alice1234-", "-"]),
    st.one_of(st.integers(0, 10**13), st.sampled_from(["0000000001", "9999999999", "999999999999"])),
    st.sampled_from(["", "0", "00", "ff", "FF", "000"]),
    st.integers(0, 2**128 - 1).map("{:032x}".format),
)
SESSION_IDS = st.one_of(NAMES, NEAR_GENERATED)
NEAR_REFERENCES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "0", "00", "ff", "FF", "0x", "-1", "００", " 0"]),
    st.text(st.sampled_from("AQgwz09-_"), min_size=20, max_size=22),
    st.sampled_from(["", "A", "B", "=", "+", "/", "\n", "\x00", "é", "\ud800", "AA"]),
)
SEGMENTS = st.text(max_size=20)


@FUZZ
@given(st.one_of(ANYTHING, NEAR_NAMES, NEAR_GENERATED))
def test_an_accepted_name_is_safe_in_keys_and_paths(text):
    if ids.is_name(text):
        assert ids.check_name(text, "it") == text
        assert re.fullmatch(r"[!-~]{1,200}", text)
        assert not set(text) & set("{}/^*?[]\\")
        assert text not in (".", "..")


@FUZZ
@given(SESSION_IDS)
@example("sess-1700000000-00" + "0" * 32)
@example("sess-01700000000-00" + "0" * 32)
@example("sess-a-99999999999999-00" + "0" * 32)
def test_every_id_has_a_bucket_and_a_handle_that_is_safe_in_keys(session_id):
    bucket, handle = ids.locate(session_id)
    assert 0 <= bucket < ids.BUCKETS
    assert re.fullmatch(rb"[A-Za-z0-9_-]{22}", handle)
    assert ids.parse_reference(ids.session_hash(session_id)) == (bucket, handle)


@FUZZ
@given(NAMES, NAMES, SESSION_IDS, SESSION_IDS)
def test_no_two_sessions_or_sandboxes_share_a_key(sandbox, other_sandbox, session, other_session):
    first, second = keys.session_keys(sandbox, session), keys.session_keys(other_sandbox, other_session)
    assert (first.record == second.record) == ((sandbox, session) == (other_sandbox, other_session))
    assert (first.index_keys.users == second.index_keys.users) == (
        (sandbox, first.index_keys.bucket) == (other_sandbox, second.index_keys.bucket)
    )
    assert first.record not in second.index_keys


@FUZZ
@given(st.one_of(ANYTHING, NEAR_REFERENCES, SESSION_IDS))
@example("00" + "A" * 22)
@example("00" + "A" * 22 + "\n")
def test_any_value_is_one_sessions_reference_or_none(value):
    parsed, target = ids.parse_reference(value), keys.find_reference("a", value)
    assert (parsed is None) == (target is None)
    if parsed is not None:
        assert ids.reference(*parsed) == value == target.reference
        assert (target.index_keys.bucket, target.handle) == parsed
        assert re.fullmatch(r"[0-9a-f]{2}[A-Za-z0-9_-]{22}", value)


@FUZZ
@given(st.one_of(st.text(), NEAR_NAMES, NEAR_GENERATED, NEAR_REFERENCES))
def test_every_text_has_the_reference_of_no_other(text):
    reference = ids.session_hash(text)
    assert ids.parse_reference(reference) is not None
    assert reference != ids.session_hash(f"{text}x")
    assert reference != ids.session_hash(reference)


@FUZZ
@given(st.one_of(st.binary(), NEAR_REFERENCES.map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_any_bytes_are_a_pointer_or_a_value_error(pointer):
    try:
        target = keys.session_keys_for_pointer("a", 7, pointer)
    except ValueError:
        return
    assert keys.pointer_to(target, 7) == pointer or pointer == target.reference.encode()


@FUZZ
@given(NAMES, SESSION_IDS, SEGMENTS, st.one_of(st.none(), SEGMENTS, st.lists(SEGMENTS).map("/".join)))
def test_a_grid_key_parses_to_its_parts(sandbox, session, artifact, subpath):
    try:
        key = grid.artifact_key(sandbox, session, artifact, subpath)
    except ValueError:
        return
    assert key.startswith(grid.session_prefix(sandbox, session))
    assert not {"", ".", ".."} & set(key.split("/"))
    parts = {"sandbox_id": sandbox, "session_id": session, "artifact_id": artifact, "subpath": subpath}
    assert grid.parse(key) == parts


@FUZZ
@given(
    st.one_of(
        ANYTHING, st.lists(st.one_of(NEAR_NAMES, SEGMENTS), max_size=7).map(lambda found: "/".join(["grid", *found]))
    )
)
def test_any_grid_key_parses_to_none_or_to_parts_that_generate_it(key):
    found = grid.parse(key)
    if found is not None:
        assert grid.artifact_key(*found.values()) == key


@FUZZ
@given(st.one_of(ANYTHING, st.floats(0, 1e9), st.integers(0, 10**9), st.integers(10**300, 10**400)))
def test_a_duration_gives_whole_ms_or_a_value_error(number):
    for convert, unit in ((durations.ms_from_hours, 3_600_000), (durations.ms_from_seconds, 1000)):
        try:
            ms = convert(number, "it")
        except ValueError:
            continue
        assert 1 <= ms <= durations.MAX_MS
        assert ms - 1 <= number * unit <= ms + 1e-6
