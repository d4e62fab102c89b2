"""The shop of examples/web/fastapi_app.py with health probes. Run `uvicorn --workers 2 deploy.shop:app`."""

from typing import Any

from fastapi import Response

from chuk_sessions import ProviderError
from examples.web.fastapi_app import app, manager


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
