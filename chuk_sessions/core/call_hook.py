"""The call hook: observers in this process see each call to a store. Without observers, calls take no longer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol
from weakref import ref

from .operation import Call, Reply
from .registry import Registry

Run = Callable[[], Coroutine[Any, Any, Reply]]
"""Runs a call."""


class CallObserver(Protocol):
    """An observer of calls. Several threads and event loops may use it at the same time."""

    def observe(self, call: Call, run: Run) -> Coroutine[Any, Any, Reply]:
        """Run a call once, and return its reply or raise its error."""


class ObservedBackend(Protocol):
    """A backend that tells observers of its calls.

    Attributes:
        call_hook: the observers.

    """

    call_hook: CallHook

    def observers_changed(self) -> None:
        """Pass calls to the hook from now on, or do so no longer."""


class CallHook:
    """The observers of the calls to one backend.

    Attributes:
        observers: the observers, as keys; the innermost first.
        attributes: facts about the store under their names in OpenTelemetry's conventions.

    """

    def __init__(self, backend: ObservedBackend, attributes: Mapping[str, str | int]) -> None:
        """Create a hook without observers, and present it to those that want to see the calls to all stores."""
        self._backend = ref(backend)
        self.attributes = attributes
        # Adding, removing, and copying are single steps of a built-in dict, so no lock is needed.
        self.observers: dict[CallObserver, None] = {}
        _HOOKS.add(self)

    @property
    def backend(self) -> Any:
        """The backend, or None after its end."""
        return self._backend()

    def add(self, observer: CallObserver) -> None:
        """Let an observer see the calls that begin from now on. Adding it again changes nothing."""
        self.observers[observer] = None
        self._changed()

    def remove(self, observer: CallObserver) -> None:
        """Remove an observer. It still sees the end of calls that have begun."""
        self.observers.pop(observer, None)
        self._changed()

    def observed(self, call: Call, run: Run) -> Coroutine[Any, Any, Reply]:
        """Run a call, and let all observers see it."""
        for observer in tuple(self.observers):
            run = partial(observer.observe, call, run)
        return run()

    def greet(self) -> None:
        """Present the hook to those that want to see the calls to all stores. Backends call this once."""
        for welcome in tuple(_WELCOMES):
            welcome(self)

    def _changed(self) -> None:
        backend = self._backend()
        if backend is not None:
            backend.observers_changed()


_HOOKS: Registry[CallHook] = Registry()
_WELCOMES: dict[Callable[[CallHook], object], None] = {}


def welcome_all(welcome: Callable[[CallHook], object]) -> None:
    """Call `welcome` with the hooks of all backends of this process, and of those to come."""
    _WELCOMES[welcome] = None
    for hook in _HOOKS.all():
        welcome(hook)


def stop_welcoming(welcome: Callable[[CallHook], object]) -> list[CallHook]:
    """End that, and return the hooks of all backends."""
    _WELCOMES.pop(welcome, None)
    return _HOOKS.all()
