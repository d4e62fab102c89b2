"""The requirements of OWASP for sessions: ASVS 5.0, chapter V7 "Session Management" (numbers are its requirements), and
the Session Management Cheat Sheet (names are its sections).

The contract tests already cover some of them. A table below names those tests instead of repeating them.
"""

from __future__ import annotations

import importlib
import secrets
from collections import Counter

import pytest

from chuk_sessions import SessionOwnerError
from chuk_sessions.core import ids
from tests.harness.references import listed, references

CONTRACT_TESTS = {
    "7.2.1 verified by a trusted backend": [
        "validate.a_session_expires_at_its_deadline",
        "delete.no_later_call_restores_the_session",
    ],
    "7.3.1 inactivity timeout": [
        "validate.a_session_expires_without_an_access_during_its_idle_timeout",
        "extend.does_not_lengthen_the_idle_timeout",
        "rotate.the_grace_period_does_not_depend_on_the_idle_timeout",
    ],
    "7.3.2 absolute maximum lifetime": [
        "validate.the_deadline_holds_however_often_a_session_is_validated",
        "merge.moves_neither_deadline_nor_idle_timeout",
        "rotate.gives_a_new_id_and_keeps_data_and_deadline",
    ],
    "7.1.2 what happens at the maximum of sessions": [
        "allocate.a_full_cap_evicts_the_oldest_session",
        "allocate.a_full_cap_refuses_a_new_session_with_when_full_refuse",
        "rotate.a_login_respects_the_cap",
    ],
    "Manage Session ID as Any Other User Input": [
        "validate.a_malformed_id_is_not_valid",
        "allocate.refuses_ids_that_could_forge_a_key_or_path",
    ],
}
DRAWS = 4096


@pytest.mark.parametrize(
    ("operation", "name"), [test.split(".") for tests in CONTRACT_TESTS.values() for test in tests]
)
def test_the_contract_tests_named_here_exist(operation, name):
    assert hasattr(importlib.import_module(f"tests.contract.test_{operation}"), f"test_{name}")


class TestIds:
    """Requirement 7.2.3: ids are unique, from a cryptographically secure generator, at least 128 bits of entropy."""

    def test_an_id_contains_128_bits_from_the_systems_generator_unchanged(self, monkeypatch):
        asked = []
        monkeypatch.setattr(secrets, "token_bytes", lambda size: asked.append(size) or b"\x5a" * size)
        assert ids.new_id("alice", 7).endswith("-07" + "5a" * 16)
        assert asked == [16]

    def test_digits_are_evenly_distributed_and_no_two_ids_share_a_half(self):
        drawn = [ids.new_id(None, 0)[-32:] for _ in range(DRAWS)]
        expected = DRAWS / 16
        for position in range(32):
            counts = Counter(digits[position] for digits in drawn)
            # Chi-squared with 15 degrees of freedom exceeds 75 once in 10^9 times.
            assert sum((counts[digit] - expected) ** 2 / expected for digit in "0123456789abcdef") < 75
        assert len({digits[:16] for digits in drawn}) == len({digits[16:] for digits in drawn}) == DRAWS

    async def test_an_id_reveals_nothing_that_cannot_be_guessed(self, world):
        """Session ID Content: an id shows the beginning of the user's name and the time. Both can be guessed anyway."""
        session_id = await world.manager().allocate_session(user_id="alice@example.org")
        word, name, seconds, rest = session_id.split("-")
        assert (word, name, seconds.isdigit(), len(rest)) == ("sess", "aliceexa", True, 34)


class TestLogin:
    """Requirement 7.2.4: a new token on authentication and re-authentication, which terminates the current one.

    Cheat Sheet: "Renew the Session ID After Any Privilege Level Change".
    """

    @pytest.mark.parametrize("before", [None, "alice", "bob"])
    async def test_the_id_from_before_the_login_is_invalid(self, world, before):
        manager = world.manager()
        planted = await manager.allocate_session(user_id=before)
        session_id = await manager.rotate_session(planted, user_id="alice")
        assert session_id[-32:] != planted[-32:]
        assert await is_unknown(manager, planted)
        assert (await manager.get_session_metadata(session_id)).user_id == "alice"


