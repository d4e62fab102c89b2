"""Metadata comes back exactly as it went in, or does not go in."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from chuk_sessions.core import codec
from chuk_sessions.exceptions import CorruptRecordError, InvalidMetadataError
from tests.fuzz.cases import FUZZ

LIMIT = 10_000
TEXT = st.one_of(st.text(), st.text(st.sampled_from('a"\\/\x00\x1f\x7f\u2028\ud83d\ude00\ud800é'), max_size=6))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.integers(10**300, 10**310))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
ODD = st.one_of(st.binary(), st.tuples(st.integers()), st.sets(st.integers()), st.complex_numbers(), st.dates())
MIXED = st.recursive(SCALARS | ODD, lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner, max_size=3))
JSONISH = st.text(st.sampled_from('[]{}:,"019.eE+-truefalsnINy \\u'), max_size=12).map(str.encode)


def same(one, other):
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@FUZZ
@given(st.dictionaries(TEXT, VALUES | MIXED, max_size=4))
@example({"a": -0.0, "b": 1e400, "c": 10**4299})
@example({"a": 10**4300})
def test_what_is_taken_comes_back_exactly(metadata):
    try:
        pairs = codec.encode(metadata, LIMIT)
    except InvalidMetadataError:
        return
    assert sum(map(len, pairs)) - len(codec.PREFIX) * len(metadata) <= LIMIT
    assert same(codec.decode(zip(pairs[::2], pairs[1::2], strict=True)), metadata)


@FUZZ
@given(VALUES, st.integers(0, 250), st.booleans())
def test_depth_and_size_are_bounded(value, depth, in_a_dict):
    for _ in range(depth):
        value = {"k": value} if in_a_dict else [value]
    try:
        pairs = codec.encode({"k": value}, 300)
    except InvalidMetadataError:
        return
    assert len(pairs[1]) <= 300


@FUZZ
@given(st.lists(st.tuples(st.binary() | TEXT.map(codec.field_of), st.binary() | JSONISH), max_size=4))
@example([(b"m:a", b"[" * 100_000)])
@example([(b"m:a", b"1" * 5000)])
def test_what_is_stored_is_read_or_a_typed_error(fields):
    try:
        found = codec.decode(fields)
    except CorruptRecordError:
        return
    assert all(isinstance(key, str) for key in found)
