"""What a fault strikes: a server, one behind a proxy, a Sentinel farm, a cluster."""

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

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
"""Each change is on the disk before it is acknowledged."""


_given: Path | None = None


def use(binary: Path) -> None:
    """Have all stages from now on built of servers of this binary."""
    global _given
    _given = binary


def binary() -> Path:
    """What stages are built of: what was given, or the bundled server."""
    return _given or bundled()


@dataclass
class Stage:
    """A store.

    Attributes:
        url: what the load is given.
        version: of the server.
        direct: a URL to judge the store by, past what may be in between.

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
        """What stands before it."""
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
        """That section of the one server's INFO."""
        with self.server.client() as client:
            return dict(client.info(section))


Opens = Callable[[], AbstractContextManager[Stage]]


@contextmanager
def _alone(*options: str) -> Iterator[Stage]:
    with running(binary(), *options) as server:
        yield Stage(server.url, version_of(server), server.url, _server=server)


@contextmanager
def behind_a_proxy() -> Iterator[Stage]:
    """A server that is reached through a proxy."""
    with running(binary()) as server, Proxy(server.port) as proxy:
        yield Stage(f"redis://127.0.0.1:{proxy.port}", version_of(server), server.url, _server=server, _proxy=proxy)


@contextmanager
def replicated() -> Iterator[Stage]:
    """A primary and its replica, without sentinels."""
    with running(binary()) as primary, running(binary(), "--repl-diskless-sync-delay", "0") as replica:
        follow(replica, primary)
        yield Stage(primary.url, version_of(primary), primary.url, _server=primary, _replica=replica)


@contextmanager
def behind_a_name() -> Iterator[Stage]:
    """The same, and a proxy in the role of a DNS name: new connections reach whatever it names."""
    with replicated() as stage, Proxy(stage.server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        yield Stage(url, stage.version, stage.replica.url, _server=stage.server, _proxy=proxy, _replica=stage.replica)


def follow(replica: Server, primary: Server) -> None:
    """Make a server the replica of another, and wait until it has what that one has."""
    with replica.client() as client:
        client.replicaof("127.0.0.1", str(primary.port))
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "a replica that follows")


@contextmanager
def watched() -> Iterator[Stage]:
    """A primary with two replicas and three sentinels."""
    with sentinel_farm(binary()) as farm:
        yield Stage(farm.url, version_of(farm.members[0].server), farm.url, _sentinels=farm)


@contextmanager
def clustered() -> Iterator[Stage]:
    """Three primaries with a replica each."""
    with cluster_farm(binary()) as farm:
        yield Stage(farm.url, version_of(farm.members[0].server), farm.url, _cluster=farm)


@contextmanager
def without_replicas() -> Iterator[Stage]:
    """Three primaries of a cluster that nobody stands in for."""
    with cluster_farm(binary(), replicas=False) as farm:
        yield Stage(farm.url, version_of(farm.members[0].server), farm.url, _cluster=farm)


def alone(*options: str) -> Opens:
    """One server with these options."""
    return partial(_alone, *options)


__all__ = [
    "ALWAYS",
    "Opens",
    "Stage",
    "alone",
    "behind_a_name",
    "behind_a_proxy",
    "binary",
    "clustered",
    "follow",
    "replicated",
    "use",
    "watched",
    "without_replicas",
]
