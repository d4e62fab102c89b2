"""The shop of examples/web/fastapi_app.py with health probes and metrics. Run `uvicorn deploy.shop:app`."""

import os
from typing import Any

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from chuk_sessions import ProviderError
from chuk_sessions.telemetry import prometheus_collector
from examples.web.fastapi_app import app, manager

registry = CollectorRegistry()
registry.register(prometheus_collector(manager))
if os.getenv("PROMETHEUS_MULTIPROC_DIR"):  # With several workers, any of them reports the metrics of all.
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]


@app.get("/healthz")
async def is_alive() -> dict[str, Any]:
    """Report that the process serves requests. The store does not matter here: a restart would not repair it."""
    return {"status": "alive"}


@app.get("/readyz")
async def is_ready(response: Response) -> dict[str, Any]:
    """Report whether the store answers, and what is wrong with it."""
    try:
        health = await manager.ping()
    except ProviderError as error:
        response.status_code = 503
        return {"status": "unavailable", "problems": [type(error).__name__]}
    return {"status": "ready", "problems": list(health.problems)}


@app.get("/metrics")
def metrics() -> Response:
    """Return the metrics for Prometheus. Let no proxy forward this path from the internet."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
