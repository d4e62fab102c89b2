"""What calls carry, and what names an application of one."""

from __future__ import annotations

import pytest

from chuk_sessions import exceptions
from chuk_sessions.core import keys, operations, statuses


def test_an_operation_id_is_11_characters_of_64_bits():
    fresh = {operations.operation_id() for _ in range(1000)}
    assert len(fresh) == 1000
    assert {len(one) for one in fresh} == {11}
    # 64 bits in base64 leave two bits of the last character unused.
    assert {one[-1:] for one in fresh} <= {b"AEIMQUYcgkosw048"[n : n + 1] for n in range(16)}


def test_an_idempotency_key_is_known_again_by_every_version():
    """Ids are stored: the formula must stay."""
    assert operations.operation_id("pay-1", kind="merge") == b"pXiJeuR1Hec"
    assert operations.operation_id("pay-1", kind="increment") == b"kEo2ebpWfdM"
    assert operations.operation_id("\ud800", kind="merge") == b"KbGWznjEomA"


@pytest.mark.parametrize("key", ["", 7, b"x"])
def test_odd_idempotency_keys_are_refused(key):
    with pytest.raises(ValueError, match=r"^an idempotency key must be a string that is not empty$"):
        operations.operation_id(key)


def test_a_status_that_an_operation_does_not_have_is_a_provider_error():
    with pytest.raises(exceptions.ProviderError, match=r"^read replied with the undeclared status 5$"):
        statuses.check(operations.READ, [statuses.FULL])


def test_a_validation_declares_the_index_only_where_it_is_asked_to():
    target = keys.session_keys("test", "s1")
    declared = {
        index: operations.validate(target, interval_ms=0, retention_ms=0, index=index).keys for index in (False, True)
    }
    assert declared == {False: (target.record,), True: (target.record, target.index_keys.deadlines)}


def test_a_call_on_another_session_takes_its_keys_and_leaves_the_rest():
    old, near, far = keys.session_keys("test", "s1"), keys.session_keys("test", "s2"), keys.session_keys("test", "s3")
    call = operations.allocate(
        old, "test", ttl_ms=1, idle_ms=0, owner=b"", user=0, cap=1, retention_ms=0, create=True, victims=[near, near]
    )
    moved = operations.retarget(call, far)
    assert moved.keys == (
        far.record,
        far.index_keys.deadlines,
        far.index_keys.users,
        far.index_keys.sandboxes,
        *[near.record, near.operations] * 2,
    )
    assert moved.argv == (far.handle, *call.argv[1:])
    assert operations.retarget(operations.read(old), far) == operations.read(far)
