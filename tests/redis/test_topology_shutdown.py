"""Event loops that are closed without shutdown, and forks, with connections to several servers."""

from __future__ import annotations

import asyncio
import os

import pytest

from chuk_sessions.backends.redis import RedisBackend, per_loop
from tests.harness.farms import wait_for
from tests.redis.test_connection_shutdown import FORKING, run_in_process
from tests.redis.tools import manager_on


@pytest.mark.parametrize("name", ["sentinel", "cluster", "a node of a cluster"])
def test_a_closed_loop_leaves_no_connection(farms, name):
    farm = farms[name.rpartition(" ")[2]]
    url = farm.url.partition(",")[0] if name.startswith("a node") else farm.url
    backend = RedisBackend(url, client_name="left-open")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(manager_on(backend).count_sessions())
    loop.close()
    assert _connections(farm, "left-open")
    per_loop._at_exit()
    wait_for(lambda: not _connections(farm, "left-open"), "no connections of the library")


def _connections(farm, name: str) -> list[dict[str, str]]:
    servers = [*farm.members, *getattr(farm, "sentinels", [])]
    return [one for member in servers for one in member.client.client_list() if one["name"] == name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_its_own_connections_to_sentinels(farms):
    farm = farms["sentinel"]
    run_in_process(farm.url, FORKING + "asyncio.run(in_a_loop())")
    wait_for(lambda: not _connections(farm, "process"), "no connections of the library")
