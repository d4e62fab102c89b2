"""Keysets, the environment, and the commands."""

from __future__ import annotations

import os
from base64 import b64encode, urlsafe_b64encode
from types import SimpleNamespace

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.core import data_operations, statuses
from chuk_sessions.core.keys import session_keys
from chuk_sessions.encryption import Encryption, Progress, count_keys, from_env, generate_key, keyset, reencrypt
from chuk_sessions.encryption import __main__ as commands
from chuk_sessions.exceptions import KeyUnavailableError, NotSupportedError
from chuk_sessions.providers import memory
from tests.encryption.stored import KEYS, encryption, stored

KEY = b64encode(KEYS["new"]).decode()


def same(one: Encryption, other: Encryption) -> bool:
    """Return whether one reads what the other writes, and finds the same users."""
    writes, reads = other.codec("test"), one.codec("test")
    pairs = writes.encode({"a": 1}, 100, b"s" * 16)
    return reads.decode({b"s": b"s" * 16, **dict([pairs])}) == {"a": 1} and reads.owner("x") == writes.owner("x")


def test_keys_come_as_bytes_text_functions_and_files(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# keys of the shop\nnew:{KEY}\n\n")
    urlsafe = urlsafe_b64encode(KEYS["new"]).decode().rstrip("=")
    expected = Encryption({"new": KEYS["new"]}, primary="new")
    for source in (
        {"new": KEY}, {"new": urlsafe}, {"new": lambda: KEYS["new"]}, {"new": lambda: KEY}, f"new:{KEY}", file,
        lambda: {"new": KEYS["new"]}, lambda: f"new:{KEY}",
    ):  # fmt: skip
        assert same(Encryption(source, primary="new"), expected)


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({}, {"primary": None}),
        ({"index": b"i" * 32}, {"primary": None}),
        ({"a": b"short"}, {"primary": "a"}),
        ({"a": "not base64!"}, {"primary": "a"}),
        ({"a b": b"x" * 32}, {"primary": "a b"}),
        ({"a": b"x" * 32}, {"primary": "b"}),
        ({"a": b"x" * 32, "b": b"y" * 32}, {"primary": "a"}),
        ({"a": b"x" * 32}, {"primary": None, "require": True}),
        ({"a": b"x" * 32}, {"primary": "a", "plain_keys": "one"}),
        ("a", {"primary": "a"}),
        (f"a:{KEY},a:{KEY}", {"primary": "a"}),
    ],
)
def test_malformed_keysets_are_refused(keys, options):
    with pytest.raises(ValueError, match="key"):
        Encryption(keys, **options)


@pytest.mark.parametrize("keys", [None, b"x" * 32, 7, {"a": None}, lambda: None, {"none": b"x" * 32}, {"plain": KEY}])
def test_sources_of_another_type_and_reserved_ids_are_refused(keys):
    with pytest.raises(ValueError, match="key"):
        Encryption(keys, primary=None)


def test_no_message_shows_a_key_that_was_given_as_an_id():
    secret = urlsafe_b64encode(KEYS["new"]).decode().rstrip("=")
    for build in (
        lambda: Encryption(f"{secret}:2026-11", primary=None),
        lambda: Encryption({secret: b"short"}, primary=None),
        lambda: Encryption({"a": KEYS["new"]}, primary=secret),
        lambda: keyset.rotation(f"a:{KEY}", secret),
    ):
        with pytest.raises(ValueError, match="key") as caught:
            build()
        assert secret not in str(caught.value)


def test_generated_keys_differ():
    assert len({generate_key() for _ in range(10)} | {generate_key()}) == 11
    assert len(generate_key()) == 32


