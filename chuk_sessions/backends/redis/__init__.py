"""Redis (and Valkey) as a backend: the scripts, run by EVALSHA. Needs the packages redis and hiredis.

All tasks of an event loop share one connection per node, the link: what they call in the same turn of the loop leaves
together, in bursts where it is much, and replies are matched in order. A call goes from `backend` through `calls`
(repeats and deadlines), `loops` (what belongs to which event loop) and a topology (which node) to a `node`. Its `gate`
bounds what is under way, its `lane` opens a connection when there is none, and its `link` pairs calls with replies.
redis-py opens connections and logs in (`takeover`), hiredis packs and parses (`wire`).
"""

from .backend import RedisBackend, backend_for

__all__ = ["RedisBackend", "backend_for"]
