"""Methods of a SessionManager that capabilities replace: a cache answers reads, and a migration looks further.

Managers without such a capability therefore need not check for one in each call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..backends.base import Backend
from ..core.keys import SessionKeys
from ..core.operation import Reply
from ..core.record import Record
from ..models import SessionCache, SessionMigration
from .direct_reads import DirectReads
from .executor import Executor
from .policy import SessionPolicy
from .sessions import Sessions


class ReplacedMethods:
    """The replacement of methods in one manager."""

    _backend: Backend
    _cache: Any
    _find: Callable[[str | None], SessionKeys | None]
    _policy: SessionPolicy
    _record: Callable[[Reply], Record | None]
    _sessions: Sessions
    _is_wrapped = False
    _replaced: tuple[str, ...] = ()

    def _opened(
        self, local_cache: SessionCache | None, migration: SessionMigration | None, executor: Executor, own: type
    ) -> Any:
        """Open cache and migration, if there are any, and let them answer. Returns the cache, or None.

        A subclass of the class `own` keeps its own methods. The methods of `own` that they call do not use the cache.
        """
        cache = None
        if local_cache is not None:
            direct = DirectReads(executor, self._sessions, self._policy, self._find, self._record)
            cache = local_cache.open(self._backend, direct)
            kept = (name for name in cache.methods if getattr(type(self), name) is getattr(own, name))
            self._replace_methods({name: cache.methods[name] for name in kept})
        if migration is not None:
            self._wrap_methods(migration.open(executor, self._policy))
        return cache

    def _wrap_methods(self, wrappers: Mapping[str, Callable[..., Any]]) -> None:
        """Put functions around methods, including those of a subclass or a cache."""
        self._replace_methods({name: wrapper(getattr(self, name)) for name, wrapper in wrappers.items()})
        self._is_wrapped = True

    def _replace_methods(self, methods: Mapping[str, Callable[..., Any]]) -> None:
        for name, method in methods.items():
            setattr(self, name, method)
        self._replaced += tuple(methods)

    def _restore_methods(self) -> None:
        """Close the cache. The methods of the class then raise the error of a closed manager."""
        for name in self._replaced:
            self.__dict__.pop(name, None)
        if self._cache is not None:
            self._cache.close()

    def _methods_for_threads(self, run: Callable[..., Any]) -> Mapping[str, Callable[..., Any]]:
        """Return the methods that the cache replaces in the synchronous manager. Wrapped ones run in its event loop."""
        return {} if self._cache is None or self._is_wrapped else self._cache.methods_for_threads(run)
