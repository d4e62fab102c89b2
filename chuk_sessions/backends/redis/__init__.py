"""Redis (and Valkey) as a backend: scripts, run by EVALSHA. Needs the packages redis and hiredis.

All tasks of an event loop share one connection per node. Their calls leave together at the end of an event loop
iteration, or sooner where there are many, and replies are matched in order. A call goes from `backend` through `client`
(deadlines, and with `retry` retries), `per_loop` (the state of each event loop), and a `topology` (which node) to a
node. In `net`, the node's `limiter` bounds its calls in flight, a `connection_slot` opens its connection when it is
needed, and the `connection` pairs calls with replies. redis-py connects and logs in (`connector`); hiredis packs and
parses (`resp`).
"""

from .backend import RedisBackend, backend_for

__all__ = ["RedisBackend", "backend_for"]
