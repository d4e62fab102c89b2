"""Event entries: their parsing, and the ids that a repeat of an event has, too."""

from __future__ import annotations

import pytest

from chuk_sessions import session_hash
from chuk_sessions.core import event_entries, keys
from chuk_sessions.core.event_entries import parse

TARGET = keys.session_keys("shop", "s1")
BUCKET = TARGET.index_keys.bucket


def entry(described=b"c1", created=b"1000", deadline=b"500", owner=b"alice", *more, handle=TARGET.handle):
    return [b"shop", handle, b"k", described, b"c", created, b"d", deadline, b"u", owner, *more]


def test_an_entry_is_parsed():
    found = parse(b"1234-5", entry())
    assert (found.stream_id, found.kind, found.reason, found.sandbox, found.handle) == (
        b"1234-5", "created", None, "shop", TARGET.handle,
    )  # fmt: skip
    assert (found.occurred_at, found.created, found.expires_at, found.version) == (1234, 1000, 1500, 1)
    assert (found.owner, found.salt, found.replaced_by) == (b"alice", None, None)
    assert found.session_hash(BUCKET) == session_hash("s1")


def test_a_salt_and_a_replacement_are_parsed():
    other = keys.session_keys("shop", "s2")
    for pointer in (other.handle, other.reference.encode()):
        found = parse(b"1-0", entry(b"r12 " + pointer, b"1000", b"500", b"\xff", b"s", b" salt"))
        assert (found.kind, found.version, found.salt) == ("rotated", 12, b" salt")
        assert found.owner_fields() == {b"u": b"\xff", b"s": b" salt"}
        assert found.replaced_by_hash(other.index_keys.bucket) == session_hash("s2")


def test_a_guest_differs_from_an_owner_who_is_unknown():
    guest, unknown = parse(b"1-0", entry(owner=b"")), parse(b"1-0", entry(b"t0", b"", b"9000", b""))
    assert (guest.owner, guest.owner_is_known) == (None, True)
    assert (unknown.owner, unknown.owner_is_known, unknown.created) == (None, False, None)
    assert (unknown.kind, unknown.reason, unknown.expires_at) == ("ended", "expired", 9000)


@pytest.mark.parametrize("letter", event_entries.LETTERS)
def test_every_letter_is_parsed(letter):
    found = parse(b"1-0", entry(letter + b"7"))
    assert (found.kind, found.reason) == event_entries.LETTERS[letter]


def test_a_repeat_has_the_same_event_id_and_no_other_event_has():
    same = {
        parse(stream_id, entry(b"x2", deadline=deadline)).event_id
        for stream_id in (b"1-0", b"2-0")
        for deadline in (b"1", b"2")
    }
    others = [
        entry(b"x3"), entry(b"u2"), entry(b"x2", b"1001"), entry(b"x2", handle=b"h"), [b"mall", *entry(b"x2")[1:]],
        entry(b"d2"), entry(b"t0", b""),
    ]  # fmt: skip
    assert len(same) == 1
    assert len(same | {parse(b"1-0", fields).event_id for fields in others}) == 1 + len(others)


def test_a_session_that_ends_again_after_a_failover_has_the_same_event_id():
    assert parse(b"1-0", entry(b"d2")).event_id == parse(b"9-0", entry(b"t3")).event_id


@pytest.mark.parametrize(
    "fields",
    [{"created": b"x"}, {"created": b"0x10"}, {"described": b"d"}, {"described": b"d-1"}, {"deadline": b"1e+300"}],
)
def test_an_entry_from_a_damaged_record_says_that_nothing_is_known(fields):
    found = parse(b"1234-0", entry(**{"described": b"d7", **fields}))
    assert (found.kind, found.reason, found.handle) == ("ended", "deleted", TARGET.handle)
    assert (found.created, found.owner, found.version, found.expires_at) == (None, None, 0, 1234)


@pytest.mark.parametrize("flat", [[], entry(b"?1"), entry(b""), entry()[:-1], [b"\xff", *entry()[1:]]])
def test_other_entries_are_refused(flat):
    with pytest.raises(ValueError, match="not an entry"):
        parse(b"1-0", flat)