class TestTermination:
    """Requirement 7.4.1: no further use of a session after logout or expiration."""

    @pytest.mark.parametrize("how", ["logout", "revoked", "deadline", "idle", "rotated", "login", "grace period"])
    async def test_every_method_that_takes_an_id_treats_a_terminated_session_as_unknown(self, world, how):
        manager = world.manager(default_ttl_hours=1, idle_timeout_seconds=1800)
        session_id = await manager.allocate_session(user_id="alice", custom_metadata={"n": 1})
        await terminate(world, manager, session_id, how)
        assert await is_unknown(manager, session_id)
        assert await is_unknown(world.manager(), session_id)


class TestAllSessions:
    """Requirements 7.4.2, 7.4.3, 7.4.5 and 7.5.2: a user's sessions can be listed, and terminated one by one or all."""

    async def test_all_are_listed_and_one_can_be_deleted(self, world):
        manager, session_ids = world.manager(), await three_sessions(world)
        assert set(await listed(manager, "alice")) == set(references(session_ids))
        assert await manager.delete_session(session_ids[0])
        assert set(await listed(manager, "alice")) == set(references(session_ids[1:]))

    @pytest.mark.parametrize("kept", [None, 0, 2])
    async def test_revoking_all_others_spares_the_sessions_of_other_users(self, world, kept):
        manager, session_ids = world.manager(), await three_sessions(world)
        other = await manager.allocate_session(user_id="bob")
        keep = None if kept is None else session_ids[kept]
        assert await manager.revoke_user_sessions("alice", except_session_id=keep) == (3 if keep is None else 2)
        assert [await manager.validate_session(one) for one in session_ids] == [one == keep for one in session_ids]
        assert await manager.validate_session(other)


class TestStrictness:
    """Cheat Sheet, "Session ID Generation and Verification: Permissive and Strict Session Management".

    The engine adopts no id that it has not generated.
    """

    @pytest.mark.parametrize("made_up", ["chosen-by-the-attacker", "sess-alice-1700000000-07" + "0" * 32])
    async def test_an_unknown_id_is_not_adopted(self, world, made_up):
        manager = world.manager()
        assert await is_unknown(manager, made_up)
        assert await manager.count_sessions() == 0


class TestOwnership:
    """Chapter V7, "Control Objective": sessions are unique to each individual and cannot be shared."""

    async def test_a_session_is_not_given_to_another_user(self, world):
        manager = world.manager()
        session_id = await manager.allocate_session(user_id="alice", custom_metadata={"n": 1})
        with pytest.raises(SessionOwnerError):
            await manager.allocate_session(session_id, user_id="bob")
        assert await manager.list_user_sessions("bob") == []
        assert await manager.revoke_user_sessions("bob", except_session_id=session_id) == 0
        assert (await manager.get_session_metadata(session_id)).user_id == "alice"

    async def test_a_session_is_unknown_in_every_other_sandbox(self, world):
        session_id = await world.manager("one").allocate_session(user_id="alice", custom_metadata={"n": 1})
        other = world.manager("two")
        assert await is_unknown(other, session_id)
        assert await other.list_user_sessions("alice") == []
        assert await other.revoke_user_sessions("alice") == 0
        assert (await world.manager("one").get_session_metadata(session_id)).custom_metadata == {"n": 1}


async def is_unknown(manager, session_id):
    """Tell whether every method that takes an id from a cookie finds, creates, and changes nothing under it."""
    results = [
        await manager.validate_session(session_id),
        await manager.load_session(session_id),
        await manager.get_session_info(session_id),
        await manager.update_session_metadata(session_id, {"n": 2}),
        await manager.increment_session_counter(session_id, "n"),
        await manager.extend_session_ttl(session_id, 1),
        await manager.set_session_ttl(session_id, 1),
        await manager.rate_limit_session(session_id, "api", 1, 60),
        await manager.rotate_session(session_id),
        await manager.rotate_session(session_id, user_id="mallory"),
        await manager.delete_session(session_id),
        await manager.validate_session(session_id),
    ]
    return not any(results)


async def three_sessions(world):
    manager = world.manager()
    own = await manager.allocate_session("own-id", user_id="alice")
    return [own, *[await manager.allocate_session(user_id="alice") for _ in range(2)]]


async def terminate(world, manager, session_id, how):
    if how == "logout":
        assert await manager.delete_session(session_id)
    elif how == "revoked":
        assert await manager.revoke_user_sessions("alice") == 1
    elif how in ("deadline", "idle"):
        await world.advance(seconds=3600 if how == "deadline" else 1800)
    elif how == "login":
        await manager.rotate_session(session_id, user_id="alice")
    else:
        await manager.rotate_session(session_id, grace_seconds=9 if how == "grace period" else 0)
        await world.advance(seconds=9)
