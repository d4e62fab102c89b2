"""Environments that a fault is injected into: a server, one behind a proxy, a Sentinel farm, a cluster.

Servers know all scripts from the start. Otherwise the first call of each script would be retried, as it is in some
faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.conftest import bundled
from tests.harness.farms import ClusterFarm, Proxy, SentinelFarm, cluster_farm, sentinel_farm, wait_for
from tests.harness.servers import Server, running, version_of
from tests.redis.tools import load_scripts

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
"""Each change is on the disk before it is acknowledged."""

_chosen: Path | None = None


def use_server(binary: Path) -> None:
    """Start the servers of all further environments from this binary."""
    global _chosen
    _chosen = binary


def server_binary() -> Path:
    """Return the binary that environments start: the chosen one, or the bundled server."""
    return _chosen or bundled()


@dataclass
class Environment:
    """A store under test. The properties raise AssertionError where the environment has no such part.

    Attributes:
        url: for the load.
        version: of the server.
        direct: a URL for the judge, without a proxy in between.

    """

    url: str
    version: str
    direct: str = ""
    _server: Server | None = field(default=None, repr=False)
    _proxy: Proxy | None = field(default=None, repr=False)
    _sentinels: SentinelFarm | None = field(default=None, repr=False)
    _cluster: ClusterFarm | None = field(default=None, repr=False)
    _replica: Server | None = field(default=None, repr=False)

    @property
    def replica(self) -> Server:
        """The replica of the one server."""
        assert self._replica is not None
        return self._replica

    @property
    def server(self) -> Server:
        """The one server."""
        assert self._server is not None
        return self._server

    @property
    def proxy(self) -> Proxy:
        """The proxy between the load and the server."""
        assert self._proxy is not None
        return self._proxy

    @property
    def sentinels(self) -> SentinelFarm:
        """The Sentinel farm."""
        assert self._sentinels is not None
        return self._sentinels

    @property
    def cluster(self) -> ClusterFarm:
        """The cluster."""
        assert self._cluster is not None
        return self._cluster

    def info(self, section: str) -> dict[str, Any]:
        """Return that section of the one server's INFO."""
        with self.server.client() as client:
            return dict(client.info(section))


OpenEnvironment = Callable[[], AbstractContextManager[Environment]]


def standalone(*options: str) -> OpenEnvironment:
    """Return the environment of one server with these options."""
    return partial(_standalone, *options)


@contextmanager
def _standalone(*options: str) -> Iterator[Environment]:
    with running(server_binary(), *options) as server:
        load_scripts(server)
        yield Environment(server.url, version_of(server), server.url, _server=server)


@contextmanager
def proxied() -> Iterator[Environment]:
    """Run a server that the load reaches through a proxy."""
    with running(server_binary()) as server, Proxy(server.port) as proxy:
        load_scripts(server)
        url = f"redis://127.0.0.1:{proxy.port}"
        yield Environment(url, version_of(server), server.url, _server=server, _proxy=proxy)


@contextmanager
def replicated() -> Iterator[Environment]:
    """Run a primary and its replica, without sentinels."""
    with running(server_binary()) as primary, running(server_binary(), "--repl-diskless-sync-delay", "0") as replica:
        replicate(replica, primary)
        load_scripts(primary)
        yield Environment(primary.url, version_of(primary), primary.url, _server=primary, _replica=replica)


@contextmanager
def behind_dns_name() -> Iterator[Environment]:
    """Run a primary, its replica, and a proxy that acts as a DNS name: new connections reach the server it names."""
    with replicated() as pair, Proxy(pair.server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        yield Environment(url, pair.version, pair.replica.url, _server=pair.server, _proxy=proxy, _replica=pair.replica)


def replicate(replica: Server, primary: Server) -> None:
    """Make one server the replica of another, and wait until it is in sync."""
    with replica.client() as client:
        client.replicaof("127.0.0.1", str(primary.port))
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "a replica in sync")


@contextmanager
def sentinel() -> Iterator[Environment]:
    """Run a primary with two replicas and three sentinels."""
    with sentinel_farm(server_binary()) as farm:
        load_scripts(farm.primary())
        yield Environment(farm.url, version_of(farm.members[0].server), farm.url, _sentinels=farm)


@contextmanager
def cluster() -> Iterator[Environment]:
    """Run a cluster of three primaries with a replica each."""
    with cluster_farm(server_binary()) as farm:
        for member in farm.members:
            load_scripts(member)
        yield Environment(farm.url, version_of(farm.members[0].server), farm.url, _cluster=farm)


@contextmanager
def cluster_without_replicas() -> Iterator[Environment]:
    """Run a cluster of three primaries without replicas: a lost primary has no successor."""
    with cluster_farm(server_binary(), replicas=False) as farm:
        for member in farm.members:
            load_scripts(member)
        yield Environment(farm.url, version_of(farm.members[0].server), farm.url, _cluster=farm)


__all__ = [
    "ALWAYS",
    "Environment",
    "OpenEnvironment",
    "behind_dns_name",
    "cluster",
    "cluster_without_replicas",
    "proxied",
    "replicate",
    "replicated",
    "sentinel",
    "server_binary",
    "standalone",
    "use_server",
]
