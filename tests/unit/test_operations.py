"""Calls: their keys, arguments, and operation ids."""

from __future__ import annotations

import pytest

from chuk_sessions import exceptions
from chuk_sessions.core import keys, operation_ids, operations, statuses


def test_an_operation_id_is_11_characters_of_64_bits():
    fresh = {operation_ids.operation_id() for _ in range(1000)}
    assert len(fresh) == 1000
    assert {len(one) for one in fresh} == {11}
    # 64 bits in base64 leave two bits of the last character unused.
    assert {one[-1:] for one in fresh} <= {b"AEIMQUYcgkosw048"[n : n + 1] for n in range(16)}


def test_every_version_derives_the_same_operation_id_from_an_idempotency_key():
    """The ids are stored, so the formula must not change."""
    assert operation_ids.operation_id("pay-1", kind="merge") == b"pXiJeuR1Hec"
    assert operation_ids.operation_id("pay-1", kind="increment") == b"kEo2ebpWfdM"
    assert operation_ids.operation_id("pay-1", kind="append") == b"ZuD_RMQGr04"
    assert operation_ids.operation_id("pay-1", kind="transform") == b"VAzoe-Vd7Kw"
    assert operation_ids.operation_id("\ud800", kind="merge") == b"KbGWznjEomA"


@pytest.mark.parametrize("key", ["", 7, b"x"])
def test_refuses_invalid_idempotency_keys(key):
    with pytest.raises(ValueError, match=r"^an idempotency key must be a string that is not empty$"):
        operation_ids.operation_id(key)


def test_a_status_that_an_operation_does_not_have_is_a_provider_error():
    with pytest.raises(exceptions.ProviderError, match=r"^read replied with the undeclared status 5$"):
        statuses.check(operations.READ, [statuses.FULL])


def test_a_validation_declares_the_index_only_on_request():
    target = keys.session_keys("test", "s1")
    declared = {
        index: operations.validate(target, interval_ms=0, retention_ms=0, index=index).keys for index in (False, True)
    }
    assert declared == {False: (target.record,), True: (target.record, target.index_keys.deadlines)}


def test_retargeting_replaces_the_keys_of_the_session_and_nothing_else():
    old, near, far = keys.session_keys("test", "s1"), keys.session_keys("test", "s2"), keys.session_keys("test", "s3")
    call = operations.allocate(
        old, "test", ttl_ms=1, idle_ms=0, owner=b"", user=0, cap=1, retention_ms=0, create=True, victims=[near, near],
        reused=False,
    )  # fmt: skip
    retargeted = operations.retarget(call, far)
    assert retargeted.keys == (
        far.record,
        far.index_keys.deadlines,
        far.index_keys.users,
        far.index_keys.sandboxes,
        far.index_keys.events,
        *[near.record, near.operations] * 2,
    )
    assert retargeted.argv == (far.handle, *call.argv[1:])
    assert operations.retarget(operations.read(old), far) == operations.read(far)
