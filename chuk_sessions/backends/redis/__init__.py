"""Redis (and Valkey) as a backend: the scripts, run by EVALSHA. Needs the packages redis and hiredis."""

from .backend import RedisBackend, backend_for

__all__ = ["RedisBackend", "backend_for"]
