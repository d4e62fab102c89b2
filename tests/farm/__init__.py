"""Several servers at once, and what stands between a client and a server."""

from .certificates import Certificates
from .cluster import ClusterFarm, cluster_farm, one_node
from .member import Member, wait_for
from .proxy import Losses, Proxy
from .sentinel import SentinelFarm, add_sentinel, one_sentinel_over, sentinel_farm

__all__ = [
    "Certificates",
    "ClusterFarm",
    "Losses",
    "Member",
    "Proxy",
    "SentinelFarm",
    "add_sentinel",
    "cluster_farm",
    "one_node",
    "one_sentinel_over",
    "sentinel_farm",
    "wait_for",
]
