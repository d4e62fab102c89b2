"""Values of a session: exact JSON is stored plainly, anything else through a serializer, and nothing is mistaken."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chuk_sessions import CorruptRecordError, InvalidMetadataError
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
