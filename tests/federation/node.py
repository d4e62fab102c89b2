"""A sandbox with a store of its own, as a program: the endpoints of its federation, and a service that reads artifacts.

`GET /files/PATH` returns the artifact of a session of any sandbox, given a grant. The path is the grid path by
reference. Artifacts are in a folder that the sandboxes share.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from chuk_sessions import SessionError, SessionManager
from chuk_sessions.federation import Federation, FederationApp, Proof, RemoteIssuer

URL = os.environ["NODE_URL"]
FOLDER = Path(os.environ["NODE_FOLDER"])
remotes = json.loads(os.environ["NODE_REMOTES"])
federation = Federation(
    os.environ["SESSION_FEDERATION_KEYS"],
    os.environ["SESSION_FEDERATION_TRUST"],
    remotes={name: RemoteIssuer(url, timeout_seconds=20) for name, url in remotes.items()},
)
manager = SessionManager(federation=federation)
endpoints = FederationApp(manager, base_url=f"{URL}/federation")


def file_of(path: str) -> Path:
    """Return the file that has the artifact with a grid path."""
    return FOLDER / urlsafe_b64encode(path.encode()).decode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await manager.aclose()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"].startswith("/federation/"):
        await endpoints({**scope, "root_path": "/federation"}, receive, send)
        return
    status, body = await read(scope)
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def read(scope: Any) -> tuple[int, bytes]:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    _, _, token = headers.get(b"authorization", "").partition(" ")
    path = scope["path"].removeprefix("/files/")
    proof = Proof(headers[b"dpop"], scope["method"], f"{URL}{scope['path']}") if b"dpop" in headers else None
    try:
        grant = await manager.resolve_grant(token, path, "read", proof=proof)
    except SessionError as error:
        return 503, type(error).__name__.encode()
    if grant is None:
        return 403, b"refused"
    return 200, f"{grant.user_id} {file_of(path).read_text()}".encode()
