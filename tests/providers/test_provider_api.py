"""The provider API: single values, with the same results on every provider."""

from __future__ import annotations

import asyncio
import math

import pytest


async def test_stores_reads_and_deletes(world):
    async with world.factory() as store:
        assert await store.get("user:123") is None
        assert await store.setex("user:123", 300, "alice") is None
        assert await store.get("user:123") == "alice"
        assert await store.delete("user:123") is True
        assert await store.delete("user:123") is False
        assert await store.get("user:123") is None


async def test_values_outlive_the_session_that_stored_them(world):
    async with world.factory() as store:
        await store.set("k", "v")
    async with world.factory() as store:
        assert await store.get("k") == "v"


@pytest.mark.parametrize(
    "value", ["", "text", "naïve 名前 🎈", "x" * 1_000_000, b"bytes", "é".encode(), bytearray(b"b")]
)
async def test_text_and_bytes_are_returned_as_text(world, value):
    text = value if isinstance(value, str) else bytes(value).decode()
    async with world.factory() as store:
        await store.setex("k", 60, value)
        assert await store.get("k") == text
        assert await store.getdel("k") == text


@pytest.mark.parametrize("value", [b"\xff", "\ud800", 7, 1.5, None, ["a"], {"a": 1}, True], ids=repr)
async def test_refuses_other_values_and_loses_nothing(world, value):
    async with world.factory() as store:
        await store.setex("k", 60, "before")
        with pytest.raises(ValueError, match="value"):
            await store.setex("k", 60, value)
        with pytest.raises(ValueError, match="value"):
            await store.set("k", value)
        assert await store.get("k") == "before"


@pytest.mark.parametrize("ttl", [0, -1, 0.0, math.nan, math.inf, True, "60", None, 10**400], ids=repr)
async def test_refuses_invalid_ttls(world, ttl):
    async with world.factory() as store:
        with pytest.raises(ValueError, match="ttl"):
            await store.setex("k", ttl, "v")
        assert await store.get("k") is None


async def test_ttls_may_be_fractions(world):
    async with world.factory() as store:
        await store.setex("k", 1.5, "v")
        assert await store.get("k") == "v"


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 5000, "chuk1:{00}/s", "\x00"], ids=lambda key: key[:12])
async def test_keys_are_taken_as_given(world, key):
    async with world.factory() as store:
        await store.setex(key, 60, "v")
        assert await store.get(key) == "v"
        assert await store.get(key + "x") is None


@pytest.mark.parametrize("key", [None, 7, b"k", "\ud800"], ids=repr)
async def test_refuses_other_keys(world, key):
    async with world.factory() as store:
        for call in (store.get(key), store.delete(key), store.getdel(key), store.setex(key, 1, "v")):
            with pytest.raises(ValueError, match="key"):
                await call


async def test_one_of_fifty_tasks_redeems_a_one_time_code(world):
    async def redeem():
        async with world.factory() as store:
            return await store.getdel("verify:alice")

    for number in range(5):
        async with world.factory() as store:
            await store.setex("verify:alice", 600, f"code-{number}")
        answers = await asyncio.gather(*(redeem() for _ in range(50)))
        assert sorted(answers, key=str) == sorted([f"code-{number}"] + [None] * 49, key=str)


async def test_lacks_methods_that_clients_probe_for(world):
    async with world.factory() as store:
        assert not [name for name in ("sadd", "srem", "smembers", "keys") if hasattr(store, name)]


async def test_the_server_keeps_the_ttl(server):
    from chuk_sessions.providers import redis

    async with redis.factory(server.url)() as store:
        await store.setex("k", 1.5, "v")
        await store.set("default", "v")
    with server.client() as client:
        assert 1000 < client.pttl("k") <= 1500
        assert 3_590_000 < client.pttl("default") <= 3_600_000
