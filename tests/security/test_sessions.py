"""What OWASP asks of sessions: ASVS 5.0, chapter V7 "Session Management" (numbers are its requirements), and the
Session Management Cheat Sheet (names are its sections).

Where the contract tests hold a property already, the table below names them, and they are not repeated.
"""

from __future__ import annotations

import importlib
import secrets
from collections import Counter

import pytest

from chuk_sessions import SessionOwnerError
from chuk_sessions.core import ids

ELSEWHERE = {
    "7.2.1 verified by a trusted backend": ["validate.ends_at_the_deadline", "delete.nothing_brings_it_back"],
    "7.3.1 inactivity timeout": [
        "validate.ends_when_nobody_validates_it_for_the_idle_timeout",
        "extend.does_not_lengthen_the_idle_timeout",
        "rotate.the_grace_period_does_not_depend_on_the_idle_timeout",
    ],
    "7.3.2 absolute maximum lifetime": [
        "validate.the_deadline_holds_however_often_an_idle_session_is_validated",
        "merge.moves_neither_deadline_nor_idle_timeout",
        "rotate.gives_a_new_id_and_keeps_data_and_deadline",
    ],
    "7.1.2 what happens at the maximum of sessions": [
        "allocate.under_a_full_cap_the_oldest_gives_way",
        "allocate.under_a_full_cap_the_new_one_is_refused_where_asked_for",
        "rotate.a_login_respects_the_cap",
    ],
    "Manage Session ID as Any Other User Input": [
        "validate.a_malformed_id_is_simply_not_valid",
        "allocate.refuses_ids_that_could_forge_a_key_or_path",
    ],
}
DRAWS = 4096


@pytest.mark.parametrize(("where", "name"), [one.split(".") for found in ELSEWHERE.values() for one in found])
def test_what_is_held_elsewhere_is(where, name):
    assert hasattr(importlib.import_module(f"tests.contract.test_{where}"), f"test_{name}")


class TestIds:
    """7.2.3: unique, from a cryptographically secure generator, at least 128 bits of entropy."""

    def test_128_bits_come_from_the_systems_generator_and_go_into_the_id_as_they_are(self, monkeypatch):
        asked = []
        monkeypatch.setattr(secrets, "token_hex", lambda size: asked.append(size) or "5a" * size)
        assert ids.new_id("alice", 7).endswith("-07" + "5a" * 16)
        assert asked == [16]

    def test_every_digit_is_evenly_spread_and_no_two_ids_share_their_halves(self):
        drawn = [ids.new_id(None, 0)[-32:] for _ in range(DRAWS)]
        expected = DRAWS / 16
        for place in range(32):
            counts = Counter(digits[place] for digits in drawn)
            # Chi squared of 15 degrees of freedom passes 75 once in 10^9 times.
            assert sum((counts[digit] - expected) ** 2 / expected for digit in "0123456789abcdef") < 75
        assert len({digits[:16] for digits in drawn}) == len({digits[16:] for digits in drawn}) == DRAWS

    async def test_what_an_id_shows_can_be_known_without_knowing_the_id(self, world):
        """Session ID Content: nothing but a piece of the user's name and the time; both can be guessed anyway."""
        session_id = await world.manager().allocate_session(user_id="alice@example.org")
        word, name, seconds, rest = session_id.split("-")
        assert (word, name, seconds.isdigit(), len(rest)) == ("sess", "aliceexa", True, 34)


class TestLogin:
    """7.2.4: a new token on authentication and re-authentication, and the end of the current one. Cheat Sheet: Renew
    the Session ID After Any Privilege Level Change.
    """

    @pytest.mark.parametrize("before", [None, "alice", "bob"])
    async def test_the_id_from_before_is_worth_nothing(self, world, before):
        manager = world.manager()
        planted = await manager.allocate_session(user_id=before)
        session_id = await manager.rotate_session(planted, user_id="alice")
        assert session_id[-32:] != planted[-32:]
        assert await is_unknown(manager, planted)
        assert (await manager.get_session_metadata(session_id)).user_id == "alice"


class TestEnd:
    """7.4.1: after logout and expiration no further use of the session."""

    @pytest.mark.parametrize("how", ["logout", "revoked", "deadline", "idle", "replaced", "login", "grace is over"])
    async def test_an_ended_session_is_unknown_to_every_method_that_takes_an_id_from_outside(self, world, how):
        manager = world.manager(default_ttl_hours=1, idle_timeout_seconds=1800)
        session_id = await manager.allocate_session(user_id="alice", custom_metadata={"n": 1})
        await end(world, manager, session_id, how)
        assert await is_unknown(manager, session_id)
        assert await is_unknown(world.manager(), session_id)


class TestAllSessions:
    """7.4.2, 7.4.3, 7.4.5 and 7.5.2: a user's sessions can be seen, and ended one by one, all, or all others."""

    async def test_all_are_seen_and_one_can_be_ended(self, world):
        manager, made = world.manager(), await three_sessions(world)
        assert {one.session_id for one in await manager.list_user_sessions("alice")} == set(made)
        assert await manager.delete_session(made[0])
        assert {one.session_id for one in await manager.list_user_sessions("alice")} == set(made[1:])

    @pytest.mark.parametrize("kept", [None, 0, 2])
    async def test_all_others_end_and_those_of_other_users_do_not(self, world, kept):
        manager, made = world.manager(), await three_sessions(world)
        other = await manager.allocate_session(user_id="bob")
        keep = None if kept is None else made[kept]
        assert await manager.revoke_user_sessions("alice", except_session_id=keep) == (3 if keep is None else 2)
        assert [await manager.validate_session(one) for one in made] == [one == keep for one in made]
        assert await manager.validate_session(other)


class TestStrictness:
    """Cheat Sheet: Session ID Generation and Verification, "Permissive and Strict Session Management". Ids that the
    engine has not made are not adopted.
    """

    @pytest.mark.parametrize("made_up", ["chosen-by-the-attacker", "sess-alice-1700000000-07" + "0" * 32])
    async def test_an_unknown_id_is_not_adopted(self, world, made_up):
        manager = world.manager()
        assert await is_unknown(manager, made_up)
        assert await manager.count_sessions() == 0


class TestWhoseItIs:
    """Chapter V7, "Control Objective": sessions are unique to each individual and cannot be shared."""

    async def test_a_session_of_somebody_else_is_not_handed_over(self, world):
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
    """Whether no method that takes an id from a cookie finds, makes or changes anything under it."""
    answers = [
        await manager.validate_session(session_id),
        await manager.get_session_info(session_id),
        await manager.update_session_metadata(session_id, {"n": 2}),
        await manager.increment_session_counter(session_id, "n"),
        await manager.extend_session_ttl(session_id, 1),
        await manager.rotate_session(session_id),
        await manager.rotate_session(session_id, user_id="mallory"),
        await manager.delete_session(session_id),
        await manager.validate_session(session_id),
    ]
    return not any(answers)


async def three_sessions(world):
    manager = world.manager()
    own = await manager.allocate_session("own-id", user_id="alice")
    return [own, *[await manager.allocate_session(user_id="alice") for _ in range(2)]]


async def end(world, manager, session_id, how):
    if how == "logout":
        assert await manager.delete_session(session_id)
    elif how == "revoked":
        assert await manager.revoke_user_sessions("alice") == 1
    elif how in ("deadline", "idle"):
        await world.advance(seconds=3600 if how == "deadline" else 1800)
    elif how == "login":
        await manager.rotate_session(session_id, user_id="alice")
    else:
        await manager.rotate_session(session_id, grace_seconds=9 if how == "grace is over" else 0)
        await world.advance(seconds=9)
