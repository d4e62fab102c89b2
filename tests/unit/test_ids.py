"""Ids, handles and durations."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chuk_sessions.core import ids, keys
from chuk_sessions.core.durations import MAX_MS, ms_from_hours, ms_from_seconds
from chuk_sessions.exceptions import SessionError


class Token(str):
    """A string that defines equality, and therefore has no hash."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


def test_ids_do_not_repeat():
    assert len({ids.new_id("alice", 7)[-32:] for _ in range(200_000)}) == 200_000


@pytest.mark.parametrize("user_id", [None, "alice", "12345678", "!!!"])
@pytest.mark.parametrize("bucket", [0, 9, 255])
def test_a_generated_id_is_in_the_bucket_that_it_names(user_id, bucket):
    session_id = ids.new_id(user_id, bucket)
    assert ids.is_generated(session_id)
    assert ids.locate(session_id)[0] == bucket


@pytest.mark.parametrize(
    "session_id",
    [
        "s1",
        "sess-alice-1-ab",
        "sess-alice-1-" + "AB" * 17,
        "sess-" + "ab" * 16,
        "Sess-1-" + "ab" * 17,
        "-ab" + "-" * 32,
    ],
)
def test_the_hash_of_any_other_id_gives_its_bucket(session_id):
    assert not ids.is_generated(session_id)
    assert ids.locate(session_id)[0] == hashlib.sha256(session_id.encode()).digest()[16]


_PARTS = (
    "sess-",
    "sess",
    "Sess-",
    "-",
    "alice-",
    "1234567890-",
    "ab",
    "0f",
    "AB",
    "a" * 32,
    "~" * 32,
    " ",
    "é",
    "{",
    "",
    "\n",
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(_PARTS), max_size=7).map("".join))
def test_the_keys_of_any_text_follow_from_its_bucket_and_handle(text):
    located = ids.locate(text)
    assert (located is None) is not ids.is_name(text)
    if located is None:
        assert keys.find("a", text) is None
        return
    shape = re.fullmatch(r"sess-.*-([0-9a-f]{2}).{32}", f"{text[:5]}-{text[5:]}")
    assert located[0] == (int(shape[1], 16) if shape else hashlib.sha256(text.encode()).digest()[16])
    for _ in range(2):
        assert keys.find("a", text) == keys.session_keys_for_handle("a", *located)


def test_ids_that_are_no_longer_remembered_have_the_same_keys():
    sandboxes, session_ids = [f"s{number}" for number in range(70)], [ids.new_id("alice", n % 256) for n in range(1100)]
    before = [keys.find("a", session_id) for session_id in session_ids]
    assert all(
        keys.find(sandbox, "s1") == keys.session_keys_for_handle(sandbox, *ids.locate("s1")) for sandbox in sandboxes
    )
    assert [keys.find("a", session_id) for session_id in session_ids] == before


@pytest.mark.parametrize("session_id", ["s1", ids.new_id("alice", 7)])
def test_a_handle_is_a_hash_in_base64(session_id):
    _, handle = ids.locate(session_id)
    assert urlsafe_b64decode(handle + b"==") == hashlib.sha256(session_id.encode()).digest()[:16]
    assert ids.is_handle(handle)


def test_stored_data_needs_these_exact_results():
    assert ids.locate("s1") == (58, b"6LwWPILu4YczKIx9SsY22w")
    assert ids.locate("sess-alice-1234567890-07" + "00" * 16) == (7, b"waAbGLHnu_mxHq5f97RbUQ")
    assert ids.session_hash("s1") == "3a6LwWPILu4YczKIx9SsY22w"
    assert ids.home_bucket("shop", "alice") == 11
    assert ids.user_hash("alice") == 0x4DEAEC0CCE54D


@pytest.mark.parametrize("session_id", ["s1", ids.new_id("alice", 7), "../x", "x" * 9999, "", "\ud800", "é"])
def test_every_text_has_a_reference(session_id):
    reference = ids.session_hash(session_id)
    assert len(reference) == 24
    assert session_id == "" or session_id not in reference
    assert ids.reference(*ids.parse_reference(reference)) == reference
    assert ids.session_hash(Token(session_id)) == reference


def test_a_reference_leads_to_the_keys_of_its_session():
    for session_id in ("s1", ids.new_id("alice", 7)):
        target = keys.session_keys("a", session_id)
        assert target.reference == ids.session_hash(session_id)
        assert keys.find_reference("a", target.reference) == keys.find_reference("a", Token(target.reference)) == target


@pytest.mark.parametrize("odd", [None, 7, b"s1"])
def test_a_value_that_is_no_text_has_no_reference(odd):
    with pytest.raises(ValueError, match="session_id must be a string"):
        ids.session_hash(odd)


def test_ids_and_references_are_not_mistaken_for_each_other():
    for session_id in ("s1", ids.new_id("alice", 7)):
        reference = ids.session_hash(session_id)
        assert ids.parse_reference(session_id) is None
        assert keys.find("a", reference) != keys.find_reference("a", reference)


@pytest.mark.parametrize(
    "odd",
    [
        None, 7, b"0" * 24, "", "s1", "A" * 22, "A" * 24, "g0" + "A" * 22, "AA" + "A" * 22, "00" + "A" * 21,
        "00" + "A" * 23, "00" + "A" * 21 + "B", "00" + "A" * 21 + "=", "00" + "A" * 21 + "+", "00" + "A" * 22 + "\n",
        "００" + "A" * 22, "00" + "é" * 22, "\ud800" * 24, " 0" + "A" * 22, "+0" + "A" * 22,
    ],
)  # fmt: skip
def test_other_text_is_not_a_reference(odd):
    assert ids.parse_reference(odd) is None
    assert keys.find_reference("a", odd) is None


def test_users_spread_evenly_over_the_buckets():
    buckets = [ids.home_bucket("shop", f"user-{number}") for number in range(25_600)]
    assert all(50 < buckets.count(bucket) < 160 for bucket in range(256))


@pytest.mark.parametrize(
    ("hours", "ms"), [(1, 3_600_000), (0.25, 900_000), (0.1, 360_000), (1 / 3, 1_200_000), (1e-12, 1), (5e-324, 1)]
)
def test_hours_round_up_to_whole_ms(hours, ms):
    assert ms_from_hours(hours, "ttl") == ms


@pytest.mark.parametrize("seconds", [MAX_MS / 1000 + 1, 1e300])
def test_refuses_more_than_a_hundred_years(seconds):
    with pytest.raises(ValueError, match="hundred years"):
        ms_from_seconds(seconds, "ttl")


def test_every_error_is_a_session_error():
    from chuk_sessions import exceptions

    assert all(issubclass(getattr(exceptions, name), SessionError) for name in exceptions.__all__)


def test_an_id_of_a_subclass_of_str_counts_as_its_text():
    session_id = ids.new_id("alice", 7)
    assert keys.find("a", Token(session_id)) == keys.find("a", session_id) != keys.find("b", session_id)
    assert keys.find("a", Token("../x")) is None


@pytest.mark.parametrize("odd", ["", "../x", "x" * 201, 7, None])
def test_text_that_is_not_an_id_has_no_keys(odd):
    assert keys.find("a", odd) is None
    with pytest.raises(ValueError, match="not a session id"):
        keys.session_keys("a", odd)