@pytest.fixture
def env(monkeypatch):
    """Return a function that sets the environment to these settings only."""

    def setting(**variables):
        for name in [name for name in os.environ if name.startswith("SESSION_ENCRYPTION")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(f"SESSION_ENCRYPTION_{name}", value)

    return setting


def test_the_environment_configures_encryption(env, tmp_path):
    text = keyset.text_of(KEYS)
    env(KEYS=text)
    assert from_env().primary == "old"
    assert from_env() is from_env()
    env(KEYS=text, PRIMARY="new", PLAIN_KEYS="hits,log", REQUIRE="1")
    assert (from_env().primary, from_env().require) == ("new", True)
    assert from_env().codec("test").plain_field("log") == b"m:log"
    env(KEYS=text, PRIMARY="none")
    assert from_env().primary is None
    (tmp_path / "keys").write_text(text)
    env(KEYS_FILE=str(tmp_path / "keys"))
    assert from_env().primary == "old"
    env(KEYS=text, KEYS_FILE=str(tmp_path / "keys"))
    with pytest.raises(ValueError, match="either"):
        from_env()


def test_a_malformed_environment_is_refused(env):
    env(KEYS=f"new:{KEY}", PLAIN_KEYS=" hits , log ")
    assert from_env().codec("test").plain_field("hits") == b"m:hits"
    env(KEYS=f"new:{KEY}", REQUIRE="true")
    with pytest.raises(ValueError, match="SESSION_ENCRYPTION_REQUIRE"):
        from_env()
    env(KEYS="", REQUIRE="1")
    with pytest.raises(ValueError, match="SESSION_ENCRYPTION_KEYS"):
        SessionManager("test", memory.factory())


async def test_managers_use_the_encryption_of_the_environment(env, world):
    env(KEYS=f"new:{KEY}")
    session_id = await world.manager().allocate_session(custom_metadata={"a": 1})
    assert (await stored(world, session_id))[b"m:a"].startswith(b"E\x01")
    other = SessionManager("test", world.factory, encryption=encryption("old", ("old",)))
    with pytest.raises(KeyUnavailableError):
        await other.get_session_metadata(session_id)


def test_commands_print_keysets_for_each_step(env, capsys):
    assert commands.main(["generate", "one"]) == 0
    env(KEYS=capsys.readouterr().out.strip())
    assert from_env().key_ids == ("one",)
    first = from_env()
    assert commands.main(["rotate", "two"]) == 0
    steps = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    found = []
    for step in steps:
        env(KEYS=step)
        found.append((from_env().primary, from_env().key_ids))
    assert found == [("one", ("one", "two")), ("two", ("two", "one")), ("two", ("two",))]
    env(KEYS=steps[1])
    codec, old = from_env().codec("test"), first.codec("test")
    assert codec.owner("alice") == old.owner("alice")
    assert commands.main(["rotate", "two"]) == 2
    assert commands.main(["rotate", "a b"]) == 2


def test_a_rotation_from_a_single_key_keeps_the_key_of_the_index(env, capsys):
    env(KEYS=f"new:{KEY}")
    before = from_env().codec("test").owner("alice")
    assert commands.main(["rotate", "next"]) == 0
    env(KEYS=capsys.readouterr().out.splitlines()[-1])
    assert from_env().codec("test").owner("alice") == before


async def test_reencryption_reports_progress_and_resumes(world):
    plain, ours = world.manager(), encryption()
    for number in range(30):
        await plain.allocate_session(f"own-{number}", user_id=f"user {number % 3}", custom_metadata={"n": number})
    before = await stored(world, "own-1")
    assert await count_keys(world.factory, "test", ours) == {"plain": 30}
    seen: list[Progress] = []

    class StoppedError(Exception):
        pass

    def stop(progress):
        seen.append(progress)
        if progress.bucket >= 128:
            raise StoppedError

    with pytest.raises(StoppedError):
        await reencrypt(world.factory, "test", ours, on_progress=stop)
    rest = await reencrypt(world.factory, "test", ours, start=seen[-1].bucket)
    assert rest.is_complete
    assert seen[-1].rewritten + rest.rewritten == 30
    assert await count_keys(world.factory, "test", ours) == {"new": 30}
    assert (await reencrypt(world.factory, "test", ours)).rewritten == 0
    after = await stored(world, "own-1")
    assert {name: after[name] for name in (b"v", b"d", b"a", b"c")} == {
        name: before[name] for name in (b"v", b"d", b"a", b"c")
    }
    manager = world.manager(encryption=encryption(require=True))
    assert len(await manager.list_user_sessions("user 1")) == 10
    assert await manager.revoke_user_sessions("user 2") == 10
    assert (await reencrypt(world.factory, "test", encryption(None))).rewritten == 20
    assert await count_keys(world.factory, "test", ours) == {"plain": 20}
    assert len(await plain.list_user_sessions("user 1")) == 10
    assert set(await stored(world, "own-1")) == set(before)


async def test_reencryption_reports_what_it_cannot_read(world):
    await world.manager(encryption=encryption("new")).allocate_session(custom_metadata={"a": 1})
    only_old = encryption("old", ("old",))
    progress = await reencrypt(world.factory, "test", only_old)
    assert (progress.unavailable, progress.is_complete) == (1, False)
    assert [*(await count_keys(world.factory, "test", only_old))] == [f"unavailable:{keyset.key_hash('new').hex()}"]


async def test_keys_of_encrypted_values_count_although_their_fields_should_be_plain(world):
    await world.manager(encryption=encryption("old")).allocate_session(custom_metadata={"hits": 1})
    assert await count_keys(world.factory, "test", encryption(plain_keys=("hits",))) == {"old": 1}


async def test_reencryption_in_both_directions_at_once_loses_nothing(world):
    """A record that is decrypted keeps its salt while a value needs it."""
    manager = world.manager(encryption=encryption(None))
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"b": 2})
    await world.manager(encryption=encryption()).update_session_metadata(session_id, {"a": 1})
    target = session_keys("test", session_id)
    fields = await stored(world, session_id)
    back, forth = [encryption(primary).codec("test").rewriting(fields) for primary in (None, "new")]
    replies = [
        (
            await world.backend.run(
                data_operations.rewrite(
                    target,
                    created=fields[b"c"],
                    version=fields[b"v"],
                    pairs=one.pairs,
                    removals=one.removals,
                    user=one.score,
                )
            )
        )[0]
        for one in (forth, back)
    ]
    assert replies == [statuses.OK, statuses.CONFLICT]
    session = await manager.get_session_metadata(session_id)
    assert (session.user_id, session.custom_metadata) == ("alice", {"a": 1, "b": 2})
    assert (await reencrypt(world.factory, "test", encryption(None))).rewritten == 1
    assert await count_keys(world.factory, "test", encryption()) == {"plain": 1}


