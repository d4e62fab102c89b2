"""Keysets, the environment, and the commands."""

from __future__ import annotations

import os
from base64 import b64encode, urlsafe_b64encode

import pytest

from chuk_sessions import SessionManager
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
