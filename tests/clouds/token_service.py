"""A stand-in for the token services of clouds. A real server accepts its tokens as passwords of an ACL user."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

from tests.harness.servers import Server

USER = "app"
RIGHTS = "on resetkeys ~chuk1:* &* +@all -@dangerous -@admin"


class TokenService:
    """The service and its switches.

    Attributes:
        delay: seconds until it answers.
        lifetime: seconds for which its tokens are valid.
        failing: whether it answers 500.
        user: the user of the server that the tokens are for.
        issued: all tokens so far.
        at_end: called before the service closes.

    """

    def __init__(self, server: Server) -> None:
        self.delay, self.lifetime, self.failing, self.user = 0.0, 3600.0, False, USER
        self.issued: list[str] = []
        self.at_end: list[Callable[[], None]] = []
        self.url = ""
        self._client = server.client()
        self._expiries: dict[str, float] = {}
        self._lock = threading.Lock()

    def issue(self) -> tuple[str, float]:
        """Return a new token and its expiry. The server accepts it, and no longer those that have expired."""
        expires_at = time.time() + self.lifetime
        claims = {"oid": self.user, "exp": int(expires_at) + 1, "jti": secrets.token_hex(8)}
        token = jwt.encode(claims, "k" * 32)
        with self._lock:
            old = [name for name, expiry in self._expiries.items() if expiry < time.time()]
            for name in old:
                del self._expiries[name]
            rules = [*RIGHTS.split(), *(f"<{name}" for name in old), f">{token}"]
            self._client.execute_command("ACL", "SETUSER", self.user, *rules)
            self._expiries[token] = expires_at
            self.issued.append(token)
        return token, expires_at

    def kill_clients(self) -> None:
        """Close the connections of the user."""
        self._client.execute_command("CLIENT", "KILL", "USER", self.user)

    def close(self) -> None:
        """Close the connection to the server."""
        self._client.close()


class Handler(BaseHTTPRequestHandler):
    """The answers, in the forms that each cloud's SDK reads."""

    service: TokenService

    def do_GET(self) -> None:
        """Answer a request."""
        service = self.service
        if service.delay:
            threading.Event().wait(service.delay)
        if service.failing:
            self.send_error(500)
        elif self.path.startswith("/keys"):
            self._send(self._keys())
        elif self.path.startswith("/msi"):
            token, expires_at = service.issue()
            self._send({"access_token": token, "expires_on": str(int(expires_at)), "token_type": "Bearer"})
        elif self.path.endswith("/token") or "/token?" in self.path:
            token, expires_at = service.issue()
            self._send({"access_token": token, "expires_in": int(expires_at - time.time()), "token_type": "Bearer"})
        elif "recursive=true" in self.path:
            self._send({"email": "app@example.com", "scopes": [], "aliases": ["default"]})
        else:
            self._send("my-project")

    def _keys(self) -> dict[str, str]:
        expiration = datetime.fromtimestamp(time.time() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "AccessKeyId": "AKIDEXAMPLE",
            "SecretAccessKey": "example-secret",
            "Token": "session-token",
            "Expiration": expiration,
        }

    def _send(self, body: object) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def token_service(server: Server) -> Iterator[TokenService]:
    """Run a token service for a server."""
    service = TokenService(server)
    handler = type("BoundHandler", (Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        service.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            for call in service.at_end:
                call()
            http.shutdown()
            thread.join()
            service.close()
