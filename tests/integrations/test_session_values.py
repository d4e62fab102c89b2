"""Values of a session: exact JSON is stored plainly, anything else through a serializer, and nothing is mistaken."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chuk_sessions import CorruptRecordError, InvalidMetadataError, SessionMetadata
from chuk_sessions.integrations.session import SessionOptions, SyncSession
from chuk_sessions.integrations.snapshot import Snapshot
from chuk_sessions.integrations.values import WRAPPER, Values, is_exact
from tests.fuzz.cases import FUZZ

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=4), st.sampled_from([WRAPPER, "text", "data", "plain", "bytes"])),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=6,
)


class Decimals:
    """A serializer for one type, as text."""

    def dumps(self, value):
        if type(value) is not Decimal:
            raise TypeError("not a decimal")
        return str(value)

    def loads(self, data):
        return Decimal(data)


class Bytewise(Decimals):
    """A serializer whose texts are bytes."""

    def dumps(self, value):
        return super().dumps(value).encode() + b"\xff"

    def loads(self, data):
        return super().loads(data[:-1].decode())


class Number(IntEnum):
    ONE = 1


@FUZZ
@given(st.one_of(JSON, st.binary()))
def test_every_value_comes_back_as_it_was(value):
    stored = json.loads(json.dumps(Values().dump(value)))
    again = Values().load(stored)
    assert again == value
    assert repr(again) == repr(value)


@FUZZ
@given(JSON)
def test_any_stored_value_can_be_loaded(stored):
    try:
        loaded = Values(Decimals()).load(stored)
    except CorruptRecordError:
        assert set(stored) == {WRAPPER}
        return
    if not isinstance(loaded, bytes | Decimal):
        assert Values().load(Values().dump(loaded)) == loaded


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "", [], {}, {"a": [{"b": None}]}])
def test_exact_values_are_stored_as_they_are(value):
    assert Values(Decimals()).dump(value) is value


@pytest.mark.parametrize("serializer", [Decimals(), Bytewise()])
def test_other_values_go_through_the_serializer(serializer):
    values = Values(serializer)
    stored = values.dump(Decimal("1.50"))
    assert is_exact(stored)
    assert values.load(stored) == Decimal("1.50")
    with pytest.raises(TypeError, match="not a decimal"):
        values.dump((1, 2))


@pytest.mark.parametrize(
    "value", [(1,), {1: 2}, {"a": (1,)}, math.nan, math.inf, Number.ONE, [b"x"], type("Text", (str,), {})("a")]
)
def test_without_a_serializer_other_values_are_refused(value):
    with pytest.raises(InvalidMetadataError):
        Values().dump(value)


def test_values_that_contain_themselves_are_refused():
    value: list[object] = []
    value.append(value)
    for values in (Values(), Values(Decimals())):
        with pytest.raises(InvalidMetadataError, match="contains itself"):
            values.dump(value)


@pytest.mark.parametrize("content", [{"text": "x"}, {"data": "!"}, {"bytes": "!"}, {"data": "AAAA"}])
def test_a_wrapper_of_another_serializer_is_an_error(content):
    with pytest.raises(CorruptRecordError):
        Values(Bytewise()).load({WRAPPER: content})
    with pytest.raises(CorruptRecordError):
        Values().load({WRAPPER: {"text": "1"}})


@FUZZ
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5))
def test_a_snapshot_sees_no_change_where_there_is_none(data):
    snapshot = Snapshot(Values())
    loaded = snapshot.load(json.loads(json.dumps(data)))
    assert not snapshot.compare(loaded)
    assert not snapshot.compare(json.loads(json.dumps(loaded)))


@FUZZ
@given(st.dictionaries(st.text(max_size=3), JSON, max_size=5), st.dictionaries(st.text(max_size=3), JSON, max_size=5))
def test_the_changes_lead_from_one_state_to_the_other(before, after):
    snapshot = Snapshot(Values())
    snapshot.load(before)
    changes = snapshot.compare(after)
    result = {**before, **{key: Values().load(value) for key, value in changes.changed.items()}}
    for key in changes.removed:
        del result[key]
    assert repr(sorted(result.items())) == repr(sorted(after.items()))
    snapshot.apply(changes)
    assert not snapshot.compare(after)


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (1, 1.0), (0.0, -0.0), ("a", ["a"]), (None, False), ({"a": 1, "b": 2}, {"a": 1})]
)
def test_values_that_are_equal_but_different_are_changes(before, after):
    snapshot = Snapshot(Values())
    snapshot.load({"key": before})
    assert snapshot.compare({"key": after})


def test_numbers_that_are_too_long_are_refused():
    with pytest.raises(InvalidMetadataError):
        Snapshot(Values()).compare({"key": [10**5000]})


class Counting:
    """A serializer that counts the values that it gets."""

    def __init__(self):
        self.dumped = 0

    def dumps(self, value):
        self.dumped += 1
        return json.dumps(list(value))

    def loads(self, data):
        return tuple(json.loads(data))


def test_only_values_that_were_read_are_encoded():
    serializer = Counting()
    values = Values(serializer)
    session = SyncSession({"read": (1,), "other": (2,)}, options=SessionOptions(values=values))
    stored = session._changes().changed
    session._adopt(SessionMetadata("sess", "test", custom_metadata=stored))
    serializer.dumped = 0
    assert not session._changes()
    assert serializer.dumped == 0
    assert session["read"] == (1,)
    assert not session._changes()
    assert serializer.dumped == 2
    session["other"] = (2,)
    assert not session._changes()


def collected(**values):
    return values


READS = {
    "getitem": lambda session: session["list"],
    "get": lambda session: session.get("list"),
    "setdefault": lambda session: session.setdefault("list", []),
    "values": lambda session: next(iter(session.values())),
    "items": lambda session: dict(session.items())["list"],
    "copy": lambda session: session.copy()["list"],
    "dict": lambda session: dict(session)["list"],
    "unpacking": lambda session: {**session}["list"],
    "or": lambda session: (session | {})["list"],
    "ror": lambda session: ({} | session)["list"],
    "arguments": lambda session: collected(**session)["list"],
}


@pytest.mark.parametrize("read", READS)
def test_a_change_in_place_is_detected_however_the_value_was_read(read):
    session = SyncSession()
    session._adopt(SessionMetadata("sess", "test", custom_metadata={"list": [1]}))
    READS[read](session).append(2)
    assert session._changes().changed == {"list": [1, 2]}


@pytest.mark.parametrize("remove", [lambda session: session.pop("list"), lambda session: session.popitem()[1]])
def test_a_change_of_a_value_that_was_removed_and_set_again_is_detected(remove):
    session = SyncSession()
    session._adopt(SessionMetadata("sess", "test", custom_metadata={"list": [1]}))
    value = remove(session)
    value.append(2)
    session["list"] = value
    assert session._changes().changed == {"list": [1, 2]}


def test_looking_for_changes_is_no_access():
    session = SyncSession()
    session._adopt(SessionMetadata("sess", "test", custom_metadata={"list": [1]}))
    assert not session._changes()
    assert not session.accessed
