"""Metrics for Prometheus and OpenTelemetry, and spans. docs/telemetry.md lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.call_hook import CallHook
from .families import FAMILIES, Family

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from prometheus_client.registry import Collector

    from .opentelemetry import Instrumentation

_current: list[Instrumentation] = []


def prometheus_collector(*managers_or_factories: Any) -> Collector:
    """Return a collector of the metrics of stores, to be registered with a CollectorRegistry.

        REGISTRY.register(prometheus_collector(manager))

    The calls of all managers of this process to these stores are counted from now on. In Prometheus's multiprocess
    mode, they are counted in real metrics, and the collector itself returns nothing.

    Args:
        managers_or_factories: managers, synchronous managers, or session factories of a provider. Each store counts
            once.

    Raises:
        ValueError: an argument is something else, or there is none.
        ImportError: the package of the extra `prometheus` is missing.

    """
    hooks = list({id(hook): hook for hook in map(_hook_of, managers_or_factories)}.values())
    if not hooks:
        raise ValueError("prometheus_collector needs a manager or a session factory")
    try:
        from .prometheus import new_collector  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("this needs another package: pip install 'chuk-sessions[prometheus]'") from error
    return new_collector(hooks)


def instrument(tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None) -> None:
    """Export metrics of all stores of this process through OpenTelemetry, and spans of calls within recorded spans.

    Without a provider, the global one is used. A second call replaces the first one.

    Raises:
        ImportError: the package of the extra `opentelemetry` is missing.

    """
    try:
        from .opentelemetry import Instrumentation  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("this needs another package: pip install 'chuk-sessions[opentelemetry]'") from error
    uninstrument()
    _current.append(Instrumentation(tracer_provider, meter_provider))


def uninstrument() -> None:
    """Undo `instrument`; without it, do nothing."""
    while _current:
        _current.pop().end()


def _hook_of(source: Any) -> CallHook:
    """Return the hook of the store of a manager or session factory."""
    manager = getattr(source, "_manager", source)  # that of a synchronous manager
    backend = getattr(manager, "_backend", None) or getattr(source, "backend", None)
    hook = getattr(backend, "call_hook", None)
    if not isinstance(hook, CallHook):
        raise ValueError(f"expected a SessionManager or a session factory, not {type(source).__name__}")
    return hook


__all__ = ["FAMILIES", "Family", "instrument", "prometheus_collector", "uninstrument"]
