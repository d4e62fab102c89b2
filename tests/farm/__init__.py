"""Several servers at once, and what stands between a client and a server."""

from .certificates import Certificates
from .proxy import Losses, Proxy

__all__ = ["Certificates", "Losses", "Proxy"]
