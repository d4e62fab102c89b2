"""set: write metadata fields; `merge` handles every other change of metadata."""

from __future__ import annotations

import pytest

from chuk_sessions.core import data_operations, operations
from chuk_sessions.core.keys import session_keys

PAIRS = [part for number in range(500) for part in (b"m:%d" % number, b"%d" % number)]


@pytest.mark.parametrize("pairs", [[], PAIRS[:2], PAIRS, [*PAIRS, b"m:more", b"0"], PAIRS * 3], ids=len)
async def test_sets_any_number_of_fields_in_one_version(single, pairs):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"kept": True})
    call = data_operations.merge(session_keys("test", session_id), pairs=pairs)
    assert (await single.backend.run(call))[0] == operations.s.OK
    found = await manager.get_session_metadata(session_id)
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    assert found.custom_metadata == {"kept": True, **{key[2:].decode(): int(value) for key, value in fields.items()}}
    assert found.version == 2


async def test_never_creates_a_session_or_restores_one(single):
    manager = single.manager()
    assert not await manager.update_session_metadata("s1", {"a": 1})
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1)
    assert not await manager.update_session_metadata(session_id, {"a": 1})
    assert await manager.get_session_info(session_id) is None
