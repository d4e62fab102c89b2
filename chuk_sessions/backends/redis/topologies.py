"""Which topology a URL asks for."""

from __future__ import annotations

from .cluster import Cluster
from .sentinel import Sentinel
from .single import Single
from .topology import Topology
from .url import Kind, Target


def topology_for(target: Target) -> Topology:
    """The topology that a URL asks for, for the running event loop. Connects to nothing so far."""
    if target.kind is Kind.SENTINEL:
        return Sentinel(target)
    if target.kind is Kind.CLUSTER:
        return Cluster(target.addresses, target.options)
    return Single(target.addresses[0], target.options)
