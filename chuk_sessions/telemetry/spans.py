"""Spans of calls, by OpenTelemetry's conventions for Redis. Only calls within a recorded span have one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any

from opentelemetry import context
from opentelemetry.context import Context, get_current
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from ..core.call_hook import CallHook, Run, RunBackend
from ..core.operation import Call, Operation, Reply, RetryCalls
from ..exceptions import SessionError

(_KEY,) = set_span_in_context(INVALID_SPAN, Context())
"""The key of the current span in a context."""


def _context_reader() -> Callable[[], Context]:
    """Return the fastest function that returns the current context. Each call to the store calls it."""
    runtime = getattr(context, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    is_usual = isinstance(runtime, ContextVarsRuntimeContext) and isinstance(variable, ContextVar)
    return variable.get if is_usual else get_current  # type: ignore[union-attr]


_read_context = _context_reader()

_Attributes = dict[str, str | int]


class Spans:
    """The tracer of the calls to one backend. Calls within a recorded span have a span of their own."""

    def __init__(self, hook: CallHook, tracer: Tracer) -> None:
        self._tracer = tracer
        self._store = dict(hook.attributes)
        self._runs_scripts = hook.attributes["db.system.name"] == "redis"
        self._known: dict[str, tuple[str, _Attributes]] = {}

    def is_recording(self) -> bool:
        """Return whether the running code is within a recorded span."""
        span = _read_context().get(_KEY)
        return span is not None and span.is_recording()  # type: ignore[attr-defined]

    def wrap(self, run: RunBackend) -> RunBackend:
        """Return a function that runs calls like `run`, within spans if the running code is within a recorded one.

        It repeats `is_recording`, because it runs in each call.
        """
        read, key, trace = _read_context, _KEY, self.trace

        def run_traced(
            call: Call, retry_calls: RetryCalls | None = None, durable: bool = False
        ) -> Coroutine[Any, Any, Reply]:
            span = read().get(key)
            if span is None or not span.is_recording():  # type: ignore[attr-defined]
                return run(call, retry_calls, durable)
            return trace(call, partial(run, call, retry_calls, durable))

        return run_traced

    async def trace(self, call: Call, run: Run) -> Reply:
        """Run a call within a span."""
        operation = call.operation
        name, attributes = self._known.get(operation.name) or self._describe(operation)
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                return await run()
            except BaseException as error:
                _fail(span, error)
                raise

    def _describe(self, operation: Operation) -> tuple[str, _Attributes]:
        """Return the name and the attributes of the spans of an operation. None of them has a key or an argument."""
        attributes = dict(self._store)
        if operation.command and self._runs_scripts:
            name = attributes["db.operation.name"] = operation.command
        elif self._runs_scripts:
            attributes |= {"db.operation.name": "EVALSHA", "db.stored_procedure.name": operation.name}
            name = f"EVALSHA {operation.name}"
        else:
            name = attributes["db.operation.name"] = operation.name
        self._known[operation.name] = name, attributes
        return name, attributes


def _fail(span: Span, error: BaseException) -> None:
    kind = type(error).__name__
    span.set_attribute("error.type", kind)
    # Messages of this library contain no secret and no whole session id. Those of others are unknown.
    span.set_status(Status(StatusCode.ERROR, str(error) if isinstance(error, SessionError) else kind))
    code = getattr(error.__cause__, "code", None)
    if isinstance(code, str):
        span.set_attribute("db.response.status_code", code)
