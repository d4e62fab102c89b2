"""Farms: several servers that serve as one store (a Sentinel farm, a cluster), and proxies in front of servers."""

from tests.harness.farms.certificates import Certificates
from tests.harness.farms.cluster import ClusterFarm, cluster_farm, one_node
from tests.harness.farms.member import Member, wait_for
from tests.harness.farms.proxy import Losses, Proxy
from tests.harness.farms.sentinel import SentinelFarm, add_sentinel, one_sentinel_over, sentinel_farm

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
