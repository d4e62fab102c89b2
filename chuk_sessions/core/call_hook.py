"""The call hook: telemetry counts the calls to a store and creates spans of them. Without it, calls take no longer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter
from typing import Any, Protocol
from weakref import ref

from .operation import Call, Reply
from .registry import Registry

Run = Callable[[], Coroutine[Any, Any, Reply]]
"""Runs a call."""

RunBackend = Callable[..., Coroutine[Any, Any, Reply]]
"""Runs calls of a backend: the call, the calls to send after a lost reply, and whether replicas must acknowledge it."""

Count = Callable[[Call, Reply | int | None, float], None]
"""Counts a call that is over: the call, its reply, and when it began (a time of `time.perf_counter`).

The reply may be a bare status. Without a reply, the exception of the call is being handled.
"""


class CallCounter(Protocol):
    """A counter of calls. Several threads and event loops may use it at the same time."""

    @property
    def count(self) -> Count:
        """A function that counts a call."""


class CallTracer(Protocol):
    """A tracer of calls. Several threads and event loops may use it at the same time."""

    def is_recording(self) -> bool:
        """Return whether the next call is to be traced."""

    def wrap(self, run: RunBackend) -> RunBackend:
        """Return a function that runs calls like `run`, and traces those that are to be traced."""

    def trace(self, call: Call, run: Run) -> Coroutine[Any, Any, Reply]:
        """Run a call once, and return its reply or raise its error."""


class ObservedBackend(Protocol):
    """A backend whose calls can be counted and traced.

    Attributes:
        call_hook: who counts and traces them.

    """

    call_hook: CallHook

    def hook_changed(self) -> None:
        """Use the counter and the tracer of the hook from now on."""


class CallHook:
    """The counter and the tracer of the calls to one backend.

    Attributes:
        counter: the counter, or None.
        tracer: the tracer, or None.
        attributes: facts about the store under their names in OpenTelemetry's conventions.

    """

    def __init__(self, backend: ObservedBackend, attributes: Mapping[str, str | int]) -> None:
        """Create a hook that does nothing."""
        self._backend = ref(backend)
        self.attributes = attributes
        self.counter: CallCounter | None = None
        self.tracer: CallTracer | None = None
        _HOOKS.add(self)

    @property
    def backend(self) -> Any:
        """The backend, or None after its end."""
        return self._backend()

    def set_counter(self, counter: CallCounter | None) -> None:
        """Let a counter count the calls that begin from now on."""
        self.counter = counter
        self._changed()

    def set_tracer(self, tracer: CallTracer | None) -> None:
        """Let a tracer trace the calls that begin from now on."""
        self.tracer = tracer
        self._changed()

    def greet(self) -> None:
        """Present the hook to telemetry of all stores. Backends call this once they are ready."""
        for welcome in tuple(_WELCOMES):
            welcome(self)

    def _changed(self) -> None:
        backend = self._backend()
        if backend is not None:
            backend.hook_changed()


_HOOKS: Registry[CallHook] = Registry()
_WELCOMES: dict[Callable[[CallHook], object], None] = {}


def welcome_all(welcome: Callable[[CallHook], object]) -> None:
    """Call `welcome` with the hooks of all backends of this process, and of those to come."""
    _WELCOMES[welcome] = None
    for hook in _HOOKS.all():
        welcome(hook)


def stop_welcoming(welcome: Callable[[CallHook], object]) -> None:
    """End that."""
    _WELCOMES.pop(welcome, None)


async def observed(hook: CallHook, call: Call, run: Run) -> Reply:
    """Run a call, and let the hook count and trace it. For backends whose calls need not be fast."""
    counter, tracer = hook.counter, hook.tracer
    begun_at, reply = perf_counter(), None
    try:
        reply = await (tracer.trace(call, run) if tracer is not None and tracer.is_recording() else run())
    finally:
        if counter is not None:
            counter.count(call, reply, begun_at)
    return reply
