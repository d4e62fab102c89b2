"""The choice of a topology for a URL."""

from __future__ import annotations

from ..url import Kind, StoreURL
from .base import Topology
from .cluster import Cluster
from .sentinel import Sentinel
from .standalone import Standalone


def topology_for(url: StoreURL) -> Topology:
    """Return the topology that a URL names, for the running event loop. Does not connect yet."""
    if url.kind is Kind.SENTINEL:
        return Sentinel(url)
    if url.kind is Kind.CLUSTER:
        return Cluster(url.addresses, url.options)
    return Standalone(url.addresses[0], url.options)
