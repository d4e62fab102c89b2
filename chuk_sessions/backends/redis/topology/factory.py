"""Which topology a URL asks for."""

from __future__ import annotations

from ..url import Kind, Target
from .base import Topology
from .cluster import Cluster
from .sentinel import Sentinel
from .standalone import Single


def topology_for(target: Target) -> Topology:
    """The topology that a URL asks for, for the running event loop. Connects to nothing so far."""
    if target.kind is Kind.SENTINEL:
        return Sentinel(target)
    if target.kind is Kind.CLUSTER:
        return Cluster(target.addresses, target.options)
    return Single(target.addresses[0], target.options)
