"""Metadata is returned exactly as it was stored, or it is refused."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from chuk_sessions import ABSENT
from chuk_sessions.core import codec
from chuk_sessions.exceptions import CorruptRecordError, InvalidMetadataError
from tests.fuzz.cases import FUZZ

LIMIT = 10_000
TEXT = st.one_of(st.text(), st.text(st.sampled_from('a"\\/\x00\x1f\x7f\u2028\ud83d\ude00\ud800é'), max_size=6))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.integers(10**300, 10**310))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
NOT_JSON = st.one_of(st.binary(), st.tuples(st.integers()), st.sets(st.integers()), st.complex_numbers(), st.dates())
ANY_VALUES = st.recursive(
    SCALARS | NOT_JSON, lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner, max_size=3)
)
JSONISH = st.text(st.sampled_from('[]{}:,"019.eE+-truefalsnINy \\u'), max_size=12).map(str.encode)


def identical(first, second):
    """Tell whether two values are equal and have the same types at every depth."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and all(identical(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(identical, first, second))
    return repr(first) == repr(second)


@FUZZ
@given(st.dictionaries(TEXT, VALUES | ANY_VALUES, max_size=4))
@example({"a": -0.0, "b": 1e400, "c": 10**4299})
@example({"a": 10**4300})
def test_accepted_metadata_is_returned_exactly(metadata):
    try:
        pairs = codec.encode(metadata, LIMIT)
    except InvalidMetadataError:
        return
    assert sum(map(len, pairs)) - len(codec.PREFIX) * len(metadata) <= LIMIT
    assert identical(codec.decode(zip(pairs[::2], pairs[1::2], strict=True)), metadata)


@FUZZ
@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_items_are_appended_exactly_without_decoding(items, more):
    try:
        field, first = codec.encode_items("k", items, LIMIT)
        _, second = codec.encode_items("k", more, LIMIT)
    except InvalidMetadataError:
        return
    text = b"[%b]" % b",".join(filter(None, [first, second]))
    assert identical(codec.decode_value(field, text), [*items, *more])


@FUZZ
@given(st.dictionaries(TEXT, VALUES | st.just(ABSENT), max_size=4))
def test_expected_values_have_the_texts_that_are_stored(expected):
    present = {key: value for key, value in expected.items() if value is not ABSENT}
    try:
        pairs = codec.encode(present, LIMIT)
    except InvalidMetadataError:
        return
    compared = codec.encode_expected(expected, LIMIT)
    stored = dict(zip(pairs[::2], pairs[1::2], strict=True))
    assert dict(zip(compared[::2], compared[1::2], strict=True)) == {
        codec.field_of(key): stored.get(codec.field_of(key), b"") for key in expected
    }


@FUZZ
@given(VALUES, st.integers(0, 250), st.booleans())
def test_depth_and_size_are_bounded(value, depth, in_dicts):
    for _ in range(depth):
        value = {"k": value} if in_dicts else [value]
    try:
        pairs = codec.encode({"k": value}, 300)
    except InvalidMetadataError:
        return
    assert len(pairs[1]) <= 300


@FUZZ
@given(st.lists(st.tuples(st.binary() | TEXT.map(codec.field_of), st.binary() | JSONISH), max_size=4))
@example([(b"m:a", b"[" * 100_000)])
@example([(b"m:a", b"1" * 5000)])
def test_stored_fields_are_decoded_or_raise_a_typed_error(fields):
    try:
        found = codec.decode(fields)
    except CorruptRecordError:
        return
    assert all(isinstance(key, str) for key in found)
