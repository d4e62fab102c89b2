"""Ids, handles and durations."""

from __future__ import annotations

import pytest

from chuk_sessions.core import ids, keys
from chuk_sessions.core.durations import MAX_MS, ms_from_hours, ms_from_seconds
from chuk_sessions.exceptions import SessionError


def test_ids_do_not_repeat():
    assert len({ids.new_id("alice", 7)[-32:] for _ in range(200_000)}) == 200_000


@pytest.mark.parametrize("user_id", [None, "alice", "12345678", "!!!"])
@pytest.mark.parametrize("bucket", [0, 9, 255])
def test_a_handle_converts_back_to_its_id(user_id, bucket):
    session_id = ids.new_id(user_id, bucket)
    found, handle = ids.locate(session_id)
    assert found == bucket
    assert len(handle) <= len(session_id) - 21
    assert ids.id_of(handle, found) == session_id


@pytest.mark.parametrize(
    "session_id",
    ["s1", "sess-alice-1-ab", "sess-alice-1-" + "AB" * 17, "sess--1-" + "ab" * 17, "sess-toolonguser-1-" + "ab" * 17],
)
def test_any_other_id_is_its_own_handle(session_id):
    bucket, handle = ids.locate(session_id)
    assert handle == session_id
    assert 0 <= bucket < 256
    assert ids.id_of(handle, bucket) == session_id


def test_no_id_can_be_the_handle_of_another():
    _, handle = ids.locate(ids.new_id("alice", 7))
    assert not ids.is_name(handle)


def test_stored_data_needs_these_exact_results():
    assert ids.locate("s1") == (ids.crc_hqx(b"s1", 0) % 256, "s1")
    assert ids.crc_hqx(b"123456789", 0) == 0x31C3
    assert ids.locate("sess-alice-1234567890-07" + "00" * 16) == (7, "^alice-AEmWAtIAAAAAAAAAAAAAAAAAAAAA")
    assert ids.home_bucket("shop", "alice") == 11
    assert ids.user_hash("alice") == 0x4DEAEC0CCE54D


def test_users_spread_evenly_over_the_buckets():
    buckets = [ids.home_bucket("shop", f"user-{number}") for number in range(25_600)]
    assert all(50 < buckets.count(bucket) < 160 for bucket in range(256))


@pytest.mark.parametrize("handle", ["^", "^x", "^" + "A" * 28, "^alice" + "z" * 28, "^-" + "z" * 28, "^a-" + "?" * 28])
def test_refuses_text_that_is_not_a_handle(handle):
    with pytest.raises(ValueError, match=r"."):
        ids.id_of(handle, 7)


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


class Token(str):
    """A string that defines equality, and therefore has no hash."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


def test_an_id_of_a_subclass_of_str_counts_as_its_text():
    session_id = ids.new_id("alice", 7)
    assert keys.find("a", Token(session_id)) == keys.find("a", session_id) != keys.find("b", session_id)
    assert keys.find("a", Token("../x")) is None


@pytest.mark.parametrize("odd", ["", "../x", "x" * 201, 7, None])
def test_text_that_is_not_an_id_has_no_keys(odd):
    assert keys.find("a", odd) is None
    with pytest.raises(ValueError, match="not a session id"):
        keys.session_keys("a", odd)