async def test_reencryption_counts_only_what_it_has_rewritten(world):
    session_id = await world.manager().allocate_session(custom_metadata={"n": 0})
    manager, conflicts = world.manager(), []

    async def change(call):
        if call.operation.name == "rewrite" and len(conflicts) < 3:
            conflicts.append(call)
            await manager.update_session_metadata(session_id, {"n": len(conflicts)})

    factory = SimpleNamespace(backend=world.intercepted(change)._backend)
    progress = await reencrypt(factory, "test", encryption())
    assert (len(conflicts), progress.rewritten) == (3, 1)


def test_a_damaged_state_is_refused(tmp_path):
    path = tmp_path / "state"
    path.write_text("{")
    with pytest.raises(ValueError, match="progress"):
        commands.state.load(path, "job")


@pytest.mark.parametrize("command", ["list", "reencrypt"])
def test_the_commands_report_a_store_that_cannot_be_reached(env, capsys, monkeypatch, command):
    env(KEYS=f"new:{KEY}")
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("SESSION_REDIS_CALL_TIMEOUT", "0.2")
    # The exit code 1 would say that records remain under keys that are not available.
    assert commands.main([command, "--sandbox", "test"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


async def test_custom_providers_have_no_index_to_walk():
    with pytest.raises(NotSupportedError):
        await reencrypt(lambda: None, "test", encryption())


def test_the_command_resumes_from_its_state(env, capsys, tmp_path, monkeypatch):
    env(KEYS=f"new:{KEY}")
    monkeypatch.setenv("SESSION_PROVIDER", "memory")
    state = tmp_path / "state"
    arguments = ["reencrypt", "--sandbox", "resumed", "--state", str(state)]
    assert commands.main(arguments) == 0
    assert not state.exists()
    commands.state.save(state, "resumed new", 240)
    assert commands.main(arguments) == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("256/256")
    commands.state.save(state, "another new", 240)
    assert commands.main(arguments) == 2
    assert commands.main(["list", "--sandbox", "resumed"]) == 0
    assert memory.factory() is not None
