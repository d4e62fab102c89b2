"""Loops that are closed without being shut down, with connections to several servers."""

from __future__ import annotations

import asyncio
import os

import pytest

from chuk_sessions.backends.redis import RedisBackend, per_loop
from tests.harness.farms import wait_for
from tests.redis.test_connection_shutdown import FORKING, in_a_process
from tests.redis.tools import manager_on


@pytest.mark.parametrize("name", ["sentinel", "cluster", "a node of a cluster"])
def test_a_closed_loop_leaves_no_connection(farms, name):
    farm = farms[name.rpartition(" ")[2]]
    url = farm.url.partition(",")[0] if name.startswith("a node") else farm.url
    backend = RedisBackend(url, client_name="left-open")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(manager_on(backend).count_sessions())
    loop.close()
    assert _named(farm, "left-open")
    per_loop._at_exit()
    wait_for(lambda: not _named(farm, "left-open"), "no connections of ours")


def _named(farm, name: str) -> list[dict[str, str]]:
    servers = [*farm.members, *getattr(farm, "sentinels", [])]
    return [one for member in servers for one in member.client.client_list() if one["name"] == name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_has_connections_of_its_own_to_sentinels_and_leaves_the_parents_alone(farms):
    farm = farms["sentinel"]
    in_a_process(farm.url, FORKING + "asyncio.run(in_a_loop())")
    wait_for(lambda: not _named(farm, "process"), "no connections of ours")
